"""Asks every venue for its pools, side by side, and makes a route of the best path through them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal

import msgspec

from chalicelib.domain.errors import BoundUnmet, EngineError, MarketUnavailable, QuoteUnavailable, Unavailable
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Leg, Quote, Route, fee_share
from chalicelib.domain.token import Token
from chalicelib.routing.paths import Plan, Planner, Wish
from chalicelib.solana.clock import Clock
from chalicelib.venues.base import Attempt, Venue
from chalicelib.venues.pool import Quoting

# A venue that has not answered by then is left out.
QUOTE_DEADLINE_SECONDS = 2.0
# How far from the best price an amount may reach that counts as liquidity.
NEAR = 0.99
_REFERENCE = Context(prec=18, rounding=ROUND_CEILING)


class Router:
    """Chooses among the pools of venues. `middles` are the tokens that a route of two hops may go over."""

    def __init__(
        self,
        venues: Sequence[Venue],
        clock: Callable[[], Clock],
        planner: Planner,
        middles: Sequence[Token] = (),
        deadline: float = QUOTE_DEADLINE_SECONDS,
    ) -> None:
        self._venues = venues
        self._clock = clock
        self._planner = planner
        self._middles = {token.key: token for token in middles}
        self._deadline = deadline

    async def route(self, attempt: Attempt) -> Route:
        """The best route now.

        Raises QuoteUnavailable, naming what each venue said, if there is none, or none within the order's bound;
        MarketUnavailable where that is all that venues said, and Unavailable where they could not reach their database.
        """
        terms = attempt.terms
        mints = frozenset((terms.token_in.key, terms.token_out.key, *self._middles))
        pools, missing = await self._pools(attempt, mints)
        try:
            route = self._best(terms, pools, attempt.bound, missing)
        except BoundUnmet as error:
            raise BoundUnmet("; ".join([str(error), *missing]), error.price_impact) from None
        except QuoteUnavailable as error:
            # What venues said tells more than that there are no pools.
            reasons = missing if missing and not pools else [self._named(str(error), terms), *missing]
            raise QuoteUnavailable("; ".join(reasons)) from None
        return route

    async def reference(self, attempt: Attempt) -> Decimal:
        """The reference price of a pair: tokenIn for one tokenOut at size zero, after fees, rounded up to 18 digits.

        Raises QuoteUnavailable where no pool trades it now, and Unavailable.
        """
        terms = attempt.terms
        token_in, token_out = terms.token_in, terms.token_out
        pools, missing = await self._pools(attempt, frozenset((token_in.key, token_out.key, *self._middles)))
        spot = self._planner.spot(token_in.key, token_out.key, pools, self._clock())
        if spot is None:
            raise QuoteUnavailable("; ".join(missing) or f"no pool trades {token_in.name} for {token_out.name}")
        return _REFERENCE.divide(
            Decimal(spot.denominator * 10**token_out.decimals), Decimal(spot.numerator * 10**token_in.decimals)
        )

    async def _pools(self, attempt: Attempt, mints: frozenset[str]) -> tuple[list[Quoting], list[str]]:
        """What venues offer in time, and what the others said.

        Raises Unavailable or MarketUnavailable where nothing is offered and one of them said so.
        """
        asked = {venue.name: asyncio.ensure_future(venue.pools(attempt, mints)) for venue in self._venues}
        try:
            _, late = await asyncio.wait(asked.values(), timeout=self._deadline)
        finally:
            for task in asked.values():
                task.cancel()
        if late:
            # Cancelled tasks end in the next turn of the loop.
            await asyncio.sleep(0)
        pools: list[Quoting] = []
        missing: list[str] = []
        unasked: Unavailable | MarketUnavailable | None = None
        for name, task in asked.items():
            if task in late:
                missing.append(f"{name}: no answer in {self._deadline:g} s")
            elif (error := task.exception()) is not None:
                if isinstance(error, Unavailable) or (isinstance(error, MarketUnavailable) and unasked is None):
                    unasked = error
                missing.append(_said(name, error))
            else:
                pools += task.result()
        # What keeps one venue from being asked keeps all: it is said once.
        if unasked and not pools:
            raise unasked
        return pools, missing

    def _best(self, terms: Terms, pools: Sequence[Quoting], bound: int | None, missing: Sequence[str]) -> Route:
        clock = self._clock()
        plan = self._planner.plan(
            Wish(
                mint_in=terms.token_in.key,
                mint_out=terms.token_out.key,
                amount_in=None if terms.amount_out else terms.amount,
                amount_out=terms.amount_out or None,
            ),
            pools,
            clock,
        )
        least, most = _bounds(terms, plan, bound)
        by_address = {pool.address: pool for pool in pools}
        legs = tuple([_with_fees(leg, by_address[leg.pool], clock) for leg in plan.legs])
        chosen = self._quote(terms, legs, by_address, clock)
        rival = next((leg for leg in plan.alone if (leg,) != plan.legs), None)
        other = (
            self._quote(terms, [_with_fees(rival, by_address[rival.pool], clock)], by_address, clock) if rival else None
        )
        route = Route(
            legs=legs,
            middle=self._middles[legs[-1].mint_in] if legs[-1].hop > 1 else None,
            chosen=chosen,
            other=other,
            decision="; ".join([_decision(terms, chosen, other), *plan.left_out, *missing]),
            min_amount_out=least,
            max_amount_in=most,
            price_impact=plan.price_impact,
            best_single=plan.single,
        )
        if objection := route.objection(plan.amount_in, plan.amount_out):
            raise BoundUnmet(objection, plan.price_impact)
        return route

    def _quote(self, terms: Terms, legs: Sequence[Leg], pools: Mapping[str, Quoting], clock: Clock) -> Quote:
        """Legs as one quote."""
        used = {leg.venue for leg in legs}
        last = legs[-1].hop
        amount_in = amount_out = liquidity = 0
        for leg in legs:
            if leg.hop == 1:
                pool = pools[leg.pool]
                curve = pool.curve(pool.mints[0] == leg.mint_in, clock)
                amount_in += leg.amount_in
                liquidity += curve.input_at(curve.spot.numerator / curve.spot.denominator * NEAR)
            if leg.hop == last:
                amount_out += leg.amount_out
        return Quote(
            venue=" + ".join([venue.name for venue in self._venues if venue.name in used]),
            amount_in=amount_in,
            amount_out=amount_out,
            fee=fee_share(legs),
            liquidity=liquidity // 10**terms.token_in.decimals,
        )

    def _named(self, reason: str, terms: Terms) -> str:
        """A reason with tokens as people know them, not as pools do."""
        for token in (terms.token_in, terms.token_out, *self._middles.values()):
            reason = reason.replace(token.key, token.name)
        return reason


def _said(venue: str, error: BaseException) -> str:
    """What a venue's error comes to, with the venue's name, which those that are its own have."""
    if isinstance(error, MarketUnavailable):
        return f"{venue}: {error}"
    return str(error) if isinstance(error, EngineError) else f"{venue}: {error!r}"


def _bounds(terms: Terms, plan: Plan, bound: int | None) -> tuple[int, int]:
    """The least output and the most input: the bound that is set, else the client's, else what its tolerance makes."""
    share, whole = terms.slippage_tolerance.as_integer_ratio()
    if terms.amount_out:
        most = terms.max_amount_in or plan.amount_in * (whole + share) // whole
        # A bound of 0, where a price leaves not even one base unit, is one that nothing meets.
        return terms.amount_out, most if bound is None else bound
    least = terms.min_amount_out or max(1, -(-plan.amount_out * (whole - share) // whole))
    return least if bound is None else bound, terms.amount


def _with_fees(leg: Leg, pool: Quoting, clock: Clock) -> Leg:
    fill = pool.fill(leg.amount_in, pool.mints[0] == leg.mint_in, clock)
    return msgspec.structs.replace(leg, fee_in=fill.fee_in, fee_out=fill.fee_out)


def _decision(terms: Terms, chosen: Quote, other: Quote | None) -> str:
    if other is None:
        return f"{chosen.venue}: the only quote"
    rival = other.venue if other.venue != chosen.venue else f"another pool of {other.venue}"
    if terms.amount_out and chosen.amount_in == other.amount_in:
        return f"{chosen.venue} and {rival} cost the same"
    if terms.amount_out:
        gain = (other.amount_in - chosen.amount_in) / chosen.amount_in * 100
        return f"{chosen.venue} costs {gain:.3f} % less than {rival}"
    if chosen.amount_out == other.amount_out:
        return f"{chosen.venue} and {rival} pay the same"
    gain = (chosen.amount_out - other.amount_out) / other.amount_out * 100
    return f"{chosen.venue} pays {gain:.3f} % more than {rival}"

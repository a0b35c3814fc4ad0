"""Choosing among the pools of venues that answer, refuse, break, or keep silent."""

import asyncio
from collections.abc import Collection, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from chalicelib.domain.errors import PoolClosed, QuoteUnavailable
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Route
from chalicelib.domain.token import Token
from chalicelib.routing.paths import Planner
from chalicelib.routing.router import Router
from chalicelib.venues.base import Attempt, Venue
from chalicelib.venues.pool import Quoting
from tests.curves import Steps
from tests.pools import NOW, FakePool, FakeVenue, product

SOL, USDC, USDT = Token("SOL", 9, "S" * 43), Token("USDC", 6, "C" * 43), Token("USDT", 6, "T" * 43)
AMOUNT = 3_000_000_000
PAIR = (SOL.key, USDC.key)


def wanted(amount: int = AMOUNT, tolerance: str = "0.02", bound: int | None = None, **more: Any) -> Attempt:
    return Attempt(UUID(int=1), 1, Terms(SOL, USDC, amount, Decimal(tolerance), **more), bound)


def bought(amount_out: int, tolerance: str = "0.02", bound: int | None = None, **more: Any) -> Attempt:
    return wanted(0, tolerance, bound, amount_out=amount_out, **more)


def flat(venue: str, amount_out: int, address: str = "", amount_in: int = AMOUNT) -> FakePool:
    """A pool that pays so much for so much, at one price for all sizes."""
    return FakePool(address or venue, venue, PAIR, Steps([(Fraction(amount_out, amount_in), 2**64 - 1)]))


def router(*venues: Venue, middles: Sequence[Token] = (), deadline: float = 2.0, most_legs: int = 3) -> Router:
    planner = Planner(middles=tuple(token.key for token in middles), most_legs=most_legs)
    return Router(venues, lambda: NOW, planner, middles, deadline)


def offering(*pools: Quoting) -> Router:
    """A router over Raydium and Meteora, which offer these."""
    own = {name: [pool for pool in pools if pool.venue == name] for name in ("Raydium", "Meteora")}
    return router(*(FakeVenue(name, offered) for name, offered in own.items()), middles=(USDT, USDC))


async def quoted(attempt: Attempt, *pools: Quoting) -> Route:
    return await offering(*pools).route(attempt)


class Silent(FakeVenue):
    """Never answers."""

    def __init__(self, name: str) -> None:
        super().__init__(name, [])
        self.cancelled = False

    async def pools(self, attempt: Attempt, mints: Collection[str]) -> Sequence[Quoting]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return []


async def test_the_larger_output_wins_and_the_reason_says_by_how_much() -> None:
    route = await quoted(wanted(), flat("Raydium", 1000), flat("Meteora", 1010))
    assert (route.chosen.venue, route.other and route.other.venue) == ("Meteora", "Raydium")
    assert (route.chosen.amount_out, route.other and route.other.amount_out) == (1010, 1000)
    assert route.decision == "Meteora pays 1.000 % more than Raydium"
    assert route.best_single == 1010


async def test_two_pools_of_one_venue_are_told_apart() -> None:
    route = await quoted(wanted(), flat("Meteora", 1000, "m1"), flat("Meteora", 1010, "m2"))
    assert route.decision == "Meteora pays 1.000 % more than another pool of Meteora"


async def test_venues_are_asked_side_by_side_for_the_orders_tokens_and_the_middle_ones() -> None:
    both_asked = asyncio.Event()

    class Meeting(FakeVenue):
        async def pools(self, attempt: Attempt, mints: Collection[str]) -> Sequence[Quoting]:
            found = await super().pools(attempt, mints)
            if all(venue.asked for venue in venues):
                both_asked.set()
            await both_asked.wait()
            return found

    venues = [Meeting("Raydium", [flat("Raydium", 2)]), Meeting("Meteora", [flat("Meteora", 1)])]
    route = await router(*venues, middles=(USDT, SOL)).route(wanted())
    assert route.chosen.venue == "Raydium"
    assert [venue.asked for venue in venues] == [[(wanted(), {SOL.key, USDC.key, USDT.key})]] * 2


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (FakeVenue("Raydium", QuoteUnavailable("Raydium: no pool")), "Raydium: no pool"),
        (FakeVenue("Raydium", RuntimeError("boom")), "Raydium: RuntimeError('boom')"),
        (Silent("Raydium"), "Raydium: no answer in 0.05 s"),
        (FakeVenue("Raydium", [FakePool("r1", "Raydium", PAIR, PoolClosed("not open yet"))]), "r1: not open yet"),
    ],
    ids=["refuses", "breaks", "keeps silent", "has a closed pool"],
)
async def test_one_venue_is_enough_and_the_other_is_named(failing: FakeVenue, reason: str) -> None:
    route = await router(failing, FakeVenue("Meteora", [flat("Meteora", 10)]), deadline=0.05).route(wanted())
    assert (route.chosen.venue, route.other) == ("Meteora", None)
    assert route.decision == f"Meteora: the only quote; {reason}"
    if isinstance(failing, Silent):
        assert failing.cancelled


async def test_no_pool_at_all_is_a_failure_that_names_every_venue() -> None:
    venues = [Silent("Raydium"), FakeVenue("Meteora", QuoteUnavailable("Meteora: no pool"))]
    with pytest.raises(QuoteUnavailable) as raised:
        await router(*venues, deadline=0.05).route(wanted())
    assert str(raised.value) == "Raydium: no answer in 0.05 s; Meteora: no pool"


@pytest.mark.parametrize(
    ("pools", "reason"),
    [
        ([], "no pool trades SOL for USDC"),
        ([FakePool("r1", "Raydium", PAIR, PoolClosed("not open yet"))], "r1: not open yet"),
        ([flat("Raydium", 1, amount_in=AMOUNT + 1)], "SOL to USDC: too little"),
    ],
    ids=["none", "closed", "too little"],
)
async def test_no_way_at_all_is_a_failure_that_says_why_in_the_tokens_names(
    pools: Sequence[Quoting], reason: str
) -> None:
    late = Silent("Meteora")
    with pytest.raises(QuoteUnavailable) as raised:
        await router(FakeVenue("Raydium", pools), deadline=0.05).route(wanted())
    assert str(raised.value) == reason
    if pools:
        with pytest.raises(QuoteUnavailable) as raised:
            await router(FakeVenue("Raydium", pools), late, deadline=0.05).route(wanted())
        assert str(raised.value) == f"{reason}; Meteora: no answer in 0.05 s"


async def test_equal_outputs_go_to_the_first_address_whoever_answered_first() -> None:
    for pools in ([flat("Raydium", 5), flat("Meteora", 5)], [flat("Meteora", 5), flat("Raydium", 5)]):
        route = await quoted(wanted(), *pools)
        assert route.chosen.venue == "Meteora"
        assert route.decision == "Meteora and Raydium pay the same"


@pytest.mark.parametrize(
    ("amount_out", "tolerance", "least"),
    [
        (1000, "0", 1000),
        (1000, "0.02", 980),
        (999, "0.02", 980),
        (1, "0.5", 1),
        (1, "0.999999999999999999999999", 1),
        (2**64 - 1, "0.000000000000000000000001", 2**64 - 1),
        (10**30, "0.000000000000000000000001", 10**30 - 10**6),
    ],
)
async def test_the_least_output_is_rounded_against_the_venue(amount_out: int, tolerance: str, least: int) -> None:
    route = await quoted(wanted(tolerance=tolerance), flat("Raydium", amount_out))
    assert route.min_amount_out == least
    assert route.objection(AMOUNT, least) is None
    assert route.objection(AMOUNT, least - 1) == (
        f"slippage exceeded: {least - 1} is less than the minimum of {least} base units"
    )


DEEP = (2 * 10**12, 10**12)
RAYDIUM, METEORA = product("m", "Raydium", PAIR, DEEP, 25), product("a", "Meteora", PAIR, DEEP, 20)


async def test_a_large_order_is_split_where_that_pays_more_than_the_best_pool_alone() -> None:
    amount = 4 * 10**11
    route = await quoted(wanted(amount), RAYDIUM, METEORA)
    # By the venues' own order, whatever the addresses of their pools.
    assert route.chosen.venue == "Raydium + Meteora"
    assert [(leg.pool, leg.venue, leg.hop) for leg in route.legs] == [("a", "Meteora", 1), ("m", "Raydium", 1)]
    assert sum(leg.amount_in for leg in route.legs) == route.chosen.amount_in == amount
    assert sum(leg.amount_out for leg in route.legs) == route.chosen.amount_out
    for leg, pool in zip(route.legs, (METEORA, RAYDIUM), strict=True):
        fill = pool.fill(leg.amount_in, True, NOW)
        assert (leg.amount_out, leg.fee_in, leg.fee_out) == (fill.amount_out, fill.fee_in, fill.fee_out)
    assert Decimal("0.0020") < route.chosen.fee < Decimal("0.0025")
    # What one pool alone would pay stays beside it.
    alone = METEORA.fill(amount, True, NOW).amount_out
    assert route.other
    assert (route.other.venue, route.other.amount_out, route.best_single) == ("Meteora", alone, alone)
    assert route.chosen.amount_out > alone
    gain = (Decimal(route.chosen.amount_out) / alone - 1) * 100
    assert route.decision == f"Raydium + Meteora pays {gain:.3f} % more than Meteora"
    assert 0 < route.price_impact < 1 - alone / (amount * 0.5 * 0.998)
    assert route.min_amount_out == -(-route.chosen.amount_out * 98 // 100)


async def test_a_small_order_goes_to_one_pool_and_liquidity_is_what_moves_its_price_by_a_percent() -> None:
    route = await quoted(wanted(10**6), RAYDIUM, METEORA)
    assert [leg.venue for leg in route.legs] == ["Meteora"]
    assert route.chosen.fee == Decimal("0.002")
    curve = METEORA.curve(True, NOW)
    within = route.chosen.liquidity * 10**SOL.decimals
    assert curve.amount_out(within) / within > float(curve.spot) * 0.99 > curve.amount_out(within * 3) / within / 3


async def test_a_way_over_a_middle_token_is_taken_where_it_pays_more() -> None:
    amount = 10**9
    first = product("1", "Raydium", (SOL.key, USDT.key), (10**15, 10**15), 25)
    second = product("2", "Meteora", (USDT.key, USDC.key), (10**15, 10**15), 20)
    direct = product("3", "Raydium", PAIR, (2 * 10**15, 10**15))
    route = await quoted(wanted(amount), first, second, direct)
    assert [(leg.pool, leg.hop, leg.mint_in, leg.mint_out) for leg in route.legs] == [
        ("1", 1, SOL.key, USDT.key),
        ("2", 2, USDT.key, USDC.key),
    ]
    assert route.legs[0].amount_out == route.legs[1].amount_in
    assert (route.middle, route.chosen.venue) == (USDT, "Raydium + Meteora")
    assert (route.chosen.amount_in, route.chosen.amount_out) == (amount, route.legs[1].amount_out)
    assert route.chosen.fee == round(1 - Decimal("0.9975") * Decimal("0.998"), 6)
    alone = direct.fill(amount, True, NOW).amount_out
    assert (route.other and route.other.venue, route.other and route.other.amount_out) == ("Raydium", alone)
    assert route.best_single == alone

    without = await quoted(wanted(amount), first, direct)
    assert ([leg.pool for leg in without.legs], without.middle) == (["3"], None)


@pytest.mark.parametrize("amount_out", [980, 999, 1001, 5000])
async def test_a_retry_is_held_to_the_bound_of_the_first_attempt(amount_out: int) -> None:
    route = await quoted(wanted(bound=980), flat("Raydium", amount_out))
    assert (route.min_amount_out, route.max_amount_in) == (980, AMOUNT)


async def test_a_quote_worse_than_the_bound_fails_with_both_numbers() -> None:
    with pytest.raises(QuoteUnavailable) as raised:
        await quoted(wanted(bound=980), flat("Raydium", 979), flat("Meteora", 970))
    assert str(raised.value) == "slippage exceeded: 979 is less than the minimum of 980 base units"
    with pytest.raises(QuoteUnavailable) as raised:
        await router(Silent("Raydium"), FakeVenue("Meteora", [flat("Meteora", 970)]), deadline=0.05).route(
            wanted(bound=980)
        )
    assert str(raised.value) == (
        "slippage exceeded: 970 is less than the minimum of 980 base units; Raydium: no answer in 0.05 s"
    )


async def test_the_clients_own_minimum_overrides_its_tolerance() -> None:
    for own in (1, 990, 1000):
        route = await quoted(wanted(min_amount_out=own), flat("Raydium", 1000))
        assert route.min_amount_out == own
    with pytest.raises(QuoteUnavailable, match="1000 is less than the minimum of 1001 base units"):
        await quoted(wanted(min_amount_out=1001), flat("Raydium", 1000))


async def test_a_wanted_output_is_bought_for_the_least_input() -> None:
    # 3 and 4 base units for one.
    route = await quoted(bought(1000), flat("Raydium", 1, amount_in=3), flat("Meteora", 1, amount_in=4))
    assert (route.chosen.venue, route.chosen.amount_in, route.chosen.amount_out) == ("Raydium", 3000, 1000)
    assert (route.other and route.other.amount_in, route.best_single) == (4000, 3000)
    assert route.decision == "Raydium costs 33.333 % less than Meteora"
    assert (route.min_amount_out, route.max_amount_in) == (1000, 3060)
    assert route.objection(3060, 1000) is None
    assert route.objection(3061, 1000) == "slippage exceeded: 3061 is more than the maximum of 3060 base units"
    assert route.objection(3000, 999) == "slippage exceeded: 999 is less than the minimum of 1000 base units"
    same = await quoted(bought(1000), flat("Raydium", 1, amount_in=3), flat("Meteora", 1, amount_in=3))
    assert same.decision == "Meteora and Raydium cost the same"


async def test_a_purchase_is_split_and_its_least_input_pays_what_is_wanted() -> None:
    amount_out = 10**11
    route = await quoted(bought(amount_out), RAYDIUM, METEORA)
    assert route.chosen.venue == "Raydium + Meteora"
    assert route.best_single == METEORA.curve(True, NOW).amount_in(amount_out)
    assert route.chosen.amount_in < route.best_single
    assert route.chosen.amount_out >= amount_out == route.min_amount_out


@pytest.mark.parametrize(
    ("amount_in", "tolerance", "most"),
    [(1000, "0", 1000), (1000, "0.02", 1020), (999, "0.02", 1018), (1, "0.999999999999999999999999", 1)],
)
async def test_the_most_input_is_rounded_against_the_venue(amount_in: int, tolerance: str, most: int) -> None:
    route = await quoted(bought(7, tolerance), flat("Raydium", 7, amount_in=amount_in))
    assert (route.chosen.amount_in, route.max_amount_in) == (amount_in, most)


async def test_a_purchase_is_held_to_its_bound_or_to_the_clients_own_maximum() -> None:
    dear, cheap = flat("Raydium", 7, amount_in=1020), flat("Raydium", 7, amount_in=900)
    for pool in (dear, cheap):
        assert (await quoted(bought(7, bound=1020), pool)).max_amount_in == 1020
        assert (await quoted(bought(7, max_amount_in=1500), pool)).max_amount_in == 1500
        # The bound holds what the client gave already.
        assert (await quoted(bought(7, bound=1400, max_amount_in=1500), pool)).max_amount_in == 1400
    for attempt in (bought(7, bound=1019), bought(7, max_amount_in=1019)):
        with pytest.raises(QuoteUnavailable, match="1020 is more than the maximum of 1019 base units"):
            await quoted(attempt, dear)

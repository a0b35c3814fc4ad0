"""The best way from one token to another through pools: directly, or over one token in the middle."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import NamedTuple

import msgspec

from chalicelib.domain.errors import PoolRefused, QuoteUnavailable
from chalicelib.domain.quote import Leg
from chalicelib.routing.split import Allocation, split, split_out
from chalicelib.solana.clock import Clock
from chalicelib.venues.pool import Curve, Quoting

# More swaps do not fit into one transaction.
MOST_LEGS = 3
# A split makes a larger transaction, so it must pay so much more than the best pool alone.
MIN_GAIN_BPS = 1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Swaps that together turn one token into another. Amounts in base units."""

    # In the order in which they execute.
    legs: tuple[Leg, ...]
    amount_in: int
    amount_out: int
    # 1 - (output / input) / (best price after fees at size zero); below 0 where fees fall on the way.
    # 0 where a transfer's fee takes all of the first units.
    price_impact: float
    # What each pool that trades the one for the other would do alone, the best first.
    alone: tuple[Leg, ...]
    # What the best pool alone would have paid, or needed; where none can, one pool on each hop; None where none can.
    single: int | None
    # What hop one pays of the middle token and hop two does not need: it stays with the trader.
    surplus: int
    # Pools that were left out, and why.
    left_out: tuple[str, ...]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A swap that is sought: exactly `amount_in` is sold, or at least `amount_out` bought; one of them is given."""

    mint_in: str
    mint_out: str
    amount_in: int | None = None
    amount_out: int | None = None

    def __post_init__(self) -> None:
        if (self.amount_in is None) == (self.amount_out is None):
            raise ValueError("give one amount")


class _Hop(NamedTuple):
    """The pools that trade one token for another now, by address, and what they pay."""

    mint_in: str
    mint_out: str
    pools: list[Quoting]
    curves: list[Curve]


class _Path(NamedTuple):
    """One or two hops, the swaps on them, and what these come to."""

    hops: Sequence[_Hop]
    legs: tuple[Leg, ...]
    amount_in: int
    amount_out: int
    # Of the middle token.
    surplus: int = 0

    def cost(self, wish: Wish) -> int:
        """The less, the better."""
        return self.amount_in if wish.amount_in is None else -self.amount_out

    def price_impact(self) -> float:
        """What the swaps lose against the best pools' prices at size zero."""
        spots = [max([curve.spot for curve in hop.curves]) for hop in self.hops]
        # In integers: each operation on fractions would look for a common divisor.
        fair = self.amount_in * prod([spot.numerator for spot in spots])
        paid = self.amount_out * prod([spot.denominator for spot in spots])
        return (fair - paid) / fair if fair else 0.0


class Planner(msgspec.Struct, frozen=True, kw_only=True):
    """Finds the best path. `middles` are the mints of the tokens that a path of two hops may go over."""

    middles: tuple[str, ...] = ()
    most_legs: int = MOST_LEGS
    min_gain_bps: int = MIN_GAIN_BPS

    def plan(self, wish: Wish, pools: Iterable[Quoting], clock: Clock) -> Plan:
        """The path that pays most, or needs least; of equals the one with fewer legs, then with lower addresses.

        Raises QuoteUnavailable, naming what pools and paths said.
        """
        left_out: list[str] = []
        refused: list[str] = []
        found: list[tuple[int, _Path]] = []
        alone: list[Leg] = []
        over: list[int] = []
        for hops in self._ways(wish, _ordered(pools), clock, left_out):
            if len(hops) == 1 and (alone := _alone(hops[0], wish)):
                path = _Path(hops, (alone[0],), alone[0].amount_in, alone[0].amount_out)
                found.append((path.cost(wish), path))
                if self.most_legs == 1:
                    continue
            for most in self._legs(len(hops)):
                try:
                    path = self._shared(hops, most, wish)
                except PoolRefused as error:
                    refused.append(f"{_named(hops)}: {error}")
                    continue
                found.append((path.cost(wish), path))
                if most == (1, 1):
                    over.append(path.cost(wish))
        if not found:
            reasons = dict.fromkeys([*left_out, *refused]) or [f"no pool trades {wish.mint_in} for {wish.mint_out}"]
            raise QuoteUnavailable("; ".join(reasons))
        _, best = min(found, key=lambda each: (each[0], len(each[1].legs), [leg.pool for leg in each[1].legs]))
        single = found[0][0] if alone else min(over, default=None)
        return Plan(
            legs=best.legs,
            amount_in=best.amount_in,
            amount_out=best.amount_out,
            price_impact=best.price_impact(),
            alone=tuple(alone),
            single=None if single is None else abs(single),
            surplus=best.surplus,
            left_out=tuple(dict.fromkeys(left_out)),
        )

    def spot(self, mint_in: str, mint_out: str, pools: Iterable[Quoting], clock: Clock) -> Fraction | None:
        """The best price after fees at size zero, output for one unit of input; None where there is no way."""
        wish = Wish(mint_in=mint_in, mint_out=mint_out, amount_in=1)
        ways = [
            prod([max([curve.spot for curve in hop.curves]) for hop in hops], start=Fraction(1))
            for hops in self._ways(wish, _ordered(pools), clock, [])
        ]
        return max(ways, default=None)

    def _ways(self, wish: Wish, pools: Sequence[Quoting], clock: Clock, left_out: list[str]) -> Iterator[list[_Hop]]:
        """The direct way and those over a middle token, where each hop has a pool."""
        if wish.mint_in == wish.mint_out:
            return
        ends = (wish.mint_in, wish.mint_out)
        middles = [middle for middle in self.middles if middle not in ends] if self.most_legs > 1 else []
        for mints in (ends, *((wish.mint_in, middle, wish.mint_out) for middle in middles)):
            hops = [_hop(pools, *pair, clock, left_out) for pair in pairwise(mints)]
            if all(hop.curves for hop in hops):
                yield hops

    def _legs(self, hops: int) -> Iterable[tuple[int, ...]]:
        """How many legs each hop may have at most."""
        if hops == 1:
            return [(self.most_legs,)]
        return dict.fromkeys([(1, 1), *((one, self.most_legs - one) for one in range(1, self.most_legs))])

    def _shared(self, hops: Sequence[_Hop], most: Sequence[int], wish: Wish) -> _Path:
        """The best on each hop, the first of them first: one's output is the next one's input. Raises PoolRefused."""
        shares: list[Allocation] = []
        if wish.amount_in is not None:
            amount = wish.amount_in
            for hop, legs in zip(hops, most, strict=True):
                shares.append(split(hop.curves, amount, legs, self.min_gain_bps))
                amount = shares[-1].amount_out
        elif wish.amount_out is not None:
            amount = wish.amount_out
            for hop, legs in zip(reversed(hops), reversed(most), strict=True):
                shares.insert(0, split_out(hop.curves, amount, legs, self.min_gain_bps))
                amount = shares[0].amount_in
        swaps = tuple(
            _leg(hop, pool, amount_in, amount_out, number)
            for number, (hop, share) in enumerate(zip(hops, shares, strict=True), 1)
            for pool, amount_in, amount_out in zip(hop.pools, share.inputs, share.outputs, strict=True)
            if amount_in
        )
        first, last = shares[0], shares[-1]
        surplus = first.amount_out - last.amount_in if len(hops) > 1 else 0
        return _Path(hops, swaps, first.amount_in, last.amount_out, surplus)


def _alone(hop: _Hop, wish: Wish) -> list[Leg]:
    """What each pool would do alone, the best first."""
    legs: list[Leg] = []
    for pool, curve in zip(hop.pools, hop.curves, strict=True):
        try:
            amount_in = wish.amount_in if wish.amount_in is not None else curve.amount_in(wish.amount_out or 0)
            legs.append(_leg(hop, pool, amount_in, curve.amount_out(amount_in)))
        except PoolRefused:
            # A split, which asks it again, says why.
            continue
    return sorted(legs, key=lambda leg: (leg.amount_in, -leg.amount_out))


def _leg(hop: _Hop, pool: Quoting, amount_in: int, amount_out: int, number: int = 1) -> Leg:
    return Leg(
        pool=pool.address,
        venue=pool.venue,
        mint_in=hop.mint_in,
        mint_out=hop.mint_out,
        amount_in=amount_in,
        amount_out=amount_out,
        hop=number,
    )


def _ordered(pools: Iterable[Quoting]) -> list[Quoting]:
    """Each pool once, by address."""
    return [pool for _, pool in sorted({pool.address: pool for pool in pools}.items())]


def _hop(pools: Sequence[Quoting], mint_in: str, mint_out: str, clock: Clock, left_out: list[str]) -> _Hop:
    """The pools that trade the one for the other; those that refuse are added to what is left out."""
    hop = _Hop(mint_in, mint_out, [], [])
    for pool in pools:
        if pool.mints in ((mint_in, mint_out), (mint_out, mint_in)):
            try:
                hop.curves.append(pool.curve(pool.mints[0] == mint_in, clock))
                hop.pools.append(pool)
            except PoolRefused as error:
                left_out.append(f"{pool.address}: {error}")
    return hop


def _named(hops: Sequence[_Hop]) -> str:
    return " to ".join([hops[0].mint_in, *(hop.mint_out for hop in hops)])

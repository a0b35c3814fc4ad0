"""Spreads one swap over several pools, so that all of it is worth the most.

Where outputs are concave in the input, the best split has one marginal price on all its legs (Angeris et al., "Optimal
Routing for Constant Function Market Makers", 2022): so the price is sought at which the curves together take the
amount. A fee that falls while the price moves makes an output convex in places, so the best single curve is always
compared too. Amounts are integers of base units.
"""

from collections.abc import Sequence
from itertools import combinations
from math import inf
from operator import itemgetter

import msgspec

from chalicelib.domain.errors import InsufficientLiquidity, PoolRefused, ZeroOutput
from chalicelib.routing.bracket import Bracket
from chalicelib.routing.sides import Buying, Offer, Part, Selling, paid
from chalicelib.venues.pool import Curve

# So many groups of curves are tried at most.
GROUPS = 64


# A group of offers, behind what it costs at least.
Rival = tuple[float, tuple[Offer, ...]]


class Allocation(msgspec.Struct, frozen=True):
    """What each curve is given and pays, in the order of the curves; both 0 where one is left out."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def amount_in(self) -> int:
        """The input in all."""
        return sum(self.inputs)

    @property
    def amount_out(self) -> int:
        """The output in all."""
        return sum(self.outputs)


def split(curves: Sequence[Curve], amount_in: int, most_legs: int, min_gain_bps: int = 0) -> Allocation:
    """Sell exactly so much for the largest output, over at most so many curves.

    Only a split that pays more than the best curve alone, by at least `min_gain_bps` of 10^-4, is made.
    Raises ZeroOutput or InsufficientLiquidity.
    """
    return _allocate(Selling(amount_in), curves, most_legs, min_gain_bps)


def split_out(curves: Sequence[Curve], amount_out: int, most_legs: int, min_gain_bps: int = 0) -> Allocation:
    """Buy at least so much for the least input; otherwise like `split`. A leg's input is the least for its output."""
    return _allocate(Buying(amount_out), curves, most_legs, min_gain_bps)


def _allocate(side: Selling | Buying, curves: Sequence[Curve], most_legs: int, min_gain_bps: int) -> Allocation:
    offers = [offer for at, curve in enumerate(curves) if (offer := side.offer(at, curve)).limit]
    singles = [[Part(each, each.most_in, each.most_out)] for each in offers if each.limit == side.amount]
    single = min(singles, key=side.cost, default=[])
    chosen = single
    if most_legs > 1 and len(offers) > 1:
        shared = _share(side, offers, most_legs, single)
        gain = side.cost(single) - side.cost(shared)
        if not single or gain * 10_000 >= min_gain_bps * abs(side.cost(single)):
            chosen = shared
    if not chosen:
        raise _refusal(side, curves)
    inputs, outputs = [0] * len(curves), [0] * len(curves)
    for leg in chosen:
        inputs[leg.offer.position], outputs[leg.offer.position] = leg.amount_in, leg.amount_out
    return Allocation(tuple(inputs), tuple(outputs))


def _refusal(side: Selling | Buying, curves: Sequence[Curve]) -> PoolRefused:
    """The error that tells what each curve says to the whole amount."""
    errors: list[PoolRefused] = []
    for curve in curves:
        try:
            side.ask(curve)
        except PoolRefused as error:
            errors.append(error)
    said = "; ".join(dict.fromkeys(map(str, errors))) or "there is no pool"
    zero = errors and all(isinstance(error, ZeroOutput) for error in errors)
    return ZeroOutput(said) if zero else InsufficientLiquidity(said)


def _share(side: Selling | Buying, offers: list[Offer], most_legs: int, single: list[Part]) -> list[Part]:
    """The best of the single leg and of groups that share; no legs where nobody can serve the amount."""
    if sum(offer.limit for offer in offers) < side.amount:
        return single
    whole = Bracket(side, offers)
    whole.close(_first_guess(offers, single))
    sizes = whole.sizes()
    used = {offer.position for offer, size in zip(offers, sizes, strict=True) if size}
    groups = [
        group
        for count in range(2, most_legs + 1)
        for group in combinations(offers, count)
        if sum([offer.limit for offer in group]) >= side.amount
    ]
    best = single
    if len(used) <= most_legs:
        best = _better(side, single, side.settle(offers, sizes))
        # Who has all that are used, and others too, does what was just done.
        groups = [group for group in groups if not used.issubset([offer.position for offer in group])]
    return _best_group(side, whole, groups, best)


def _best_group(
    side: Selling | Buying, whole: Bracket, groups: Sequence[tuple[Offer, ...]], best: list[Part]
) -> list[Part]:
    """The best that one of some groups can do, or what was the best before.

    Whatever the price, no group does better than if each of its offers took what it is worth at it: so groups are
    tried in the order of that bound, until none can be better.
    """
    rivals: list[Rival] = [(-inf, group) for group in groups]
    price = whole.price()
    for _ in range(GROUPS):
        if not rivals:
            break
        offers = {offer.position: offer for _, group in rivals for offer in group}
        worth = {position: _surplus(offer, price) for position, offer in offers.items()}
        rivals = [
            (max(bound, side.least_cost(price, sum([worth[offer.position] for offer in group]))), group)
            for bound, group in rivals
        ]
        rivals = _hopeful(side, best, rivals)
        if rivals:
            _, group = rivals.pop(0)
            bracket = whole.only(group)
            bracket.close()
            best = _better(side, best, side.settle(group, bracket.sizes()))
            price = bracket.price()
            rivals = _hopeful(side, best, rivals)
    return best


def _hopeful(side: Selling | Buying, best: list[Part], rivals: list[Rival]) -> list[Rival]:
    """Those that may be better than the best, the most hopeful first."""
    most = side.cost(best) - 1 if best else inf
    return sorted([rival for rival in rivals if rival[0] <= most], key=itemgetter(0))


def _better(side: Selling | Buying, best: list[Part], other: list[Part]) -> list[Part]:
    """The better of two, where the first is no worse; no legs serve nothing."""
    return other if other and (not best or side.cost(other) < side.cost(best)) else best


def _surplus(offer: Offer, price: float) -> float:
    """What an offer pays above a price for what it takes at it, for all that it can take, or for nothing."""
    size = min(offer.curve.input_at(price), offer.most_in)
    return max(0.0, offer.most_out + 1 - price * offer.most_in, paid(offer.curve, size) + 1 - price * size)


def _first_guess(offers: list[Offer], single: list[Part]) -> float:
    """About the price where the best curve alone would end: exact for a constant product."""
    if not single:
        return max(offer.top for offer in offers) / 4
    [leg] = single
    return (leg.amount_out / leg.amount_in) ** 2 / leg.offer.top

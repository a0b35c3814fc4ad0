"""The two kinds of swap that are spread: sell exactly so much, and buy at least so much.

What is shared out differs: inputs in the one, outputs in the other; so a `size` is an input or an output.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from chalicelib.domain.errors import PoolRefused, ZeroOutput
from chalicelib.venues.pool import Curve


class Offer(NamedTuple):
    """A curve as far as it can serve one swap: at most `most_in`, which pays `most_out`; `limit` is that as a size."""

    position: int
    curve: Curve
    most_in: int
    most_out: int
    limit: int
    # The price of the first unit, or the mean price of all where that is higher; above 0 where the limit is.
    top: float


class Part(NamedTuple):
    """An offer's part of a swap."""

    offer: Offer
    amount_in: int
    amount_out: int


class Selling:
    """Exact input: inputs are shared out, for the largest output."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def offer(self, position: int, curve: Curve) -> Offer:
        """What a curve can do."""
        most_in, most_out = _taken(curve, self.amount)
        return Offer(position, curve, most_in, most_out, most_in if most_out else 0, _top(curve, most_in, most_out))

    def ask(self, curve: Curve) -> int:
        """What a curve alone pays. Raises PoolRefused."""
        return curve.amount_out(self.amount)

    @staticmethod
    def cost(legs: Sequence[Part]) -> int:
        """The less, the better."""
        return -sum(leg.amount_out for leg in legs)

    def least_cost(self, price: float, worth: float) -> float:
        """A bound on the cost for offers that pay at most so much above a price."""
        return -(price * self.amount + worth)

    @staticmethod
    def sizes(offers: Sequence[Offer], price: float) -> list[int]:
        """How much each takes until its next unit pays less than the price."""
        return [min(offer.curve.input_at(price), offer.limit) for offer in offers]

    @staticmethod
    def loss(low: float, high: float) -> float:
        """What a unit of size loses at most, placed at a price between two instead of the other."""
        return high - low

    @staticmethod
    def mean(offer: Offer, less: int, more: int) -> float:
        """The mean price between two sizes."""
        return (paid(offer.curve, more) - paid(offer.curve, less)) / (more - less)

    def settle(self, offers: Sequence[Offer], sizes: Sequence[int]) -> list[Part]:
        """Round each leg down to the least input for its output, and buy the cheapest next units of what is left.

        No legs where some of the amount finds no room.
        """
        legs: list[Part] = []
        for offer, size in zip(offers, sizes, strict=True):
            if out := paid(offer.curve, size):
                legs.append(Part(offer, offer.curve.amount_in(out), out))
        if sum(leg.offer.limit for leg in legs) < self.amount:
            legs = self._with_least([offer for offer, size in zip(offers, sizes, strict=True) if size], legs)
        dust = self.amount - sum(leg.amount_in for leg in legs)
        steps = [_next_unit(leg) for leg in legs] if dust else []
        # Each leg was rounded down by less than a unit; a few more may come of legs that paid nothing.
        for _ in range(2 * len(offers)):
            if not dust or (cheapest := min(steps, default=inf)) > dust:
                break
            at = steps.index(cheapest)
            legs[at] = _with_input(legs[at], legs[at].amount_in + int(cheapest))
            steps[at] = _next_unit(legs[at])
            dust -= int(cheapest)
        for at, leg in enumerate(legs):
            if room := min(dust, leg.offer.limit - leg.amount_in):
                legs[at] = _with_input(leg, leg.amount_in + room)
                dust -= room
        return [] if dust or not all(leg.amount_out for leg in legs) else legs

    def _with_least(self, offers: Sequence[Offer], legs: list[Part]) -> list[Part]:
        """Give offers whose size paid nothing, but that are needed, their least input, off the largest leg."""
        served = {leg.offer.position: leg for leg in legs}
        found = [
            served.get(offer.position) or _with_input(Part(offer, 0, 0), offer.curve.amount_in(1)) for offer in offers
        ]
        over = max(0, sum(leg.amount_in for leg in found) - self.amount)
        at, largest = max(enumerate(found), key=lambda each: each[1].amount_in, default=(0, None))
        if largest is None or largest.amount_in <= over:
            return []
        amount_in = largest.amount_in - over
        found[at] = largest._replace(amount_in=amount_in, amount_out=paid(largest.offer.curve, amount_in))
        return found


class Buying:
    """Exact output: outputs are shared out, for the least input."""

    def __init__(self, amount: int) -> None:
        self.amount = amount

    def offer(self, position: int, curve: Curve) -> Offer:
        """What a curve can do."""
        try:
            most_in = self.ask(curve)
        except PoolRefused:
            most_in = curve.capacity
        most_in, most_out = _taken(curve, most_in)
        return Offer(position, curve, most_in, most_out, min(most_out, self.amount), _top(curve, most_in, most_out))

    def ask(self, curve: Curve) -> int:
        """What a curve alone needs. Raises PoolRefused."""
        return curve.amount_in(self.amount)

    @staticmethod
    def cost(legs: Sequence[Part]) -> int:
        """The less, the better."""
        return sum(leg.amount_in for leg in legs)

    def least_cost(self, price: float, worth: float) -> float:
        """A bound on the cost for offers that pay at most so much above a price."""
        return (self.amount - worth) / price

    @staticmethod
    def sizes(offers: Sequence[Offer], price: float) -> list[int]:
        """How much each pays until its next unit pays less than the price."""
        return [
            min(paid(offer.curve, min(offer.curve.input_at(price), offer.most_in)), offer.limit) for offer in offers
        ]

    @staticmethod
    def loss(low: float, high: float) -> float:
        """What a unit of size loses at most, placed at a price between two instead of the other."""
        return 1 / low - 1 / high

    @staticmethod
    def mean(offer: Offer, less: int, more: int) -> float:
        """The mean price between two sizes."""
        return (more - less) / max(1, offer.curve.amount_in(more) - (offer.curve.amount_in(less) if less else 0))

    def settle(self, offers: Sequence[Offer], sizes: Sequence[int]) -> list[Part]:
        """Take the least input for each leg, and give up units of input that the sum can do without."""
        legs: list[Part] = []
        for offer, size in zip(offers, sizes, strict=True):
            if size:
                amount_in = offer.curve.amount_in(size)
                legs.append(Part(offer, amount_in, offer.curve.amount_out(amount_in)))
        spare = sum(leg.amount_out for leg in legs) - self.amount
        # Also with nothing to spare: after a unit that cost some output there may be one that costs none.
        while spare >= 0:
            fewer = [_with_less(leg) for leg in legs]
            losses = [leg.amount_out - less.amount_out for leg, less in zip(legs, fewer, strict=True)]
            if (least := min(losses)) > spare:
                break
            at = losses.index(least)
            legs[at : at + 1] = [fewer[at]] if fewer[at].amount_out else []
            spare -= least
        return legs


def paid(curve: Curve, amount_in: int) -> int:
    """What a curve pays for an input that it takes; 0 for too little."""
    try:
        return curve.amount_out(amount_in) if amount_in else 0
    except ZeroOutput:
        return 0


def _taken(curve: Curve, amount_in: int) -> tuple[int, int]:
    """As much of an input as a curve takes, and what it pays for it."""
    try:
        return amount_in, paid(curve, amount_in)
    except PoolRefused:
        # Asked for only here: a curve may have to look at all of its bins to tell it.
        amount_in = min(amount_in, curve.capacity)
    try:
        return amount_in, paid(curve, amount_in)
    except PoolRefused:
        return 0, 0


def _top(curve: Curve, most_in: int, most_out: int) -> float:
    spot = curve.spot
    return max(spot.numerator / spot.denominator, most_out / max(1, most_in))


def _with_input(leg: Part, amount_in: int) -> Part:
    return Part(leg.offer, amount_in, leg.offer.curve.amount_out(amount_in))


def _with_less(leg: Part) -> Part:
    """A leg with one unit of input less; it may pay nothing."""
    return leg._replace(amount_in=leg.amount_in - 1, amount_out=paid(leg.offer.curve, leg.amount_in - 1))


def _next_unit(leg: Part) -> float:
    """What another unit of output costs; infinite where none is left."""
    try:
        return leg.offer.curve.amount_in(leg.amount_out + 1) - leg.amount_in
    except PoolRefused:
        return inf

"""The search for the price at which some curves together take an amount."""

from collections.abc import Sequence
from math import inf, sqrt

from chalicelib.routing.sides import Buying, Offer, Selling

# So many prices are looked at.
PRICES = 64
# What a search may leave on the table, in units of output (exact output: of input).
TOLERANCE = 0.5
# A price that is not too high yet is raised by so much.
HIGHER = 1.25
# A step in search of a low enough price goes a little too far, and at most to 1/16 of the price before.
OVERSHOOT, FARTHEST = 1.05, 4.0
# How far beside a bin's price the search looks: less moves the other curves by nothing that matters.
BESIDE = 1e-7
# Two prices so near each other have a bin between them, or nothing that matters.
NARROW = 3 * BESIDE
# A bin is looked for where the nearer end is nearer than 1/8 of the widest room, and after every such many steps.
NEAR, PATIENCE = 8, 1
# At least 1/64 of the room tells the bin's price: less of it is all rounding.
PART = 6


class Bracket:
    """A price that is too high, one that is too low, and the sizes that the offers have at both.

    It closes in by regula falsi (Illinois) on the price to the power -1/2, in which the input of a constant product
    is linear. A bin makes a jump there, which that does not find; so now and then the mean price of what the offer with
    the widest room takes next is looked at: where this lies in one bin, it is the bin's own.
    """

    def __init__(self, side: Selling | Buying, offers: Sequence[Offer]) -> None:
        self._side, self._offers = side, offers
        self._high, self._low = max([offer.top for offer in offers]) * (1 + 1e-9), 0.0
        # Whether the high price was ever looked at.
        self._seen = False
        self._above, self._below = [0] * len(offers), [offer.limit for offer in offers]
        self._rooms = self._below
        self._spread = sum(self._below)
        # What the high price lacks of the amount.
        self._lack = side.amount
        self._first = self._high_root = self._low_root = 1 / sqrt(self._high)
        # How far both ends are from the amount, as Illinois weighs it, and whether the high one moved last.
        self._high_weight, self._low_weight, self._fell = float(self._lack), inf, True
        # The price of a bin that is to be looked at from below; whether one was looked at last; steps since then.
        self._edge, self._looked, self._steps = 0.0, False, 0

    def only(self, offers: Sequence[Offer]) -> "Bracket":
        """The same search for some of the offers, which starts where this one is."""
        bracket = Bracket(self._side, offers)
        kept = [self._offers.index(offer) for offer in offers]
        if self._seen:
            bracket._enter(self._high, [self._above[at] for at in kept])
        if self._low:
            bracket._enter(self._low, [self._below[at] for at in kept])
        return bracket

    def close(self, price: float = 0.0) -> None:
        """Search until it is closed, first at a price if one is given."""
        if price:
            self._narrow_to(price)
        for _ in range(PRICES):
            if not self._closed():
                self._narrow_to(self._next())
            elif self._seen:
                break
            else:
                self._look_above()

    def sizes(self) -> list[int]:
        """Sizes that sum to the amount."""
        if self._narrow():
            sizes = list(self._above)
        else:
            # Each as far between the two ends as the others.
            sizes = [
                less + room * self._lack // self._spread for less, room in zip(self._above, self._rooms, strict=True)
            ]
        rest = self._side.amount - sum(sizes)
        for at, most in enumerate(self._below):
            step = min(rest, most - sizes[at])
            sizes[at] += step
            rest -= step
        return sizes

    def price(self) -> float:
        """About the price of the last unit of each."""
        return (self._low + self._high) / 2 if self._low else self._high

    def _narrow_to(self, price: float) -> None:
        """Replace an end by such a price, which is brought between them."""
        if not self._low < price < self._high:
            price = (self._low + self._high) / 2
        self._enter(price, self._side.sizes(self._offers, price))

    def _look_above(self) -> None:
        """See whether the high price is too high: where the fee of a transfer has reached its maximum, more is paid."""
        self._enter(self._high, self._side.sizes(self._offers, self._high))
        if not self._seen:
            self._high *= HIGHER
            self._high_root = 1 / sqrt(self._high)

    def _enter(self, price: float, sizes: list[int]) -> None:
        over = sum(sizes) - self._side.amount
        if over < 0:
            self._low_weight /= 2 if self._fell else 1
            self._above, self._high, self._high_root = sizes, price, 1 / sqrt(price)
            self._lack, self._high_weight, self._fell = -over, float(-over), True
            self._seen = True
        else:
            self._edge = 0.0
            self._high_weight /= 1 if self._fell else 2
            self._below, self._low, self._low_root = sizes, price, 1 / sqrt(price)
            self._low_weight, self._fell = float(over), False
        self._rooms = [more - less for less, more in zip(self._above, self._below, strict=True)]
        self._spread = sum(self._rooms)

    def _closed(self) -> bool:
        """Whether what may have gone to the wrong offer between the two prices is too little to matter."""
        loose = min(self._lack, self._spread - self._lack, self._spread - max(self._rooms))
        if loose == 0 or self._narrow():
            return True
        return self._low > 0 and loose * self._side.loss(self._low, self._high) <= TOLERANCE

    def _next(self) -> float:
        """Where to look next."""
        if not self._low:
            taken = max(self._side.amount - self._lack, 1)
            root = self._first + (self._high_root - self._first) * OVERSHOOT * self._side.amount / taken
            return 1 / min(root, self._high_root * FARTHEST) ** 2
        if self._edge:
            # Its bin was not reached from above.
            return self._below_edge()
        self._steps += 1
        widest, nearer = max(self._rooms), min(self._lack, self._spread - self._lack)
        if not self._looked and (nearer * NEAR < widest or self._steps > PATIENCE):
            self._looked, self._steps = True, 0
            self._edge = self._mean(self._rooms.index(widest), max(nearer, widest >> PART))
            return self._edge * (1 + BESIDE) if self._edge * (1 + BESIDE) < self._high else self._below_edge()
        self._looked = False
        share = self._high_weight / (self._high_weight + self._low_weight)
        return 1 / (self._high_root + (self._low_root - self._high_root) * share) ** 2

    def _mean(self, at: int, part: int) -> float:
        """The mean price of such a part of an offer's room, at the end that is nearer to the amount."""
        less, more = self._above[at], self._below[at]
        if self._lack * 2 < self._spread:
            return self._side.mean(self._offers[at], less, min(less + part, more))
        return self._side.mean(self._offers[at], max(more - part, less), more)

    def _below_edge(self) -> float:
        price, self._edge = self._edge * (1 - BESIDE), 0.0
        return price

    def _narrow(self) -> bool:
        return self._high - self._low <= NARROW * self._high

"""Curves to try a router on: each pays the floor of a simple function."""

import math
from collections.abc import Sequence
from fractions import Fraction

from chalicelib.domain.errors import InsufficientLiquidity, ZeroOutput


class Simple:
    """A curve that is given by what it pays, `_pays`, and up to which input."""

    def __init__(self, spot: Fraction, capacity: int) -> None:
        self.spot, self.capacity = spot, capacity

    def _pays(self, amount_in: int) -> int:
        raise NotImplementedError

    def gain(self, price: Fraction) -> Fraction:
        """At least the most that it pays above a price for what it takes, as little more as can be told."""
        raise NotImplementedError

    def amount_out(self, amount_in: int) -> int:
        if amount_in > self.capacity:
            raise InsufficientLiquidity("too much")
        if (out := self._pays(amount_in)) == 0:
            raise ZeroOutput("too little")
        return out

    def amount_in(self, amount_out: int) -> int:
        if not amount_out:
            raise ZeroOutput("too little")
        low, high = 0, self.capacity
        if self._pays(high) < amount_out:
            raise InsufficientLiquidity("too much")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._pays(middle) >= amount_out else (middle, high)
        return high


class Product(Simple):
    """Constant product of x and y, with a fee on the input."""

    def __init__(self, x: int, y: int, fee_bps: int = 0, capacity: int = 2**64 - 1) -> None:
        self.x, self.y, self.keep = x, y, 10_000 - fee_bps
        super().__init__(Fraction(y * self.keep, x * 10_000), capacity)

    def _pays(self, amount_in: int) -> int:
        net = amount_in * self.keep // 10_000
        return net * self.y // (self.x + net)

    def gain(self, price: Fraction) -> Fraction:
        # (sqrt(y) - sqrt(slope * x))^2
        slope = price * 10_000 / self.keep
        if slope * self.x >= self.y:
            return Fraction(0)
        return self.y + slope * self.x - 2 * Fraction(math.isqrt(int(slope * self.x * self.y * 10**12)), 10**6)

    def input_at(self, price: float) -> int:
        factor = self.keep / 10_000
        return min(self.capacity, max(0, int((math.sqrt(factor * self.x * self.y / price) - self.x) / factor)))


class Steps(Simple):
    """Bins of (price, size in input), one after the other; prices may rise."""

    def __init__(self, bins: Sequence[tuple[Fraction, int]]) -> None:
        self.bins = bins
        super().__init__(bins[0][0], sum(size for _, size in bins))

    def _pays(self, amount_in: int) -> int:
        out = Fraction(0)
        for price, size in self.bins:
            out += price * min(size, amount_in)
            amount_in -= min(size, amount_in)
        return int(out)

    def gain(self, price: Fraction) -> Fraction:
        return sum((max(each - price, Fraction(0)) * size for each, size in self.bins), Fraction(0))

    def input_at(self, price: float) -> int:
        last = max((at for at, (each, _) in enumerate(self.bins) if each >= price), default=-1)
        return sum(size for _, size in self.bins[: last + 1])


class Linear(Simple):
    """A price that falls in a line, from `start` by start / (2 * capacity) a unit: to half of it where it ends."""

    def __init__(self, start: Fraction, capacity: int) -> None:
        super().__init__(start, capacity)

    def _pays(self, amount_in: int) -> int:
        return int(self.spot * amount_in * (4 * self.capacity - amount_in) / (4 * self.capacity))

    def gain(self, price: Fraction) -> Fraction:
        best = min(self.capacity, max(0, (1 - price / self.spot) * 2 * self.capacity))
        return self.spot * best * (4 * self.capacity - best) / (4 * self.capacity) - price * best

    def input_at(self, price: float) -> int:
        return min(self.capacity, max(0, int((1 - price / float(self.spot)) * 2 * self.capacity)))

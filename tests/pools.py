"""Pools to try a router on, and venues that offer them."""

from collections.abc import Collection, Sequence

from chalicelib.domain.errors import PoolRefused
from chalicelib.solana.clock import Clock
from chalicelib.venues.base import Attempt
from chalicelib.venues.pool import Curve, Fill, Quoting
from tests.curves import Product

NOW = Clock(slot=1, epoch=1, timestamp=1_760_000_000)


class FakePool:
    """A pool that sells token 1 as its curve says, or refuses; `fee_bps` is told of the input, whatever the curve."""

    def __init__(
        self, address: str, venue: str, mints: tuple[str, str], curve: Curve | PoolRefused, fee_bps: int = 0
    ) -> None:
        self.address = address
        self.venue = venue
        self.mints = mints
        self._curve = curve
        self._fee_bps = fee_bps

    def curve(self, zero_for_one: bool, clock: Clock) -> Curve:
        if isinstance(self._curve, PoolRefused):
            raise self._curve
        assert zero_for_one
        return self._curve

    def fill(self, amount_in: int, zero_for_one: bool, clock: Clock) -> Fill:
        amount_out = self.curve(zero_for_one, clock).amount_out(amount_in)
        return Fill(amount_in=amount_in, amount_out=amount_out, fee_in=amount_in * self._fee_bps // 10_000, fee_out=0)


def product(address: str, venue: str, mints: tuple[str, str], reserves: tuple[int, int], fee_bps: int = 0) -> FakePool:
    """A constant product of reserves."""
    return FakePool(address, venue, mints, Product(*reserves, fee_bps), fee_bps)


class FakeVenue:
    """Offers pools, or fails."""

    def __init__(self, name: str, answer: Sequence[Quoting] | Exception) -> None:
        self.name = name
        self._answer = answer
        self.asked: list[tuple[Attempt, frozenset[str]]] = []

    async def pools(self, attempt: Attempt, mints: Collection[str]) -> Sequence[Quoting]:
        self.asked.append((attempt, frozenset(mints)))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

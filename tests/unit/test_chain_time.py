"""The chain's time between two readings of it."""

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.solana.clock import Clock
from chalicelib.venues.pools.time import MOST_SECONDS, ChainTime, OpenTime

READ = Clock(slot=1_000, epoch=7, timestamp=1_764_000_000)


class Moments:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def pass_(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.pass_(seconds)


@pytest.mark.parametrize(
    ("seconds", "slots", "whole"), [(0, 0, 0), (0.39, 0, 0), (0.41, 1, 0), (10, 25, 10), (-5, 0, 0)]
)
def test_it_goes_on_a_slot_each_two_fifths_of_a_second_and_never_back(seconds: float, slots: int, whole: int) -> None:
    moments = Moments()
    time = ChainTime(moments)
    time.read(READ)
    moments.pass_(seconds)
    assert time.now() == Clock(slot=READ.slot + slots, epoch=7, timestamp=READ.timestamp + whole)


def test_an_older_reading_changes_nothing() -> None:
    time = ChainTime(Moments())
    time.read(READ)
    time.read(Clock(slot=999, epoch=6, timestamp=0))
    assert time.now() == READ
    time.read(newer := Clock(slot=1_001, epoch=8, timestamp=READ.timestamp))
    assert time.now() == newer


def test_it_is_known_for_a_while() -> None:
    moments = Moments()
    time = ChainTime(moments)
    assert not time.known
    time.read(READ)
    assert time.known
    moments.pass_(MOST_SECONDS)
    assert not time.known


def test_pools_without_a_slot_are_open_and_pay_the_holders_time() -> None:
    moments = Moments()
    now = OpenTime(moments).now()
    assert now.timestamp == int(moments.moment.timestamp())
    assert min(now.slot, now.epoch) > 2**60

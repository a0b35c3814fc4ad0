"""Time, randomness, ids and sleep: collaborators, so that a simulation can stand in for them."""

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """The holder's own time. The database's time decides leases, due times and validity."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Entropy(Protocol):
    """The source of ids and random draws."""

    def bits(self, count: int) -> int:
        """A uniform integer of `count` bits."""
        ...


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SystemEntropy:
    """The machine's randomness."""

    def bits(self, count: int) -> int:
        """A uniform integer of `count` bits."""
        return int.from_bytes(os.urandom((count + 7) // 8), "big") >> -count % 8


def uuid7(clock: Clock, entropy: Entropy) -> UUID:
    """A time-ordered UUID, version 7 (RFC 9562 section 5.7), so that inserts stay together in the index."""
    milliseconds = int(clock.now().timestamp() * 1000) & (2**48 - 1)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | entropy.bits(12) << 64 | 0b10 << 62 | entropy.bits(62))


def fraction(entropy: Entropy) -> float:
    """A uniform draw from [0, 1)."""
    return entropy.bits(53) / 2**53

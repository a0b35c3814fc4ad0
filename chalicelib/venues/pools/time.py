"""The chain's time, on which depends what pools pay."""

from datetime import datetime

from chalicelib.domain.clock import Clock
from chalicelib.solana.clock import Clock as ChainClock

SLOT_SECONDS = 0.4
# No chain is faster.
LEAST_SLOT_SECONDS = 0.2
# So far a chain may seem to jump: what was seen of it before was a node's that lagged.
MOST_JUMP = 1500
# Reckoned on for longer, the slot is too far off and the epoch may be over.
MOST_SECONDS = 60.0


class OpenTime:
    """The time of pools that are taken as open, and whose newest fees as in force: their slot is not known."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> ChainClock:
        """A slot and an epoch that are far away, and the holder's time."""
        return ChainClock(slot=2**62, epoch=2**62, timestamp=int(self._clock.now().timestamp()))


class ChainTime:
    """The chain's time as it was last read, and what has passed since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read: tuple[ChainClock, datetime] | None = None

    @property
    def was_read(self) -> bool:
        """Whether it is known at all."""
        return self._read is not None

    @property
    def known(self) -> bool:
        """Whether it was read lately."""
        return self._read is not None and self._since(self._read[1]) < MOST_SECONDS

    def read(self, chain: ChainClock) -> None:
        """It is so late now. What is older than was read lately changes nothing."""
        if self._read is None or not self.known or chain.slot >= self._read[0].slot:
            self._read = chain, self._clock.now()

    def now(self) -> ChainClock:
        """About the time; the chain's beginning while it was never read."""
        if self._read is None:
            return ChainClock(slot=0, epoch=0, timestamp=0)
        chain, moment = self._read
        passed = self._since(moment)
        return ChainClock(
            slot=chain.slot + int(passed / SLOT_SECONDS),
            epoch=chain.epoch,
            timestamp=chain.timestamp + int(passed),
        )

    def _since(self, moment: datetime) -> float:
        # The holder's clock may be set back.
        return max((self._clock.now() - moment).total_seconds(), 0.0)

"""What can go wrong, how often it does in one simulation, and the moments at which it strikes."""

import asyncio
from collections import Counter
from contextvars import Context
from enum import StrEnum
from random import Random

from tests.simulation.clockwork import HOST, VirtualLoop, never
from tests.simulation.trace import Trace


class Kind(StrEnum):
    """A fault. The text is its row in the closing table."""

    CRASH = "container dies"
    PAUSE = "container pauses"
    LONG_PAUSE = "container pauses past its leases and wakes up"
    DEPLOY = "deploy replaces the containers"

    SQL_LOST_BEFORE = "connection lost before the statement"
    SQL_LOST_AFTER = "connection lost after the commit"
    SQL_SILENT = "database never replies"
    SQL_TERMINATED = "backend terminated in the statement"
    SQL_SLOW = "statement commits late, its locks held"
    CONNECT_REFUSED = "no database connection to be had"
    DATABASE_RESTART = "database restarts"

    SEND_REFUSED = "queue takes no message"
    SEND_LOST = "reply to a send lost"
    HAND_BACK_LOST = "hand-back of a message lost"
    DELETE_LOST = "acknowledgement of messages lost"
    DUPLICATE = "message delivered twice"
    LATE = "message late"

    THROTTLED = "push throttled"
    PUSH_LOST = "reply to a push lost"
    PUSH_SLOW = "push too slow"
    SOCKET_CLOSED = "socket closes"
    DISCONNECT_LOST = "disconnect never told"
    GATEWAY_LOST = "socket event never handled"
    REPLY_LOST = "reply to a POST lost"

    QUOTE_FAILED = "venue gives no quote"
    QUOTE_SILENT = "venue never answers"
    SWAP_LOST = "transaction lost on the way to the chain"
    SWAP_LATE = "transaction reaches the chain late"
    SWAP_REPLY_LOST = "reply of the chain lost"
    CHAIN_SILENT = "chain never answers"
    CHAIN_BLIND = "chain does not know the transaction"
    POISON = "order kills its container"


# What strikes a call of any collaborator, before or after it.
ANYWHERE = (Kind.CRASH, Kind.PAUSE, Kind.LONG_PAUSE)
# How long a fault lasts: least and most seconds, and the power that makes long ones rarer.
LASTS = {
    Kind.CRASH: (0.0, 4.0, 1),
    Kind.PAUSE: (0.05, 4.0, 1),
    Kind.LONG_PAUSE: (16.0, 90.0, 1),
    Kind.DATABASE_RESTART: (0.0, 20.0, 1),
    Kind.SQL_SLOW: (0.0, 3.0, 2),
    Kind.LATE: (0.0, 60.0, 1),
    Kind.THROTTLED: (0.0, 240.0, 4),
    Kind.PUSH_SLOW: (0.0, 6.0, 1),
    Kind.CHAIN_BLIND: (0.0, 900.0, 1),
}
# Of all calls that a kind may strike; each simulation draws its own rates below these.
HIGHEST_RATE = {
    Kind.LONG_PAUSE: 0.01,
    Kind.CRASH: 0.03,
    Kind.PAUSE: 0.03,
    Kind.SQL_SILENT: 0.02,
    Kind.DEPLOY: 0.4,
    Kind.DATABASE_RESTART: 0.3,
}
USUAL_HIGHEST = 0.08
# What a fault struck may take so long to come to rest.
AFTERMATH_SECONDS = 5.0
# Of containers that stand still past the end of their invocation, so many wake up.
WAKES_UP = 0.5
OUTSIDE = Context()


class Faults:
    """One simulation's faults: some kinds only, each with a rate of its own, so that no kind hides another."""

    def __init__(self, rng: Random, loop: VirtualLoop, trace: Trace) -> None:
        self.counts: Counter[Kind] = Counter()
        self.active = True
        # When the last fault so far will have passed.
        self.disturbed_until = -1.0
        self._rng = rng
        self._loop = loop
        self._trace = trace
        share = rng.choice((0.15, 0.4, 0.7, 1.0))
        strength = rng.choice((0.15, 0.5, 1.0))
        self.rates = {
            kind: strength * HIGHEST_RATE.get(kind, USUAL_HIGHEST) * rng.random() if rng.random() < share else 0.0
            for kind in Kind
        }

    def rate(self, kind: Kind) -> float:
        """How often a kind strikes where it can, while faults are on."""
        return self.rates[kind] if self.active else 0.0

    def draw(self, *kinds: Kind, where: str = "") -> Kind | None:
        """The fault that strikes here, if any."""
        if not self.active:
            return None
        at = self._rng.random()
        for kind in kinds:
            at -= self.rates[kind]
            if at < 0:
                self.count(kind, where)
                return kind
        return None

    def seconds(self, kind: Kind) -> float:
        """How long a fault of this kind lasts; until then nothing can be expected to be as without it."""
        least, most, power = LASTS[kind]
        seconds = least + (most - least) * self._rng.random() ** power
        self.last_for(seconds)
        return seconds

    def count(self, kind: Kind, what: object = "") -> None:
        """A fault was injected."""
        self.counts[kind] += 1
        self._trace.add("FAULT", kind, what)
        self.last_for(0.0)

    def last_for(self, seconds: float) -> None:
        """The fault that has just struck passes after so long."""
        self.disturbed_until = max(self.disturbed_until, self._loop.time() + seconds + AFTERMATH_SECONDS)

    async def crossing(self, where: str = "") -> None:
        """A moment between two awaits of a container's code: it may die here, or stand still."""
        host = HOST.get()
        if host is None:
            return
        kind = self.draw(*ANYWHERE, where=where)
        if kind == Kind.CRASH:
            host.die()
            await never()
        elif kind is not None:
            host.freeze()
            self._loop.call_later(self.seconds(kind), host.thaw, context=OUTSIDE)
            await asyncio.sleep(0)

    def wakes_up(self) -> bool:
        """Whether a container that stood still past the end of its invocation ever goes on."""
        return self._rng.random() < WAKES_UP

    async def trip(self, usual: float = 0.001) -> None:
        """The time that a message takes from one machine to another."""
        await asyncio.sleep(usual * self._rng.expovariate(1.0))

"""One container of the worker function: a process that takes SQS events on its standard input and answers each.

Everything in it is the engine's own but its queues, which hand what is sent to the harness, and, where told so, the
sockets, the distance to the database, and how long a swap takes. With --posts it is one of the API function instead,
and takes the bodies of orders.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, Self

import msgspec
from psycopg import AsyncConnection

from benchmarks.samplers.parts import Parts
from benchmarks.surroundings.examples import Context, Request, messages
from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine, Market, Surroundings
from chalicelib.domain.message import Message
from chalicelib.domain.quote import Route
from chalicelib.handlers import queue, rest
from chalicelib.settings import Settings
from chalicelib.store.database import Connect, Database
from chalicelib.store.ledger import Ledger
from chalicelib.store.statements import load
from chalicelib.venues.base import Attempt, Transaction
from chalicelib.venues.simulated.chain import SimulatedChain
from chalicelib.venues.simulated.draws import Draws

PUBLISHING = "order-engine publishing"
WRITE = load("orders")["write_transitions"]


class Outbox:
    """A queue whose messages go to the harness with the answer to the event, each with the moment it is due at."""

    def __init__(self, sent: list[tuple[str, str, float]], name: str) -> None:
        self._sent = sent
        self._name = name

    async def send(self, messages: Sequence[Message]) -> list[Message]:
        """Take them all."""
        now = time.monotonic()
        self._sent += [(self._name, message.body, now + message.delay) for message in messages]
        return []

    async def hand_back(self, receipts: Sequence[tuple[str, int]]) -> None:
        """A receipt handle is the message's body here."""
        now = time.monotonic()
        self._sent += [(self._name, body, now + seconds) for body, seconds in receipts]

    async def backlog(self) -> int:
        """Nobody asks."""
        return 0


class NullSockets:
    """Sockets that take every frame at no cost."""

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        """Take a frame."""


class Counted(AsyncConnection[Any]):
    """A connection that counts its statements, and stands a round trip of so many seconds away."""

    # By the name of the connection.
    statements: ClassVar[Counter[str]] = Counter()
    # Of written transitions: the moment at which the reply came, and what was written.
    commits: ClassVar[list[tuple[float, str]]] = []
    distance = 0.0
    name = ""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Open one."""
        connection = await super().connect(conninfo, **kwargs)
        connection.name = kwargs["application_name"]
        return connection

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run a statement."""
        Counted.statements[self.name] += 1
        if self.distance:
            await asyncio.sleep(self.distance)
        cursor = await super().execute(*args, **kwargs)
        if args[0] == WRITE:
            Counted.commits.append((time.monotonic(), args[1]["entries"]))
        return cursor


class MainLoop:
    """The engine's loop in the main thread, where a profiler's signals arrive."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, work: Any) -> Any:
        """Run a coroutine and wait for its result."""
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        """End it."""
        self._loop.close()


class Timed(SimulatedChain):
    """The simulated chain, on which every swap takes as long as the next."""

    swap_seconds = 0.0

    def prepare(self, attempt: Attempt, route: Route) -> Transaction:
        """Make the transaction of a route."""
        return msgspec.structs.replace(super().prepare(attempt, route), lands_after=self.swap_seconds)


def timed(given: Settings, around: Surroundings, seconds: float, database: Database) -> Market:
    """The market of the surroundings, on whose chain a swap takes so many seconds."""
    draws = Draws(given.venue_seed, around.entropy)
    chain = Timed(Ledger(database), draws, around.clock, given.venue_time_scale)
    chain.swap_seconds = seconds
    return msgspec.structs.replace(around.market(database), chain=chain)


class MeasuredEngine:
    """The engine of one container in its stand-in surroundings, with what each invocation took."""

    def __init__(self, *, null_sockets: bool, distance: float, profile: bool, swap_seconds: float | None) -> None:
        given = settings.read()
        around = bootstrap.real(given)
        self.sent: list[tuple[str, str, float]] = []
        Counted.distance = distance
        connect: Connect = Counted.connect
        changes: dict[str, Any] = {"queue": partial(Outbox, self.sent), "connect": connect}
        if null_sockets:
            changes["pusher"] = NullSockets()
        if profile:
            changes["loop"] = MainLoop()
        if swap_seconds is not None:
            changes["market"] = partial(timed, given, around, swap_seconds)
        self.engine = Engine(given, msgspec.structs.replace(around, **changes))
        self.parts = Parts() if profile else None
        bootstrap.install(self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        bootstrap.close()

    def handle(self, bodies: list[str], *, posts: bool, commits: bool) -> dict[str, Any]:
        """One invocation with a batch of messages, or with POSTs one after the other."""
        self.sent.clear()
        Counted.statements.clear()
        Counted.commits.clear()
        spent = time.process_time()
        if posts:
            _post(bodies)
        else:
            # What it leaves behind comes back as sent, or shows in the orders.
            queue.orders(messages(bodies), Context())
        cpu, now = time.process_time() - spent, time.monotonic()
        return {
            "sent": [(name, body, due - now) for name, body, due in self.sent],
            "statements": Counted.statements.total(),
            "publishing": Counted.statements[PUBLISHING],
            "cpu": cpu,
            "commits": list(_commits()) if commits else [],
        }


def _post(bodies: list[str]) -> None:
    for body in bodies:
        if (reply := rest.execute(Request(body.encode()))).status != HTTPStatus.OK:
            raise RuntimeError(f"refused: {reply.body}")


def _commits() -> Iterator[tuple[str, int, float]]:
    for at, entries in Counted.commits:
        for entry in json.loads(entries):
            for event in entry["events"]:
                yield entry["order_id"], event["seq"], at


def main() -> None:
    """Answers events until the input ends; with --profile, then tells where the time went."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--null-sockets", action="store_true")
    parser.add_argument("--distance", type=float, default=0.0)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--swap-seconds", type=float)
    parser.add_argument("--posts", action="store_true")
    parser.add_argument("--commits", action="store_true", help="tell when each event was committed")
    parser.add_argument("--log", default=os.devnull)
    options = parser.parse_args()
    # The engine's log lines must not meet the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    with open(options.log, "a") as log:  # noqa: PTH123 - the null device is no path
        os.dup2(log.fileno(), sys.stdout.fileno())
        with MeasuredEngine(
            null_sockets=options.null_sockets,
            distance=options.distance,
            profile=options.profile,
            swap_seconds=options.swap_seconds,
        ) as engine:
            for line in sys.stdin:
                answer = engine.handle(json.loads(line), posts=options.posts, commits=options.commits)
                print(json.dumps(answer), file=answers)
            if engine.parts:
                print(json.dumps(engine.parts.shares()), file=answers)


if __name__ == "__main__":
    main()

"""One container of the worker function: a process that takes SQS events on its standard input and answers each.

Everything in it is the engine's own but its queues, which hand what is sent to the harness, and, where told so, the
sockets and the distance to the database.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import msgspec
from psycopg import AsyncConnection

from benchmarks.parts import Parts
from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine
from chalicelib.domain.message import Message
from chalicelib.handlers import queue
from chalicelib.store.database import Connect

FUNCTION_SECONDS = 10.0
ORDERS_QUEUE = "orders"


class Context:
    """What Lambda tells a function about its invocation."""

    def __init__(self) -> None:
        self._end = time.monotonic() + FUNCTION_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        """What is left of it."""
        return int((self._end - time.monotonic()) * 1000)


class Outbox:
    """A queue whose messages go to the harness with the answer to the event."""

    def __init__(self, sent: list[tuple[str, str, int]], name: str) -> None:
        self._sent = sent
        self._name = name

    async def send(self, messages: Sequence[Message]) -> list[Message]:
        """Take them all."""
        self._sent += [(self._name, message.body, message.delay) for message in messages]
        return []

    async def hand_back(self, receipts: Sequence[tuple[str, int]]) -> None:
        """A receipt handle is the message's body here."""
        self._sent += [(self._name, body, seconds) for body, seconds in receipts]

    async def backlog(self) -> int:
        """Nobody asks."""
        return 0


class NullSockets:
    """Sockets that take every frame at no cost."""

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        """Take a frame."""


class Counted(AsyncConnection[Any]):
    """A connection that counts its statements, and stands a round trip of so many seconds away."""

    statements = 0
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
        Counted.statements += 1
        if self.distance:
            await asyncio.sleep(self.distance)
        return await super().execute(*args, **kwargs)


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


class Container:
    """The engine in its stand-in surroundings."""

    def __init__(self, *, null_sockets: bool, distance: float, profile: bool) -> None:
        given = settings.read()
        around = bootstrap.real(given)
        self.sent: list[tuple[str, str, int]] = []
        Counted.distance = distance
        connect: Connect = Counted.connect
        changes: dict[str, Any] = {"queue": partial(Outbox, self.sent), "connect": connect}
        if null_sockets:
            changes["pusher"] = NullSockets()
        if profile:
            changes["loop"] = MainLoop()
        self.engine = Engine(given, msgspec.structs.replace(around, **changes))
        self.parts = Parts() if profile else None
        bootstrap.install(self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        bootstrap.close()

    def handle(self, bodies: list[str]) -> dict[str, Any]:
        """One invocation with a batch of messages."""
        self.sent.clear()
        statements, spent, started = Counted.statements, _cpu(), time.monotonic()
        records = [{"messageId": body, "receiptHandle": body, "body": body} for body in bodies]
        failed = queue.orders({"Records": records}, Context())["batchItemFailures"]
        return {
            "failed": [item["itemIdentifier"] for item in failed],
            "sent": self.sent,
            "statements": Counted.statements - statements,
            "cpu": _cpu() - spent,
            "seconds": time.monotonic() - started,
        }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Answers events until the input ends; with --profile, then tells where the time went."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--null-sockets", action="store_true")
    parser.add_argument("--distance", type=float, default=0.0)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--log", default=os.devnull)
    options = parser.parse_args()
    # The engine's log lines must not meet the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    with open(options.log, "a") as log:  # noqa: PTH123 - the null device is no path
        os.dup2(log.fileno(), sys.stdout.fileno())
        with Container(
            null_sockets=options.null_sockets, distance=options.distance, profile=options.profile
        ) as container:
            for line in sys.stdin:
                print(json.dumps(container.handle(json.loads(line))), file=answers)
            if container.parts:
                print(json.dumps(container.parts.shares()), file=answers)


if __name__ == "__main__":
    main()

"""One process that accepts orders, as many as its standard input says, one after the other.

With --bare it does what cannot be left out and nothing else: the engine's own INSERT and the engine's own send.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import psutil
import psycopg

from benchmarks.processes.reading import OK
from benchmarks.processes.worker import Counted
from benchmarks.surroundings.database import PAYLOAD
from benchmarks.surroundings.examples import BODY, Request
from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine
from chalicelib.domain.account import DEFAULT_ACCOUNT
from chalicelib.domain.clock import SystemClock, SystemEntropy, uuid7
from chalicelib.domain.message import Message
from chalicelib.domain.order import DEFAULT_TYPE
from chalicelib.handlers import rest
from chalicelib.store.orders import FIRST_META
from chalicelib.store.statements import load


class Part(msgspec.Struct, frozen=True):
    """What so many orders took: seconds, CPU seconds, statements; and the resident bytes afterwards."""

    orders: int
    seconds: float
    cpu: float
    statements: int
    resident: int


def engine() -> Callable[[int], None]:
    """Accepts orders by the handler, as Lambda calls it."""
    given = settings.read()
    around = msgspec.structs.replace(bootstrap.real(given), connect=Counted.connect)
    bootstrap.install(Engine(given, around))
    request = Request(BODY.encode())

    def accept(orders: int) -> None:
        for _ in range(orders):
            if (reply := rest.execute(request)).status != OK:
                raise RuntimeError(f"refused: {reply.body}")

    return accept


def bare() -> Callable[[int], None]:
    """The bare INSERT and send."""
    given = settings.read()
    queue = bootstrap.real(given).queue(given.orders_queue)
    connection = psycopg.connect(given.database_url, autocommit=True)
    statement, clock, entropy = load("orders")["accept"], SystemClock(), SystemEntropy()
    loop = asyncio.new_event_loop()
    rest_of_it: dict[str, Any] = {"payload": PAYLOAD, "meta": FIRST_META, "type": DEFAULT_TYPE}
    rest_of_it |= {"account": DEFAULT_ACCOUNT, "client_order_id": None}

    async def accept(orders: int) -> None:
        for _ in range(orders):
            order_id = uuid7(clock, entropy)
            connection.execute(statement, {"id": order_id, "ts": datetime.now(UTC), **rest_of_it}, prepare=True)
            if await queue.send([Message(str(order_id))]):
                raise RuntimeError("the queue took no message")
        Counted.statements["bare"] += orders

    return lambda orders: loop.run_until_complete(accept(orders))


def main() -> None:
    """Answers numbers of orders until the input ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--bare", action="store_true")
    accept = bare() if parser.parse_args().bare else engine()
    # The engine's log lines must not meet the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    with open(os.devnull, "w") as log:  # noqa: PTH123 - the null device is no path
        os.dup2(log.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        orders, statements = int(line), Counted.statements.total()
        spent, started = time.process_time(), time.monotonic()
        accept(orders)
        found = Part(
            orders,
            time.monotonic() - started,
            time.process_time() - spent,
            Counted.statements.total() - statements,
            psutil.Process().memory_info().rss,
        )
        print(json.dumps(msgspec.to_builtins(found)), file=answers)


if __name__ == "__main__":
    main()

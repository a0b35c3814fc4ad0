"""`make overload`: more orders than the engine takes at once, on a stack of its own; nothing may be lost.

Clients post over the front door as fast as they are answered, wait as long as a refusal says, and post again. Then the
orders are waited for, what they left is counted, and a broken promise makes the exit status 1.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from benchmarks.reporting.bar import Bar
from benchmarks.samplers.memory import Peaks, watch
from benchmarks.surroundings.examples import ORDER
from infrastructure.clients import client
from local.front_door import MOST_WAITING
from local.stack import Endpoints, Plan, Stack

ORDERS = 5000
# More than the front door lets wait, so that it has to refuse.
CLIENTS = 600
# Of twenty orders, one fails twice before it is confirmed, and one fails for good.
TOKENS_OUT = ("FLAKY", "FAIL", *["USDC"] * 18)
ACCEPTED = 200
REFUSED = (429, 503)
# Half of the memory that the template gives a function.
MOST_MEGABYTES = 256
# Longer than what a crash or a lost message costs an order: the queue's visibility timeout, and a sweep.
STALLED_SECONDS = 180.0
QUEUES = ("OrdersQueueUrl", "DeadLettersQueueUrl")
MESSAGES = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass
class Report:
    """What became of the orders, and what it took."""

    orders: int
    # Ids of accepted orders, and the token that each asked for.
    accepted: dict[str, str] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    # Answers that are neither.
    strange: list[str] = field(default_factory=list)
    # Orders by status, by id.
    ended: dict[str, str] = field(default_factory=dict)
    stored: int = 0
    swaps: int = 0
    messages: int = 0
    accept_seconds: float = 0.0
    drain_seconds: float = 0.0
    peaks: Peaks = field(default_factory=Peaks)

    def lost(self) -> list[str]:
        """Accepted orders that did not end."""
        return [order_id for order_id in self.accepted if order_id not in self.ended]

    def broken(self) -> list[str]:
        """The promises that were not kept."""
        confirmed = sum(wanted != "FAIL" for wanted in self.accepted.values())
        promises = {
            f"{len(self.accepted)} of {self.orders} orders were accepted": len(self.accepted) == self.orders,
            f"{self.refused[429]} calls were refused with 429 and came again": self.refused[429] > 0,
            f"{len(self.strange)} strange answers, as {self.strange[:1]}": not self.strange,
            f"{len(self.lost())} accepted orders are lost, as {self.lost()[:3]}": not self.lost(),
            f"{self.stored} orders are stored, {len(self.accepted)} were accepted": self.stored == len(self.accepted),
            f"{self.count('confirmed')} orders are confirmed, not {confirmed}": self.count("confirmed") == confirmed,
            f"{self.swaps} swaps succeeded for {confirmed} confirmed orders": self.swaps == confirmed,
            f"{self.messages} messages are left": self.messages == 0,
            f"a process had {self.peaks.bounded()} MB": self.peaks.bounded() <= MOST_MEGABYTES,
        }
        return [what for what, kept in promises.items() if not kept]

    def count(self, status: str) -> int:
        """How many orders ended so."""
        return sum(each == status for each in self.ended.values())

    def table(self) -> str:
        """The closing table."""
        rows = {
            "accepted": f"{len(self.accepted)}",
            "refused with 429": f"{self.refused[429]}",
            "refused with 503": f"{self.refused[503]}",
            "other answers": f"{len(self.strange)}",
            "lost": f"{len(self.lost())}",
            "confirmed": f"{self.count('confirmed')}",
            "failed": f"{self.count('failed')}",
            "swaps that succeeded": f"{self.swaps}",
            "seconds to accept": f"{self.accept_seconds:.1f} ({len(self.accepted) / self.accept_seconds:.0f}/s)",
            "seconds to drain": f"{self.drain_seconds:.1f}",
            **{f"peak MB, {name}": text for name, text in self.peaks.rows()},
            "Postgres connections, peak": f"{self.peaks.connections}",
        }
        return "\n".join(f"  {name:28} {text}" for name, text in rows.items())


async def overload(endpoints: Endpoints, orders: int) -> Report:
    """Posts to a running engine that has no other orders, and waits until it is at rest."""
    report = Report(orders)
    async with watch(endpoints, report.peaks):
        started = time.monotonic()
        await _post(endpoints.url, report)
        accepted = time.monotonic()
        await asyncio.to_thread(_drain, endpoints, report)
        report.accept_seconds, report.drain_seconds = accepted - started, time.monotonic() - accepted
    return report


async def _post(url: str, report: Report) -> None:
    tokens = iter([TOKENS_OUT[number % len(TOKENS_OUT)] for number in range(report.orders)])
    connector = TCPConnector(limit=0)
    with Bar("accepted", report.orders) as bar:
        async with ClientSession(connector=connector, timeout=ClientTimeout(total=120)) as session:
            many = (_client(session, url, tokens, report, bar) for _ in range(min(CLIENTS, report.orders)))
            await asyncio.gather(*many)


async def _client(session: ClientSession, url: str, tokens: Iterator[str], report: Report, bar: Bar) -> None:
    for token in tokens:
        answered = False
        while not answered:
            answered = await _answered(session, url, token, report)
        bar.show(len(report.accepted))


async def _answered(session: ClientSession, url: str, token: str, report: Report) -> bool:
    """Posts an order; False after the pause that a refusal asks for."""
    try:
        async with session.post(f"{url}/api/orders/execute", json=ORDER | {"tokenOut": token}) as reply:
            body: dict[str, Any] = await reply.json()
            if reply.status == ACCEPTED:
                report.accepted[body["orderId"]] = token
            elif reply.status in REFUSED and body.keys() == {"error", "code"}:
                report.refused[reply.status] += 1
                await asyncio.sleep(float(reply.headers["Retry-After"]))
                return False
            else:
                report.strange.append(f"{reply.status} {body}")
    except (ClientError, TimeoutError, KeyError, ValueError) as error:
        report.strange.append(repr(error))
    return True


def _drain(endpoints: Endpoints, report: Report) -> None:
    """Waits until all orders have ended and the queues are empty, or nothing moves any more."""
    with psycopg.connect(endpoints.database_url, autocommit=True) as database, Bar("ended", report.orders) as bar:
        sqs = client("sqs", endpoints.aws_endpoint)
        moved, before = time.monotonic(), (-1, -1)
        while time.monotonic() - moved < STALLED_SECONDS:
            (living,) = database.execute("SELECT count(*) FROM orders WHERE outcome IS NULL").fetchone() or (0,)
            report.messages = _messages(sqs, endpoints)
            bar.show(report.orders - living)
            if not living and not report.messages:
                break
            if before != (living, report.messages):
                moved, before = time.monotonic(), (living, report.messages)
            time.sleep(0.2)
        report.ended = dict(
            database.execute("SELECT id::text, status FROM orders WHERE outcome IS NOT NULL").fetchall()
        )
        (report.stored,) = database.execute("SELECT count(*) FROM orders").fetchone() or (0,)
        succeeded = "SELECT count(*) FROM simulated_swaps WHERE outcome = 'succeeded'"
        (report.swaps,) = database.execute(succeeded).fetchone() or (0,)


def _messages(sqs: Any, endpoints: Endpoints) -> int:
    found = [
        sqs.get_queue_attributes(QueueUrl=endpoints.outputs[name], AttributeNames=MESSAGES)["Attributes"]
        for name in QUEUES
    ]
    return sum(int(count) for each in found for count in each.values())


def main() -> int:
    """Starts a stack, overloads it, prints the table; the exit status is 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=main.__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS)
    options = parser.parse_args()
    with contextlib.ExitStack() as parts:
        home = parts.enter_context(tempfile.TemporaryDirectory(prefix="engine-overload-"))
        # Fewer orders come from as many clients, of whom not all may wait either.
        plan = replace(Plan.ephemeral(Path(home)), most_waiting=min(MOST_WAITING, options.orders // 2))
        stack = parts.enter_context(Stack(plan))
        try:
            report = asyncio.run(overload(stack.endpoints, options.orders))
        except KeyboardInterrupt:
            return 130
    print(report.table(), flush=True)
    broken = report.broken()
    for what in broken:
        print(f"broken: {what}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())

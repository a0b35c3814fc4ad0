"""`python -m benchmarks.accept`: what accepting an order takes, next to its bare INSERT and send, and over 100,000."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial

import msgspec

from benchmarks.processes.accepting import Part
from benchmarks.processes.fleet import Container, environment
from benchmarks.reporting.bar import Bar
from benchmarks.reporting.report import Goal, Result, Spread, Table, run
from benchmarks.reporting.rounds import interleaved
from benchmarks.surroundings.database import Database, database
from benchmarks.surroundings.sink import Sink

ACCEPTING = "benchmarks.processes.accepting"
ENGINE, BARE = "engine", "baseline"
ORDERS = 1000
LEAST_OF_BARE = 0.6
# One process accepts so many, in parts.
MANY, PART = 100_000, 10_000
MOST_SLOWER = 1.2
MOST_GROWTH = 5 * 2**20
MEGABYTE = 2**20
ABOUT = f"""
One process calls the REST handler as Lambda does, one order after the other, with the engine's own connection to a
durable embedded Postgres and its own client of SQS, which is another process that takes every message at once. The
baseline is a loop in a process of its own that does what no engine can leave out: the same INSERT as a prepared
statement through psycopg, and the same send. Both run in turns of {ORDERS:,} orders; all share the cores. Statements
are counted at the connection and requests at the queue, per order.

Then one process accepts {MANY:,} orders, and each {PART:,} of them is timed, without waiting for the disk at each
commit, since what could grow is the process and the tables.
""".strip()


class Turn(msgspec.Struct, frozen=True):
    """So many orders: orders a second, core-µs, statements and requests an order."""

    rate: float
    client: float
    server: float
    statements: float
    requests: float


class Stretch(msgspec.Struct, frozen=True):
    """A part of very many orders: microseconds and core-µs an order; the resident bytes afterwards."""

    micros: float
    client: float
    server: float
    resident: int


def measure() -> Result:
    """Accept orders in interleaved rounds, then very many."""
    with database() as found, Sink() as sink, contextlib.ExitStack() as parts:
        given = environment(found, sink) | {"ORDERS_QUEUE": sink.queue_url("orders")}
        containers = {
            name: parts.enter_context(contextlib.closing(Container(given, ACCEPTING, options)))
            for name, options in ((ENGINE, []), (BARE, ["--bare"]))
        }
        turns = interleaved(
            {name: partial(_turn, found, sink, container) for name, container in containers.items()}, warm=1
        )
        hasty = parts.enter_context(
            contextlib.closing(Container(given | {"DATABASE_URL": found.hasty_url}, ACCEPTING, []))
        )
        many = _many(found, hasty)
    return _result(turns, many)


def _turn(found: Database, sink: Sink, container: Container) -> Turn:
    server, requests = found.cpu(), sum(sink.counts().values())
    part = _accept(container, ORDERS)
    server, requests = found.cpu() - server, sum(sink.counts().values()) - requests
    return Turn(
        rate=ORDERS / part.seconds,
        client=part.cpu / ORDERS * 1e6,
        server=server / ORDERS * 1e6,
        statements=part.statements / ORDERS,
        requests=requests / ORDERS,
    )


def _accept(container: Container, orders: int) -> Part:
    return msgspec.json.decode(container.talk(f"{orders}"), type=Part)


def _many(found: Database, container: Container) -> list[Stretch]:
    """Each part of very many orders."""
    # What a process makes once belongs to no part.
    _accept(container, ORDERS)
    stretches: list[Stretch] = []
    with Bar("orders", MANY) as bar:
        for done in range(0, MANY, PART):
            server = found.cpu()
            part = _accept(container, PART)
            server = found.cpu() - server
            micros, client, spent = (each / PART * 1e6 for each in (part.seconds, part.cpu, server))
            stretches.append(Stretch(micros, client, spent, part.resident))
            bar.show(done + PART)
    return stretches


def _result(turns: Mapping[str, list[Turn]], many: list[Stretch]) -> Result:
    ratios = [each.rate / other.rate for each, other in zip(turns[ENGINE], turns[BARE], strict=True)]
    parts = [
        [
            f"{number * PART:,}",
            f"{each.micros:,.0f}",
            f"{each.client:,.0f}",
            f"{each.server:,.0f}",
            f"{each.resident / MEGABYTE:.1f}",
        ]
        for number, each in enumerate(many, 1)
    ]
    columns = ["", "orders/s", "× baseline", "client µs", "server µs", "statements", "requests"]
    return Result(
        name="accept",
        title="Accept",
        about=ABOUT,
        tables=[
            Table(
                "The handler and the bare INSERT and send",
                columns,
                list(_rows(turns, ratios)),
                "µs are core-µs an order; in brackets the lowest and the highest round.",
            ),
            Table(
                "One process, order after order",
                ["orders", "µs an order", "client µs", "server µs", "resident MB"],
                parts,
            ),
        ],
        goals=list(_goals(turns, ratios, many)),
        figures={
            **{
                name: {field: _median(found, field) for field in Turn.__struct_fields__}
                for name, found in turns.items()
            },
            "ratio": Spread.of(ratios).median,
            "many": {
                "orders": [number * PART for number in range(1, len(many) + 1)],
                "µs": [each.micros for each in many],
                "resident": [each.resident for each in many],
            },
        },
    )


def _rows(turns: Mapping[str, list[Turn]], ratios: list[float]) -> Iterator[list[str]]:
    for name, found in turns.items():
        yield [
            name,
            Spread.of([each.rate for each in found]).text(),
            Spread.of(ratios).text(2) if name == ENGINE else "1",
            *(f"{_median(found, field):,.0f}" for field in ("client", "server")),
            *(f"{_median(found, field):.2f}" for field in ("statements", "requests")),
        ]


def _goals(turns: Mapping[str, list[Turn]], ratios: list[float], many: list[Stretch]) -> Iterator[Goal]:
    ratio = Spread.of(ratios).median
    yield Goal(
        "orders/s against the bare INSERT and send",
        f"≥ {LEAST_OF_BARE:g} × as many",
        f"{ratio:.2f} ×",
        ratio >= LEAST_OF_BARE,
        "" if ratio >= LEAST_OF_BARE else _why(turns),
    )
    first, last = many[0], many[-1]
    slower = last.micros / first.micros
    work = (last.client + last.server) / (first.client + first.server)
    yield Goal(
        f"time of the last {PART:,} of {MANY:,} orders against the first",
        f"≤ {MOST_SLOWER:g} × as long",
        f"{slower:.2f} ×",
        slower <= MOST_SLOWER,
        ""
        if slower <= MOST_SLOWER
        else f"the core-µs of engine and server went to {work:.2f} of the first; the rest is waiting",
    )
    growth = last.resident - first.resident
    yield Goal(
        "memory grown from the first to the last of them",
        f"≤ {MOST_GROWTH / MEGABYTE:g} MB",
        f"{growth / MEGABYTE:.1f} MB",
        growth <= MOST_GROWTH,
    )


def _why(turns: Mapping[str, list[Turn]]) -> str:
    more = _median(turns[ENGINE], "client") - _median(turns[BARE], "client")
    return f"validation, the event loop's thread and the log take {more:.0f} core-µs an order more"


def _median(turns: list[Turn], field: str) -> float:
    return Spread.of([getattr(each, field) for each in turns]).median


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

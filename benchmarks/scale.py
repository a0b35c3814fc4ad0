"""`python -m benchmarks.scale`: whether anything grows slower with the orders that are stored."""

import contextlib
import os
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks.processes.fleet import Fleet, drained, environment
from benchmarks.processes.reading import Reader
from benchmarks.reporting.bar import Bar
from benchmarks.reporting.report import Goal, Result, Spread, Table, run
from benchmarks.reporting.rounds import interleaved
from benchmarks.samplers.blocks import BINDING, READS, Blocks, blocks
from benchmarks.surroundings.database import Database, server
from benchmarks.surroundings.sink import Sink
from local.postgres import Postgres

T = TypeVar("T")

SIZES = (10_000, 100_000, 500_000)
MOST_SLOWER = 1.2
# Filling: orders accepted at once, messages an event, worker processes, old orders kept in mind of each chunk.
CHUNK, FILLING_BATCH, WORKERS, REMEMBERED = 5000, 200, 2, 50
FILLED = {"max_wal_size": "4GB"}
# A round at one size: fresh orders drained in events of so many, and how often each thing is asked.
DRAINED, BATCH, ASKED = 500, 10, 200
LIVING = 50
RESTARTS, ASKED_COLD = 5, 20
DRAIN = "drain"
PAGE_CACHE = Path("/proc/sys/vm/drop_caches")
ABOUT = """
Databases of {sizes} orders on one durable embedded Postgres, autovacuum on as it comes. Every order in them was
accepted and drained by the engine's worker processes, in events of {batch} messages; only the flush at each commit was
off meanwhile. Then, round by round and one size after the other, back and forth: {drained} fresh orders, each followed
by a socket of its own, are drained in events of {fresh} by {workers} workers with null sockets; and the engine's
handlers, in one process, answer {asked} times each to a list (all, confirmed, pending, and from a random old order
on), to a GET of a random old order and to the bind of a socket to one. Their commits don't wait for the disk either: it
takes as long whatever is stored, and varies more than anything else. A bind takes five times as long as a GET because
it is {binding} statements one after the other, of which four write: open the socket, look at the order, subscribe,
lease with the events, release, look once more. *× smallest* is the time against that of the smallest size in the same
round. Cold is the first answer after the server was restarted, the page cache of the system {cache}: connected, but
with nothing of the order in memory. The first list and the first bind plan their statements too.

The largest size is what the time of `make bench` allows; `make bench NAMES=million` goes on to a million. Filling is
bound by the CPU of the two workers, about twice that of the server, and by no single statement.
""".strip()
# Whose cold answer is the first one's: it has one page, or one that most of its askers share.
PAGES = ("list", "list, confirmed", "list, pending")
# Chunks at the end of filling.
LAST = 3
LYING_COLUMNS = ["tables", "indexes", "autovacuums", "dead rows"]
LYING = """
SELECT pg_size_pretty(sum(pg_table_size(relid))), pg_size_pretty(sum(pg_indexes_size(relid))), sum(autovacuum_count),
       sum(n_dead_tup)
FROM pg_stat_user_tables
"""


class Round(msgspec.Struct, frozen=True):
    """One round at one size: orders a second, core-µs an order, and the seconds of each answer by what was asked."""

    rate: float
    client: float
    server: float
    answers: dict[str, list[float]]


class Found(msgspec.Struct, frozen=True):
    """Rounds and cold answers by size, blocks warm and cold by size and what was asked, rows of what lies there."""

    rounds: dict[int, list[Round]]
    restarts: dict[int, list[dict[str, list[float]]]]
    touched: dict[str, dict[int, dict[str, Blocks]]]
    lying: list[list[str]]


class Stored:
    """A database with so many drained orders, and the containers that work on it."""

    def __init__(self, on: Postgres, sink: Sink, size: int) -> None:
        self.size = size
        self.name = f"orders_{size}"
        self.database = Database(on, self.name)
        self._environment = environment(self.database, sink) | {"LOG_LEVEL": "ERROR"}
        self._hasty = self._environment | {"DATABASE_URL": self.database.hasty_url}
        self.old: list[str] = []
        # Orders a second of each chunk that was filled in.
        self.rates: list[float] = []
        self.fleet: Fleet
        self.reader: Reader

    def fill(self, bar: Bar, before: int) -> None:
        """Accept and drain orders until the size is reached."""
        with Fleet(WORKERS, self._hasty, ["--null-sockets"]) as fleet:
            fleet.warm()
            for done in range(0, self.size, CHUNK):
                order_ids = self.database.accept(CHUNK, watched=False)
                started = time.monotonic()
                fleet.drain(order_ids, FILLING_BATCH)
                self.rates.append(CHUNK / (time.monotonic() - started))
                self.old += random.sample(order_ids, REMEMBERED)
                bar.show(before + done + CHUNK, f"{self.rates[-1]:,.0f} orders/s")
        confirmed = self.database.fetch("SELECT count(*) FROM orders WHERE outcome = 'confirmed'")[0][0]
        if confirmed != self.size:
            raise RuntimeError(f"{confirmed} of {self.size} orders are confirmed")
        # For a list of what is pending.
        self.database.accept(LIVING, watched=False)
        self.database.fetch("CHECKPOINT")

    def open(self, parts: contextlib.ExitStack) -> None:
        """Start the containers that are measured."""
        self.fleet = parts.enter_context(Fleet(WORKERS, self._environment, ["--null-sockets"]))
        self.reader = Reader(self._hasty)
        parts.callback(self.reader.close)

    def round(self) -> Round:
        """Drain fresh orders and ask for old ones."""
        done = drained(self.database, self.fleet, self.database.accept(DRAINED), BATCH)
        return Round(rate=done.rate, client=done.client, server=done.server, answers=self.ask(ASKED))

    def touched(self, on: Database) -> dict[str, Blocks]:
        """Blocks by what is asked, `on` a connection to this database."""
        return {what: blocks(on, what, self.some(1 if what in PAGES else ASKED_COLD)) for what in READS}

    def some(self, count: int) -> list[str]:
        """Random old orders."""
        return random.choices(self.old, k=count)  # noqa: S311 - no secret

    def ask(self, times: int) -> dict[str, list[float]]:
        """Seconds of each answer, every kind asked so often, for random old orders."""
        self.reader.install()
        return {what: [ask(order_id) for order_id in self.some(times)] for what, ask in self.reader.asks.items()}


def measure() -> Result:
    """Fill three databases and see what their size does."""
    return measured("scale", SIZES)


def measured(name: str, sizes: Sequence[int]) -> Result:
    """The same with sizes of one's own, ascending."""
    with server(FILLED) as on, Sink() as sink, contextlib.ExitStack() as parts:
        stored = [Stored(on, sink, size) for size in sizes]
        _fill(stored)
        for each in stored:
            each.open(parts)
        rounds = interleaved({f"{each.size}": each.round for each in stored}, warm=1)
        lying = [_lying(each) for each in stored]
        warm = {each.size: each.touched(each.database) for each in stored}
        for each in stored:
            each.database.close()
        cold = interleaved({f"{each.size}": partial(_cold, on, each) for each in stored}, RESTARTS)
        touched = {"warm": warm, "cold": {each.size: _touched_cold(on, each) for each in stored}}
    return _result(name, stored, Found(_by_size(rounds), _by_size(cold), touched, lying))


def _by_size(found: Mapping[str, T]) -> dict[int, T]:
    return {int(size): each for size, each in found.items()}


def _fill(stored: Sequence[Stored]) -> None:
    before = 0
    with Bar("orders stored", sum(each.size for each in stored)) as bar:
        for each in stored:
            each.fill(bar, before)
            before += each.size


def _cold(on: Postgres, stored: Stored) -> dict[str, list[float]]:
    """First answers of a server that has just been started."""
    _restart(on)
    return stored.ask(ASKED_COLD)


def _touched_cold(on: Postgres, stored: Stored) -> dict[str, Blocks]:
    _restart(on)
    with contextlib.closing(Database(on, stored.name)) as again:
        return stored.touched(again)


def _restart(on: Postgres) -> None:
    on.stop()
    if _droppable():
        os.sync()
        PAGE_CACHE.write_text("1")
    on.start()


def _lying(stored: Stored) -> list[str]:
    rows, indexes, vacuums, dead = stored.database.fetch(LYING)[0]
    first, last = stored.rates[0], Spread.of(stored.rates[-LAST:]).median
    return [f"{stored.size:,}", rows, indexes, f"{vacuums}", f"{dead:,}", f"{first:,.0f}", f"{last:,.0f}"]


def _result(name: str, stored: Sequence[Stored], found: Found) -> Result:
    times = {
        "warm": {size: _warm(many) for size, many in found.rounds.items()},
        "cold": {size: _first(many) for size, many in found.restarts.items()},
    }
    note = "µs are the median answer of a round, or what an order takes of a drain; in brackets the extremes."
    filling = f"The last two are rates of filling: of the first {CHUNK:,} orders, and of the last {LAST * CHUNK:,}."
    sizes = [(when, size) for when, by in found.touched.items() for size in by]
    touched = [[what, *(_blocks(found.touched[when][size][what]) for when, size in sizes)] for what in READS]
    return Result(
        name=name,
        title=f"Scale: up to {stored[-1].size:,} stored orders",
        about=_about(stored),
        tables=[
            Table("Warm", ["", "stored", "µs", "× smallest"], _rows(times["warm"]), note),
            Table("Slowest answers, warm", ["", "stored", "median µs", "p99 µs"], list(_tails(found.rounds))),
            Table("Drain", ["stored", "orders/s", "client µs", "server µs"], list(_drains(found.rounds))),
            Table("Cold", ["", "stored", "µs", "× smallest"], _rows(times["cold"])),
            Table(
                "Blocks of 8 KB that the statements behind an answer touch",
                ["", *(f"{size:,}, {when}" for when, size in sizes)],
                touched,
            ),
            Table(
                "What lies there", ["stored", *LYING_COLUMNS, "first orders/s", "last orders/s"], found.lying, filling
            ),
        ],
        goals=list(_goals(times, found)),
        figures={
            **{
                when: {str(size): {what: _median(each) for what, each in by.items()} for size, by in sizes.items()}
                for when, sizes in times.items()
            },
            "blocks": {
                when: {str(size): msgspec.to_builtins(each) for size, each in by.items()}
                for when, by in found.touched.items()
            },
            "orders/s": {str(size): _median([each.rate for each in many]) for size, many in found.rounds.items()},
            "filling orders/s": {str(each.size): each.rates for each in stored},
        },
    )


def _about(stored: Sequence[Stored]) -> str:
    return ABOUT.format(
        sizes=" and ".join(f"{each.size:,}" for each in stored),
        batch=FILLING_BATCH,
        drained=DRAINED,
        fresh=BATCH,
        workers=WORKERS,
        asked=ASKED,
        binding=BINDING,
        cache="dropped" if _droppable() else "kept, since nobody but root may drop it",
    )


def _droppable() -> bool:
    return os.access(PAGE_CACHE, os.W_OK)


def _warm(many: Sequence[Round]) -> dict[str, list[float]]:
    """By what was asked, and for a drained order: the median microseconds of each round."""
    asked = {what: [_median(each.answers[what]) * 1e6 for each in many] for what in many[0].answers}
    return {DRAIN: [1e6 / each.rate for each in many]} | asked


def _first(many: Sequence[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """By what was asked: the microseconds of each restart; of a list's one page only the first answer finds it cold."""
    return {
        what: [(each[what][0] if what in PAGES else _median(each[what])) * 1e6 for each in many] for what in many[0]
    }


def _rows(found: Mapping[int, Mapping[str, list[float]]]) -> list[list[str]]:
    smallest = min(found)
    return [
        [what, f"{size:,}", Spread.of(times[what]).text(), Spread.of(_slower(found, size, what)).text(2)]
        for what in found[smallest]
        for size, times in found.items()
    ]


def _slower(found: Mapping[int, Mapping[str, list[float]]], size: int, what: str) -> list[float]:
    """Round by round, the time against that of the smallest size."""
    pairs = zip(found[size][what], found[min(found)][what], strict=True)
    return [each / smallest for each, smallest in pairs]


def _tails(rounds: Mapping[int, list[Round]]) -> Iterator[list[str]]:
    for what in rounds[min(rounds)][0].answers:
        for size, many in rounds.items():
            took = [seconds * 1e6 for each in many for seconds in each.answers[what]]
            yield [what, f"{size:,}", f"{_median(took):,.0f}", f"{statistics.quantiles(took, n=100)[98]:,.0f}"]


def _drains(rounds: Mapping[int, list[Round]]) -> Iterator[list[str]]:
    for size, many in rounds.items():
        fields = ("rate", "client", "server")
        yield [f"{size:,}", *(Spread.of([getattr(each, field) for each in many]).text() for field in fields)]


def _goals(times: Mapping[str, Mapping[int, Mapping[str, list[float]]]], found: Found) -> Iterator[Goal]:
    smallest, *larger = sorted(found.rounds)
    for when, by_size in times.items():
        for size in larger:
            slower = {what: Spread.of(_slower(by_size, size, what)) for what in by_size[size]}
            worst = max(slower, key=lambda what: slower[what].median)
            missing = [what for what in slower if slower[what].median > MOST_SLOWER]
            yield Goal(
                f"the worst of {len(slower)} times, {when}, {size:,} against {smallest:,} orders",
                f"≤ {MOST_SLOWER:g} × as long",
                f"{slower[worst].text(2)} ×: {worst}",
                not missing,
                "; ".join(
                    f"{what}: {_work(found, when, size, what)}, against {_work(found, when, smallest, what)}"
                    for what in missing
                ),
            )


def _work(found: Found, when: str, size: int, what: str) -> str:
    """What is done for an answer, however long it takes on a busy machine."""
    if what == DRAIN:
        many = found.rounds[size]
        client, server = (_median([getattr(each, field) for each in many]) for field in ("client", "server"))
        return f"{client:.0f} + {server:.0f} core-µs an order"
    return f"{_blocks(found.touched[when][size][what])} blocks touched"


def _blocks(found: Blocks) -> str:
    return f"{found.touched:,.0f}" + (f" ({found.read:,.0f} from disk)" if found.read else "")


def _median(values: Sequence[float]) -> float:
    return Spread.of(values).median


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

"""`python -m benchmarks.drain`: how fast accepted orders are worked off and what that costs, next to two baselines."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from benchmarks.processes.fleet import ENGINE, Fleet, drained, environment
from benchmarks.reporting.bar import Bar
from benchmarks.reporting.report import Goal, Result, Spread, Table, run
from benchmarks.reporting.rounds import interleaved
from benchmarks.samplers.parts import PARTS
from benchmarks.surroundings.database import Database, database
from benchmarks.surroundings.sink import Sink

ORDERS = 1000
WORKERS = 2
SIZES = (10, 100)
# What a round trip to a database in the same region adds.
DISTANCE_SECONDS = 0.001
BARE = "benchmarks.processes.bare"
ENGINE_NULL, ENGINE_SINK, UPDATES = "engine, null sockets", "engine, HTTP sink", "single updates"
BARE_ROWS, EARLY, TASKS = "bare rows", "bare rows, routing told first", "the same, a task an order"
# What is repeated at a distance.
FAR = (ENGINE_NULL, BARE_ROWS, UPDATES)
ALL = (ENGINE_NULL, ENGINE_SINK, TASKS, EARLY, BARE_ROWS, UPDATES)
# The original has ten orders in hand at once.
UPDATES_AT_ONCE = 10
PROFILED = 3000
LEAST_OF_BARE = 0.6
TIMES_UPDATES = {10: 3.0, 100: 6.0}
ABOUT = f"""
{ORDERS:,} accepted orders, each watched by a socket of its own, simulated delays 0, go in events of 10 and of 100
messages to {WORKERS} worker processes, one a container as on Lambda, on a durable embedded Postgres that shares the
cores with them. All is the engine's own but the queues, which hand messages over a pipe; with null sockets a push
costs nothing, with the sink it is a signed HTTP request to another process on the same cores. An order is two
invocations: one to its transaction, one to its confirmation.

*Bare rows* is psycopg alone: it writes and reads the same rows as the engine, the publisher's statements included,
with the engine's own SQL, one statement a batch for each step, the three events of an attempt at once, in one
synchronous process a worker. *Single updates* is what a plain engine does: one UPDATE an order, ten in flight, no log,
no claim, no socket. Between bare rows and the engine lie two more steps, which show what the distance is made of:
`routing` written before there are quotes, since a client is to see it while they are fetched; and each order a task
on an event loop, since orders wait for quotes and chains side by side. Ratios are made round by round. Core-µs are CPU
time: *client* is the worker processes, *server* is Postgres with all its processes. {DISTANCE_SECONDS * 1000:g} ms rows
add that to each round trip, as a database in the same region does.
""".strip()


class Run(msgspec.Struct, frozen=True):
    """One drain: orders a second, core-µs an order, statements an invocation."""

    rate: float
    client: float
    server: float
    statements: float


def measure() -> Result:
    """Drain on interleaved rounds, then once more with a profiler."""
    with database() as found, contextlib.ExitStack() as open_parts:
        sink = open_parts.enter_context(Sink())
        runs = interleaved(_variants(found, sink, open_parts), warm=1)
        parts = {size: _parts(found, size) for size in SIZES}
    return _result(runs, parts)


def _variants(found: Database, sink: Sink, open_parts: contextlib.ExitStack) -> dict[str, Callable[[], Run]]:
    far = f"--distance={DISTANCE_SECONDS}"
    kinds: dict[str, tuple[str, list[str]]] = {
        ENGINE_NULL: (ENGINE, ["--null-sockets"]),
        ENGINE_SINK: (ENGINE, []),
        BARE_ROWS: (BARE, []),
        EARLY: (BARE, ["--early"]),
        TASKS: (BARE, ["--tasks"]),
        UPDATES: (BARE, [f"--updates={UPDATES_AT_ONCE // WORKERS}"]),
    }
    variants: dict[str, Callable[[], Run]] = {}
    for kind, (module, options) in kinds.items():
        for distance in (0.0, DISTANCE_SECONDS) if kind in FAR else (0.0,):
            given = [*options, far] if distance else options
            fleet = open_parts.enter_context(Fleet(WORKERS, environment(found, sink), given, module))
            for size in SIZES:
                variants[_name(kind, size, distance)] = partial(_drain, found, fleet, size, kind)
    return variants


def _name(kind: str, size: int, distance: float = 0.0) -> str:
    return f"{kind}, {size}" + (f", {distance * 1000:g} ms" if distance else "")


def _drain(found: Database, fleet: Fleet, size: int, kind: str, orders: int = ORDERS) -> Run:
    order_ids = found.accept(orders, watched=kind != UPDATES)
    done = drained(found, fleet, order_ids, size)
    return Run(
        rate=done.rate,
        client=done.client,
        server=done.server,
        statements=sum(answer.statements for answer in done.answers) / len(done.answers),
    )


def _parts(found: Database, size: int) -> dict[str, float]:
    """Each part's core-µs an order, with null sockets."""
    with Bar("profiled", 1) as bar, Sink() as sink:
        fleet = Fleet(WORKERS, environment(found, sink), ["--null-sockets", "--profile"])
        client = _drain(found, fleet, size, ENGINE_NULL, PROFILED).client
        shares = fleet.close()
        bar.show(1)
    return {part: client * sum(each[part] for each in shares) / len(shares) for part in PARTS}


def _rows(runs: Mapping[str, list[Run]], distance: float) -> Iterator[list[str]]:
    for size in SIZES:
        for kind in ALL:
            many = runs.get(_name(kind, size, distance))
            if many:
                yield [
                    _name(kind, size),
                    Spread.of([each.rate for each in many]).text(),
                    Spread.of(ratios(runs, kind, BARE_ROWS, size, distance)).text(2),
                    Spread.of(ratios(runs, kind, UPDATES, size, distance)).text(2),
                    f"{Spread.of([each.client for each in many]).median:,.0f}",
                    f"{Spread.of([each.server for each in many]).median:,.0f}",
                    f"{Spread.of([each.statements for each in many]).median:.1f}",
                ]


def ratios(runs: Mapping[str, list[Run]], kind: str, baseline: str, size: int, distance: float = 0.0) -> list[float]:
    """Round by round, how many times as fast as a baseline."""
    pairs = zip(runs[_name(kind, size, distance)], runs[_name(baseline, size, distance)], strict=True)
    return [each.rate / other.rate for each, other in pairs]


def _result(runs: Mapping[str, list[Run]], parts: Mapping[int, Mapping[str, float]]) -> Result:
    columns = ["", "orders/s", "× bare rows", "× single updates", "client µs", "server µs", "statements"]
    pushes = {
        size: _median(runs, _name(ENGINE_SINK, size), "client") - _median(runs, _name(ENGINE_NULL, size), "client")
        for size in SIZES
    }
    by_part = [[f"{size}", *(f"{parts[size][part]:,.0f}" for part in PARTS), f"{pushes[size]:,.0f}"] for size in SIZES]
    note = "µs are core-µs an order; statements are an invocation's. In brackets the lowest and the highest round."
    return Result(
        name="drain",
        title="Drain",
        about=ABOUT,
        tables=[
            Table("Batches of 10 and 100, database on the same machine", columns, list(_rows(runs, 0.0)), note),
            Table(f"The same, {DISTANCE_SECONDS * 1000:g} ms away", columns, list(_rows(runs, DISTANCE_SECONDS)), note),
            Table(
                "Where a worker's core-µs an order go",
                ["batch", *PARTS, "push"],
                by_part,
                "By samples of a run with null sockets; push is what the sink's row needs more.",
            ),
        ],
        goals=list(_goals(runs)),
        figures={
            **{
                f"{kind}, {size}": {field: _median(runs, _name(kind, size), field) for field in Run.__struct_fields__}
                for kind in ALL
                for size in SIZES
            },
            "parts": {str(size): dict(parts[size]) | {"push": pushes[size]} for size in SIZES},
        },
    )


def _median(runs: Mapping[str, list[Run]], name: str, field: str) -> float:
    return Spread.of([getattr(each, field) for each in runs[name]]).median


def _goals(runs: Mapping[str, list[Run]]) -> Iterator[Goal]:
    wanted: list[tuple[str, str, int, float]] = [
        *((ENGINE_NULL, BARE_ROWS, size, LEAST_OF_BARE) for size in SIZES),
        *((ENGINE_NULL, UPDATES, size, TIMES_UPDATES[size]) for size in SIZES),
        *((ENGINE_SINK, UPDATES, size, 1.0) for size in SIZES),
    ]
    for kind, baseline, size, least in wanted:
        found = Spread.of(ratios(runs, kind, baseline, size)).median
        yield Goal(
            f"{kind}, batches of {size}, against {baseline}",
            f"≥ {least:g} ×",
            f"{found:.2f} ×",
            found >= least,
            "" if found >= least else _why(runs, size, baseline),
        )


def _why(runs: Mapping[str, list[Run]], size: int, baseline: str) -> str:
    """What a baseline leaves out, in the figures of its run."""
    if baseline == UPDATES:
        bare = Spread.of(ratios(runs, BARE_ROWS, UPDATES, size)).median
        update: dict[str, Any] = {field: _median(runs, _name(UPDATES, size), field) for field in ("client", "server")}
        return (
            f"one UPDATE costs {update['client']:.0f} + {update['server']:.0f} core-µs here; the bare rows of an "
            f"order, without any engine, already reach only {bare:.2f} of it"
        )
    early, tasks = (Spread.of(ratios(runs, kind, BARE_ROWS, size)).median for kind in (EARLY, TASKS))
    spent = {kind: _median(runs, _name(kind, size), "client") for kind in (ENGINE_NULL, TASKS)}
    return (
        f"without any engine, the same rows reach {early:.2f} with `routing` told before the quotes, and {tasks:.2f} "
        f"with a task an order; route, frames, log and guards are {spent[ENGINE_NULL] - spent[TASKS]:.0f} core-µs more"
    )


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

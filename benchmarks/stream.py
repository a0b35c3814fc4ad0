"""`python -m benchmarks.stream`: how soon a committed event is at its sockets, and what a frame costs."""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from urllib.parse import quote, urlsplit

import msgspec

from benchmarks.processes.fleet import Fleet, environment
from benchmarks.reporting.report import Goal, Result, Spread, Table, percentile, run
from benchmarks.reporting.rounds import interleaved
from benchmarks.surroundings.database import Database, database
from benchmarks.surroundings.sink import Pushed, Sink
from chalicelib.store.streams import MOST_LEASED
from chalicelib.streaming.publisher import PROMPT_SECONDS

WORKERS = 2
BATCH = 10
# Orders of a run, several batches, by sockets to an order.
ORDERS = {1: 1000, 10: 100, 100: 50}
FEW, SOME, MANY = ORDERS
# Other sockets, which follow other orders, so many to each.
CROWDS = (1000, 10_000)
CROWD_EACH = 10
# What an order does after its sockets follow it: routing, building, submitted, confirmed.
EVENTS = 4
# Orders in batches of one, and how many sockets to an order.
SINGLE, SINGLE_EACH = 30, (FEW, MANY)
MOST_CPU_US = 200
UNWATCHED, BARE = "unwatched", "bare POST"
ABOUT = f"""
Sockets follow orders, one to each of {ORDERS[FEW]:,}, ten to each of {ORDERS[SOME]} or a hundred to each of
{ORDERS[MANY]}, and the orders go in batches of {BATCH} to {WORKERS} worker processes, simulated delays 0, on a durable
embedded Postgres on the same two cores. Each order has {EVENTS} events, each of which is a frame to each of its
sockets; a frame is a signed HTTP request to another process, as API Gateway takes it. *Commit to frame* runs from the
moment at which the worker has the reply to the statement that wrote the event, to the frame's receipt. In batches of
{BATCH} all orders are there from the start and the workers never idle, so that most of it is waiting for the frames
before; batches of 1 show it without a queue.

What a frame costs is what the same orders cost more than when nobody follows them, in CPU time, round by round:
*client* is the worker processes (lease, frame, signature, request, release), *server* is Postgres. A *{BARE}* is there
to compare with and is no lower bound: one thread posts the same bytes to the same process, one after the other over one
kept connection, without a signature, by Python's own synchronous http.client. Statements are those of the connection
that publishes. In the crowded rows other sockets are open, which follow other orders, {CROWD_EACH} to each.
""".strip()


class Run(msgspec.Struct, frozen=True):
    """One run: CPU seconds, statements of the publishing connection, seconds from each event's commit to its frames."""

    orders: int
    frames: int
    client: float
    server: float = 0.0
    statements: int = 0
    waits: list[float] = []


class Bench:
    """What the variants run on."""

    def __init__(self, found: Database, sink: Sink, fleet: Fleet) -> None:
        self._found = found
        self._sink = sink
        self._fleet = fleet
        self._others = found.accept(max(CROWDS) // CROWD_EACH, watched=False)
        self._frames: list[Pushed] = []

    def follow(self, orders: int, sockets: int, batch: int = BATCH, crowd: int = 0) -> Run:
        """Work off some orders, each followed by so many sockets, with other sockets beside them."""
        found = self._found
        order_ids = found.accept(orders, watched=False)
        found.follow(order_ids, sockets)
        found.follow(self._others[: crowd // CROWD_EACH], CROWD_EACH)
        # Connections that idled are looked at before they are used.
        self._fleet.warm()
        server = found.cpu()
        answers = self._fleet.drain(order_ids, batch)
        server = found.cpu() - server
        frames = self._sink.frames()
        if found.unfinished(order_ids) or len(frames) != orders * sockets * EVENTS:
            raise RuntimeError(f"{len(frames)} frames of {orders} orders with {sockets} sockets each")
        found.fetch("DELETE FROM connections")
        self._frames = frames or self._frames
        commits = {(order_id, seq): at for answer in answers for order_id, seq, at in answer.commits}
        return Run(
            orders=orders,
            frames=len(frames),
            client=sum(answer.cpu for answer in answers),
            server=server,
            statements=sum(answer.publishing for answer in answers),
            waits=[each.at - commits[each.frame().order_id, each.frame().seq] for each in frames],
        )

    def bare(self) -> Run:
        """Post the frames of the last run."""
        connection = http.client.HTTPConnection(urlsplit(self._sink.endpoint).netloc)
        requests = [(f"/@connections/{quote(each.connection_id)}", bytes(each.body)) for each in self._frames]
        started = time.thread_time()
        for path, body in requests:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            connection.getresponse().read()
        spent = time.thread_time() - started
        connection.close()
        self._sink.frames()
        return Run(orders=0, frames=len(requests), client=spent)


def measure() -> Result:
    """All variants on interleaved rounds."""
    with database() as found, Sink() as sink, Fleet(WORKERS, environment(found, sink), ["--commits"]) as fleet:
        bench = Bench(found, sink, fleet)
        bench.follow(ORDERS[SOME], SOME)
        return _result(interleaved(_variants(bench)))


def _variants(bench: Bench) -> dict[str, Callable[[], Run]]:
    return {
        UNWATCHED: partial(bench.follow, ORDERS[FEW], 0),
        **{_name(each): partial(bench.follow, orders, each) for each, orders in ORDERS.items()},
        **{_crowded(crowd): partial(bench.follow, ORDERS[SOME], SOME, crowd=crowd) for crowd in CROWDS},
        **{_singly(each): partial(bench.follow, SINGLE, each, batch=1, crowd=CROWDS[0]) for each in SINGLE_EACH},
        BARE: bench.bare,
    }


def _name(each: int) -> str:
    return f"{each} to an order"


def _crowded(crowd: int) -> str:
    return f"{_name(SOME)}, {crowd:,} others"


def _singly(each: int) -> str:
    return f"{_name(each)}, batches of 1"


def _a_frame(runs: Mapping[str, Sequence[Run]], name: str, side: str) -> list[float]:
    """Round by round, the core-µs of a frame: what an order costs more than when nobody follows it."""
    pairs = zip(runs[name], runs[UNWATCHED], strict=True)
    return [
        (getattr(each, side) - getattr(alone, side) / alone.orders * each.orders) / each.frames * 1e6
        for each, alone in pairs
    ]


def _bare(runs: Mapping[str, Sequence[Run]]) -> list[float]:
    return [each.client / each.frames * 1e6 for each in runs[BARE]]


def _statements(runs: Mapping[str, Sequence[Run]], name: str) -> Spread:
    return Spread.of([each.statements / each.orders / EVENTS for each in runs[name]])


def _waits(runs: Mapping[str, Sequence[Run]], name: str, percent: int) -> Spread:
    return Spread.of([percentile(each.waits, percent) * 1000 for each in runs[name]])


def _costs(runs: Mapping[str, Sequence[Run]]) -> Iterator[list[str]]:
    for name in (*map(_name, ORDERS), *map(_crowded, CROWDS)):
        client = _a_frame(runs, name, "client")
        ratios = [each / bare for each, bare in zip(client, _bare(runs), strict=True)]
        yield [
            name,
            Spread.of(client).text(),
            Spread.of(ratios).text(2),
            Spread.of(_a_frame(runs, name, "server")).text(),
            _statements(runs, name).text(2),
        ]
    yield [BARE, Spread.of(_bare(runs)).text(), "1", "", ""]


def _result(runs: Mapping[str, Sequence[Run]]) -> Result:
    waits = [
        [name, *(_waits(runs, name, percent).text(1) for percent in (50, 99))]
        for name in (*map(_name, ORDERS), *map(_singly, SINGLE_EACH))
    ]
    counted = (UNWATCHED, *map(_name, ORDERS), *map(_singly, SINGLE_EACH))
    counts = [[name, _statements(runs, name).text(2)] for name in counted]
    return Result(
        name="stream",
        title="Streaming",
        about=ABOUT,
        tables=[
            Table(
                "Commit to frame, ms",
                ["sockets", "p50", "p99"],
                waits,
                f"In batches of 1, {SINGLE} orders go through beside {CROWDS[0]:,} sockets that follow others, so that "
                "frames queue for those of their own order only.",
            ),
            Table(
                "What a frame costs, core-µs",
                ["sockets", "client", f"× {BARE}", "server", "statements an event"],
                list(_costs(runs)),
                "In brackets the lowest and the highest round.",
            ),
            Table(
                "Statements an event, on the connection that publishes",
                ["sockets", "statements"],
                counts,
                f"A statement leases at most {MOST_LEASED:,} subscriptions, so that what it returns is bounded; a "
                f"batch of {BATCH} orders with {MANY} sockets each has {BATCH * MANY:,}.",
            ),
        ],
        goals=list(_goals(runs)),
        figures={
            "goal": {"cpu_us": MOST_CPU_US},
            BARE: Spread.of(_bare(runs)).median,
            **{
                name: {
                    "client_us": Spread.of(_a_frame(runs, name, "client")).median,
                    "server_us": Spread.of(_a_frame(runs, name, "server")).median,
                    "statements": _statements(runs, name).median,
                }
                for name in (*map(_name, ORDERS), *map(_crowded, CROWDS))
            },
            "commit to frame": {
                name: {f"p{percent}_ms": _waits(runs, name, percent).median for percent in (50, 99)}
                for name in (*map(_name, ORDERS), *map(_singly, SINGLE_EACH))
            },
        },
    )


def _goals(runs: Mapping[str, Sequence[Run]]) -> Iterator[Goal]:
    bare = Spread.of(_bare(runs)).median
    for each in ORDERS:
        client = Spread.of(_a_frame(runs, _name(each), "client")).median
        met = client <= MOST_CPU_US
        reason = "" if met else f"a {BARE} of the same bytes, without any engine, costs {bare:.0f} µs here"
        yield Goal(f"client CPU a frame, {_name(each)}", f"≤ {MOST_CPU_US} µs", f"{client:.0f} µs", met, reason)
    least, most = (_statements(runs, _singly(each)) for each in SINGLE_EACH)
    yield _flat(f"statements an event, {MANY} sockets to an order, batches of 1", most, least)
    for crowd in CROWDS:
        what = f"statements an event, {crowd:,} other sockets"
        yield _flat(what, _statements(runs, _crowded(crowd)), _statements(runs, _name(SOME)))
    slow = _waits(runs, _name(MANY), 99).median
    reason = (
        f"a hundredth of these frames takes {slow:.0f} ms and more: a pass goes on after {PROMPT_SECONDS:g} s, "
        "and the sockets whose turn comes later take a release and a look of their own"
    )
    what = f"statements an event, {MANY} sockets to an order, batches of {BATCH}"
    yield _flat(what, _statements(runs, _name(MANY)), _statements(runs, _name(FEW)), reason)


def _flat(what: str, found: Spread, few: Spread, reason: str = "") -> Goal:
    """Statements must not grow with the sockets: the median is at most what some round has with few."""
    met = found.median <= few.high
    bound = f"≤ {few.high:.2f} statements, the highest round with few"
    return Goal(what, bound, found.text(2), met, "" if met else reason)


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

"""`python -m benchmarks.latency`: how long an order takes beyond what the market itself takes."""

import contextlib
import itertools
import math
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.models.bursts import worked_off
from benchmarks.processes.clients import follow
from benchmarks.processes.fleet import Answer, Container, Fleet, Queue, environment
from benchmarks.reporting.bar import Bar
from benchmarks.reporting.report import Goal, Result, Spread, Table, percentile, run
from benchmarks.reporting.rounds import interleaved
from benchmarks.surroundings.database import Database, database
from benchmarks.surroundings.examples import BODY
from benchmarks.surroundings.sink import Sink
from chalicelib.venues.simulated import venue
from local.stack import Plan, Stack

ORDERS = 200
WORKERS = 20
# Containers of the API function; each takes one POST at a time.
POSTERS = 4
BATCH = 10
SWAP_SECONDS = 2.5
# What a simulated venue takes to quote, on average.
QUOTE_SECONDS = 0.2
# SQS delays by whole seconds.
DELAY_SECONDS = math.ceil(SWAP_SECONDS)
STACK_ORDERS = 50
FIRST, AGAIN = f"embedded stack, {STACK_ORDERS} at once", f"embedded stack, {STACK_ORDERS} again"
P50_SECONDS, P99_SECONDS = 0.3, 1.0
BURST, ALONE = f"{ORDERS} at once", "one alone"
# Engines that cost nothing: how many workers, and whether the orders are all there in one instant.
COSTLESS, COSTLESS_EACH = f"no cost, {WORKERS} workers", f"no cost, {ORDERS} workers"
COSTLESS_KINDS = {
    COSTLESS: (WORKERS, False),
    f"no cost, {2 * WORKERS} workers": (2 * WORKERS, False),
    COSTLESS_EACH: (ORDERS, False),
    f"no cost, {WORKERS} workers, all orders there in one instant": (WORKERS, True),
}
SEED = 1
# An id is not known before its order is stored, so the socket that follows it comes with it.
FOLLOW_NEW = """
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO connections (id, connected_at, expires_at, open)
    VALUES (NEW.id::text || '=', now(), now() + interval '2 hours', true);
    INSERT INTO subscriptions (connection_id, order_id, last_seq) VALUES (NEW.id::text || '=', NEW.id, NEW.last_seq);
    RETURN NULL;
END $$;
CREATE TRIGGER follow AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION follow()
"""
# Seqs of the events.
ROUTING, SUBMITTED, CONFIRMED = 2, 4, 5
STAGES = {
    "POST": "from the POST's start to its answer",
    "queue": "to the commit of `routing`: a free worker, the claim",
    "quotes": "to the commit of `submitted`: the quotes' 0.2 s, the write-ahead",
    "swap": f"to the commit of `confirmed`: the batch's end, {DELAY_SECONDS} s, a free worker, the claim, the asking",
    "frame": "to the frame's receipt",
}
ABOUT = f"""
{ORDERS} orders are posted at once, through the handler of the POST in {POSTERS} processes that take one POST at a time
as containers of the API function do, and are worked off by {WORKERS} processes of the worker function. A queue in the
harness hands batches of up to {BATCH} to whichever of them is free and honours delays, counted from the moment at which
the message was sent. Quotes take 0.18 to 0.22 s, the longer of two counts; a swap takes {SWAP_SECONDS:g} s. Each order
is followed by a socket of its own, whose frames are signed HTTP requests to another process. All of it shares two cores
with a durable embedded Postgres. An order's time runs from just before its own POST to the receipt of its
`confirmed` frame.

How much of that is mere queueing, an engine shows that costs nothing. It is computed, event by event, from the moments
at which the POSTs of that very round were answered: whoever of its workers is free takes what is there, at most
{BATCH}, and is busy until all quotes of its orders are there, drawn as the simulated venues draw. Then it sends the
messages of the batch, and an order whose message comes back is confirmed in that moment. What remains is what the
arrivals, the batches and the quotes take; the rest of what is measured is the engine's.

Nobody waits inside an invocation for a swap: the order's message comes back when the swap should have landed, and
SQS delays by whole seconds, so a swap of {SWAP_SECONDS:g} s is asked for after {DELAY_SECONDS} s. *Beyond the swap* is
the time less the {QUOTE_SECONDS:g} s of a quote and the {SWAP_SECONDS:g} s of the swap, which are the market's own.
*Beyond the delay* is the time less {DELAY_SECONDS} s only: what the engine and its queueing add, quotes included. One
order alone, on the same processes and in the same rounds, is the baseline: what is left when nothing queues.

On the embedded stack (MiniStack with its Lambda processes and queues, the front door, a Postgres without fsync)
{STACK_ORDERS} orders are posted at once, each bound on a WebSocket of its own as soon as its POST is answered; then the
same again, since the first burst starts most of the processes that serve the second. Its swaps take 2 to 3 s, so the
delay is {DELAY_SECONDS} s there too.
""".strip()


class Run(msgspec.Struct, frozen=True):
    """One round: of each order the moments at which its stages began, the last one's end, and what the round cost."""

    moments: list[list[float]]
    # Core-seconds of the engine's processes and of the database until all orders were submitted.
    cpu: float = 0.0

    @property
    def seconds(self) -> list[float]:
        """Of each order, from POST to frame."""
        return [each[-1] - each[0] for each in self.moments]

    @property
    def stages(self) -> dict[str, list[float]]:
        """The seconds of each stage, by stage."""
        lasting = ([after - before for before, after in itertools.pairwise(each)] for each in self.moments)
        return {stage: list(many) for stage, many in zip(STAGES, zip(*lasting, strict=True), strict=True)}

    def until(self, stage: str) -> float:
        """From the first POST's start to the last order's end of a stage."""
        end = list(STAGES).index(stage) + 1
        return max(each[end] for each in self.moments) - min(each[0] for each in self.moments)


def measure() -> Result:
    """Bursts and single orders on interleaved rounds, then bursts on the embedded stack."""
    with database() as found, Sink() as sink:
        found.fetch(FOLLOW_NEW)
        given = environment(found, sink) | {"VENUE_TIME_SCALE": "1"}
        options = [f"--swap-seconds={SWAP_SECONDS}", "--commits"]
        with Fleet(WORKERS, given, options) as workers, Fleet(POSTERS, given, ["--posts"]) as posters:
            # The first push of a container looks for credentials, which takes longer than a frame.
            _round(found, sink, posters, workers, ORDERS)
            variants = {BURST: ORDERS, ALONE: 1}
            runs = interleaved(
                {name: partial(_round, found, sink, posters, workers, orders) for name, orders in variants.items()}
            )
    return _result(runs, _on_the_stack())


def _round(found: Database, sink: Sink, posters: Fleet, workers: Fleet, orders: int) -> Run:
    # Connections that idled are looked at before they are used. Nobody works on the posters' first orders.
    workers.warm()
    posters.warm(BODY)
    queue, accepted, posts = Queue(orders), dict[str, tuple[float, float]](), list[Answer]()
    tickets = itertools.count()
    server, begun = found.cpu(), time.monotonic()

    def post(container: Container) -> None:
        while next(tickets) < orders:
            started = time.monotonic()
            answer = container.call([BODY])
            ((_, order_id, _),) = answer.sent
            accepted[order_id] = (started, time.monotonic())
            queue.send([(order_id, 0.0)])
            posts.append(answer)

    def between() -> float:
        # All orders are submitted by then, and none is asked for yet.
        time.sleep(max(0.0, begun + DELAY_SECONDS - time.monotonic()))
        return found.cpu() - server

    with ThreadPoolExecutor(1) as thread:
        posting, spent = thread.submit(posters.each, post, queue), thread.submit(between)
        answers = workers.work(queue, BATCH)
        posting.result()
    if left := found.unfinished(list(accepted)):
        raise RuntimeError(f"{left} of {orders} orders are unfinished")
    submitting = (answer for answer in answers if any(seq == SUBMITTED for _, seq, _ in answer.commits))
    cpu = spent.result() + sum(answer.cpu for answer in itertools.chain(posts, submitting))
    return Run(_moments(accepted, answers, sink), cpu)


def _moments(accepted: Mapping[str, tuple[float, float]], answers: Sequence[Answer], sink: Sink) -> list[list[float]]:
    commits = {(order_id, seq): at for answer in answers for order_id, seq, at in answer.commits}
    frames = {frame.order_id: pushed.at for pushed in sink.frames() if (frame := pushed.frame()).status == "confirmed"}
    return [
        [*accepted[each], *(commits[each, seq] for seq in (ROUTING, SUBMITTED, CONFIRMED)), frames[each]]
        for each in accepted
    ]


def _costless(burst: Run, workers: int, at_once: bool) -> Run:
    """What a burst would be with an engine that costs nothing, on so many workers."""
    posted = [(0.0, 0.0) if at_once else (started, answered) for started, answered, *_ in burst.moments]
    draws = random.Random(SEED)  # noqa: S311 - nothing secret
    quotes = [max(draws.uniform(*venue.QUOTE_SECONDS) for _ in venue.FEES) for _ in posted]
    return Run(
        [
            [*posted[each], batch.taken, batch.taken + quotes[each], *[batch.ended + DELAY_SECONDS] * 2]
            for batch in worked_off([answered for _, answered in posted], quotes, workers, BATCH)
            for each in batch.messages
        ]
    )


def _on_the_stack() -> dict[str, list[float]]:
    """Each order's seconds from POST to frame, by burst."""
    seconds: dict[str, list[float]] = {}
    with Bar("bursts", 2) as bar, contextlib.ExitStack() as parts:
        home = parts.enter_context(tempfile.TemporaryDirectory(prefix="engine-latency-", ignore_cleanup_errors=True))
        stack = parts.enter_context(Stack(Plan.ephemeral(Path(home))))
        for name in (FIRST, AGAIN):
            seconds[name] = follow(stack.endpoints, STACK_ORDERS)
            bar.show(len(seconds), name)
    return seconds


def _spread(runs: Sequence[Sequence[float]], percent: int, less: float = 0.0) -> Spread:
    return Spread.of([percentile(seconds, percent) - less for seconds in runs])


def _result(runs: Mapping[str, Sequence[Run]], stack: Mapping[str, list[float]]) -> Result:
    seconds = {name: [each.seconds for each in many] for name, many in runs.items()}
    seconds |= {name: [burst] for name, burst in stack.items()}
    # By what is taken off.
    columns = {"": 0.0, " beyond the swap": QUOTE_SECONDS + SWAP_SECONDS, " beyond the delay": DELAY_SECONDS}
    rows = [
        [name, *(_spread(many, percent, less).text(2) for percent in (50, 99) for less in columns.values())]
        for name, many in seconds.items()
    ]
    costless = {name: [_costless(each, *kind) for each in runs[BURST]] for name, kind in COSTLESS_KINDS.items()}
    posting = Spread.of([each.until("POST") for each in runs[BURST]]).text(2)
    return Result(
        name="latency",
        title="Latency",
        about=ABOUT,
        tables=[
            Table(
                "From the POST to the `confirmed` frame, seconds",
                ["", *(f"p{percent}{what}" for percent in (50, 99) for what in columns)],
                rows,
                f"The POSTs of a burst took {posting} s from the first's start to the last's answer. In brackets the "
                "lowest and the highest round.",
            ),
            Table(
                "By stage, seconds",
                ["stage", f"p50, {BURST}", f"p99, {BURST}", ALONE, "what it is"],
                list(_stage_rows(runs)),
                "Each stage has percentiles of its own; they do not add up to those of the whole.",
            ),
            _costless_table(runs[BURST], costless),
        ],
        goals=list(_goals(runs, costless)),
        figures={
            "goal": {"p50": P50_SECONDS, "p99": P99_SECONDS},
            "beyond the delay": {
                name: {f"p{percent}": _spread(many, percent, DELAY_SECONDS).median for percent in (50, 99)}
                for name, many in seconds.items()
            },
            "costless, beyond the delay": {
                name: {f"p{percent}": _beyond(many, percent).median for percent in (50, 99)}
                for name, many in costless.items()
            },
            "stages": {
                name: {stage: _stage(many, stage, 50).median for stage in STAGES} for name, many in runs.items()
            },
        },
    )


def _stage(runs: Sequence[Run], stage: str, percent: int) -> Spread:
    return _spread([each.stages[stage] for each in runs], percent)


def _stage_rows(runs: Mapping[str, Sequence[Run]]) -> Iterator[list[str]]:
    for stage, what in STAGES.items():
        burst = (_stage(runs[BURST], stage, percent).text(3) for percent in (50, 99))
        yield [stage, *burst, _stage(runs[ALONE], stage, 50).text(3), what]


def _beyond(runs: Sequence[Run], percent: int) -> Spread:
    return _spread([each.seconds for each in runs], percent, DELAY_SECONDS)


def _costless_table(bursts: Sequence[Run], costless: Mapping[str, Sequence[Run]]) -> Table:
    stages = ("queue", "swap")
    rows = [
        [
            name,
            *(_beyond(many, percent).text(2) for percent in (50, 99)),
            *(_stage(many, stage, 50).text(3) for stage in stages),
        ]
        for name, many in {f"measured, {WORKERS} workers": bursts, **costless}.items()
    ]
    submitted = Spread.of([each.until("quotes") for each in bursts]).text(2)
    cpu = Spread.of([each.cpu for each in bursts]).text(2)
    return Table(
        "The same burst with an engine that costs nothing, seconds",
        ["", "p50 beyond the delay", "p99 beyond the delay", *(f"{stage}, p50" for stage in stages)],
        rows,
        "The first orders are taken one by one until no worker is free; the others wait for quotes that are not their "
        "own. Only more workers at that moment mend it: `MaximumConcurrency` must allow them, and a mapping at rest "
        "has them in time only if it is provisioned. The last order of a measured burst is submitted after "
        f"{submitted} s, in which the engine's processes and Postgres use {cpu} core-s of two cores.",
    )


def _goals(runs: Mapping[str, Sequence[Run]], costless: Mapping[str, Sequence[Run]]) -> Iterator[Goal]:
    for percent, most in ((50, P50_SECONDS), (99, P99_SECONDS)):
        found, alone = (_beyond(runs[name], percent).median for name in (BURST, ALONE))
        least, enough = (_beyond(costless[name], percent).median for name in (COSTLESS, COSTLESS_EACH))
        yield Goal(
            f"p{percent} of {BURST}, beyond the whole-second delay",
            f"≤ {most:g} s",
            f"{found:.2f} s",
            found <= most,
            ""
            if found <= most
            else f"with the same arrivals an engine without any cost needs {least:.2f} s on {WORKERS} workers and "
            f"{enough:.2f} s on {ORDERS}; so {found - least:.2f} s are the engine's, where {WORKERS} workers share two "
            f"cores with all else, while one order alone needs {alone:.2f} s",
        )


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

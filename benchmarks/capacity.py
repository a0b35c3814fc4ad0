"""What 10 to 10,000 orders a second need and what breaks first: a queueing model, held against runs here."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.cost import MEMORY
from benchmarks.models import pricing, stages
from benchmarks.models.pricing import DatabaseClass
from benchmarks.models.stages import FILL, MOST, PUSHES, WAIT_SECONDS, Limits, Needs, Service
from benchmarks.processes import billing, load
from benchmarks.processes.load import CONTAINERS, Seen, Server
from benchmarks.reporting import report
from benchmarks.reporting.report import Goal, Result, Table, run

RATES = (10, 100, 1_000, 10_000)
TEMPLATE = Path(__file__).resolve().parent.parent / "infrastructure" / "resources.json"
# Figures of other benchmarks: milliseconds by function and fill, and the server's core-µs an order by size of batch.
COST, BILLED_FIGURE = "cost", "billed_ms"
DRAIN, DRAINED, DRAINED_SIZES = "drain", "engine, null sockets, {size}", (10, 100)
# The model is believed where it meets orders' time and containers at work within this.
CLOSE = 0.25

# What replaces each limit, and why.
REPLACED = {
    "MaximumConcurrency": (
        "the parameter, raised with the database's connections",
        "the template's default protects a small database",
    ),
    "new sockets": (
        "a socket for many orders (up to 1,000 each); then socket servers on Fargate behind a load balancer",
        "frames come from the event log, so that whoever holds sockets needs the publisher and no worker",
    ),
    "gateway requests": (
        "the same: socket servers push over connections of their own",
        "five of eight requests are pushes, and each is a signed call that counts against the account",
    ),
    "gateway requests, one socket for many orders": ("the same", "a bind and five pushes an order remain"),
    "gateway requests, unwatched": (
        "a load balancer in front of the POST's function, or posts of many orders",
        "only the POST is left; a balancer has no quota of requests",
    ),
    "concurrent invocations": (
        "the account's quota, raised; MaximumConcurrency lower, so that batches fill",
        "a batch of ten takes a worker hardly longer than a batch of one",
    ),
    "the mapping, batches of one": (
        "MaximumConcurrency or a BatchWindow, so that batches fill",
        "full batches need a tenth of the workers",
    ),
    "the mapping, full batches": (
        "provisioned mode: 1,000 more a minute, 20,000 in all",
        "the queue itself has no such bound, and pollers are paid by the hour",
    ),
    "connections, batches of one": (
        "RDS Proxy with DatabasePooler=true",
        "single statements in autocommit: a transaction pooler shares few connections among many containers",
    ),
    "the largest database's CPU": (
        "orders split over databases by their id",
        "each statement is about orders by id or about one socket; no statement needs two databases' rows",
    ),
}


def measure() -> Result:
    """Runs workers at several rates, and asks the model about those and about more."""
    service_ms, source = _billed()
    seen, server = load.observe(MEMORY)
    by_size, server_source = _server(server)
    service = billing.service(service_ms, by_size)
    limits, prices = stages.load(), pricing.load()
    wanted = [stages.needs(service, rate, limits) for rate in RATES]
    maximum = json.loads(TEMPLATE.read_text())["Parameters"]["MaximumConcurrency"]["Default"]
    breaks = stages.breaking(service, limits, maximum, prices.databases[-1])
    validation = _validation(service, seen)
    return Result(
        name="capacity",
        title="What a rate of orders needs",
        about=_about(source, server_source, limits),
        tables=[
            validation,
            _needs(wanted, prices.databases, server),
            _first(wanted, breaks),
            _breaks(breaks, limits),
            _limits(limits),
        ],
        goals=list(_goals(service, seen)),
        figures=_figures(service, seen, wanted, breaks, server),
    )


def _billed() -> tuple[Mapping[str, float], str]:
    try:
        figures: Mapping[str, float] = report.found(COST).figures[BILLED_FIGURE][str(MEMORY)]
    except (FileNotFoundError, KeyError):
        found = billing.measure((MEMORY,), rounds=2, naive=0)[MEMORY]
        return {name: found.ms(name) for name in found.samples}, "measured for this, as `cost` does it"
    return figures, "as `cost` found them"


def _server(measured: Server) -> tuple[dict[int, float], str]:
    known = {round(measured.fill): measured.us / 1e6}
    told = f"{measured.us:,.0f} µs an order in these runs, of {measured.fill:.1f} orders a batch"
    try:
        figures = report.found(DRAIN).figures
        known |= {size: float(figures[DRAINED.format(size=size)]["server"]) / 1e6 for size in DRAINED_SIZES}
    except (FileNotFoundError, KeyError):
        return known, f"{told}, which is more than in full ones"
    return known, f"{told}, and as `drain` found it in full ones"


def _about(source: str, server_source: str, limits: Limits) -> str:
    return f"""\
The worker's mapping is a queue with batch service: whichever worker is free takes what waits, at most {MOST}, and
is busy for as long as a batch of that size takes. `benchmarks/models/queueing.py` has the formulas (M/M[1,b]/c with
Allen's and Cunneen's correction of the wait; Erlang's and Little's where nobody shares a batch). Each order is a
message twice, to be quoted and to be asked for; a batch with an order to be quoted takes as long as quotes do.
Seconds of a batch by its fill, {MEMORY} MB: {source}. The database's CPU: {server_source}.

The first table holds the model against runs here: {CONTAINERS} real worker containers under the quota of {MEMORY}
MB, behind a queue that hands out batches as SQS' mapping does (delays included), orders arriving as a Poisson
stream for {load.SECONDS:g} s at each rate, the market's delays as they are. An order's time is that of its two
passes with the waits before them; the three seconds until a swap has landed are beside it. Figures are of the time
when both passes come steadily.

The stages bound the mapping (`MaximumConcurrency`) to the fewest workers whose messages wait at most
{WAIT_SECONDS * 1000:g} ms on average, in batches of at most {FILL:g}, so that a burst of twice the rate fits.
Connections: two a worker, one of any other container. At most {stages.CPU_SHARE:.0%} of the database's CPU is used,
of a burstable class no more than its baseline.
Each order is watched by a socket of its own, the worst case: POST, connect, bind and {PUSHES} pushes are
{stages.WATCHED_REQUESTS} of the account's gateway requests.

Limits: AWS was not there. SQS may split what came together over several receives; a mapping adds workers by its own
rules, of which the model has the ramp alone. The asks of a batch come back together, which the model spreads out:
at low rates they meet quotes more often than it says. Workers that push take longer than these, which are
unwatched. Beyond what this machine can run the stages are arithmetic, not measurement. Quotas are those of
{limits.region}, {limits.dated}, to be checked."""


def _validation(service: Service, seen: Sequence[Seen]) -> Table:
    rows = []
    for each in seen:
        model = stages.predicted(service, each.rate, CONTAINERS)
        pairs = {
            "containers at work": (model.busy, each.busy, 1, 2),
            "orders a batch": (model.fill, each.fill, 1, 2),
            "a batch of the measured fill, ms": (service.batch(each.fill), each.batch, 1000, 0),
            "wait of a message, ms": (model.wait, each.wait, 1000, 0),
            "an order's time, ms": (service.order(model), each.order, 1000, 0),
        }
        rows += [
            [
                f"{each.rate:g}",
                what,
                f"{expected * scale:,.{digits}f}",
                f"{measured * scale:,.{digits}f}",
                f"{_error(expected, measured):+.0%}",
            ]
            for what, (expected, measured, scale, digits) in pairs.items()
        ]
    return Table(
        f"The model and {CONTAINERS} workers here",
        ["orders/s", "figure", "predicted", "measured", "error"],
        rows,
        "No goal counts a message's wait by itself; it is part of an order's time. Where it is short, it is the "
        "harness's own, its pipes and turns, as much as the queue's; where hardly a worker is ever free, "
        f"{load.SECONDS:g} s are too short for its mean to settle.",
    )


def _error(expected: float, measured: float) -> float:
    # Rounded, so that no error reads as less than nothing.
    return round(expected / measured - 1, 2) + 0.0


def _needs(wanted: Sequence[Needs], classes: list[DatabaseClass], server: Server) -> Table:
    rows = {
        "orders a batch": [f"{each.steady.fill:.1f}" for each in wanted],
        "workers at work": [f"{each.steady.busy:,.1f}" for each in wanted],
        "MaximumConcurrency": [f"{max(2, each.bound):,}" for each in wanted],
        "minutes until the mapping is there": [f"{each.ramp_seconds / 60:.1f}" for each in wanted],
        "with provisioned mode": [f"{each.provisioned_seconds / 60:.1f}" for each in wanted],
        "its pollers": [f"{each.pollers:,}" for each in wanted],
        "workers without a bound": [f"{each.unbounded:,}" for each in wanted],
        "containers of the POST": [f"{each.api:,}" for each in wanted],
        "containers of sockets": [f"{each.sockets:,}" for each in wanted],
        "connections": [f"{each.connections:,}" for each in wanted],
        "database cores": [f"{each.cores:.1f}" for each in wanted],
        "database class": [stages.database(each, classes).text() for each in wanted],
        "proxy": ["yes" if stages.database(each, classes).proxy else "no" for each in wanted],
        "MB of Postgres' write-ahead log a second": [f"{each.rate * server.wal_bytes / 1e6:,.2f}" for each in wanted],
        "gateway requests/s": [f"{each.requests:,.0f}" for each in wanted],
        "of them pushes/s": [f"{each.rate * PUSHES:,.0f}" for each in wanted],
        "new sockets/s": [f"{each.rate:,.0f}" for each in wanted],
    }
    return Table(
        f"What a stage needs, {MEMORY} MB, each order watched by a socket of its own",
        ["needed", *(f"{each.rate:,.0f} orders/s" for each in wanted)],
        [[what, *texts] for what, texts in rows.items()],
    )


def _first(wanted: Sequence[Needs], breaks: Mapping[str, float]) -> Table:
    rows = []
    for each in wanted:
        # In the order in which they break on the way to this rate.
        broken = sorted((name for name in breaks if breaks[name] < each.rate), key=lambda name: breaks[name])
        rows.append([f"{each.rate:,.0f}", broken[0] if broken else "nothing", "; ".join(broken[1:]) or "nothing more"])
    return Table("What breaks on the way to a stage", ["orders/s", "first", "then"], rows)


def _breaks(breaks: Mapping[str, float], limits: Limits) -> Table:
    rows = [[name, f"{breaks[name]:,.0f}", *REPLACED[name]] for name in sorted(breaks, key=lambda name: breaks[name])]
    return Table(
        "Where each limit is reached, and what replaces it",
        ["limit", "orders/s", "replaced by", "because"],
        rows,
        limits.note,
    )


def _limits(limits: Limits) -> Table:
    quotas = {name: value for name, value in msgspec.structs.asdict(limits).items() if isinstance(value, stages.Limit)}
    rows = [
        [name.replace("_", " "), f"{each.limit:,.0f}", each.per, "yes" if each.adjustable else "no", each.source]
        for name, each in quotas.items()
    ]
    return Table(f"Quotas, {limits.region}, {limits.dated}", ["of", "limit", "for each", "adjustable", "source"], rows)


def _goals(service: Service, seen: Sequence[Seen]) -> list[Goal]:
    pairs = [(stages.predicted(service, each.rate, CONTAINERS), each) for each in seen]
    slower = ", ".join(f"{_error(each.batch, service.batch(each.fill)):+.0%} at {each.rate:g}/s" for each in seen)
    errors = {
        "containers at work": [_error(model.busy, each.busy) for model, each in pairs],
        "an order's time": [_error(service.order(model), each.order) for model, each in pairs],
    }
    goals = []
    for what, found in errors.items():
        met = all(abs(error) <= CLOSE for error in found)
        goals.append(
            Goal(
                f"the model's error, {what}, over {len(seen)} rates",
                f"≤ {CLOSE:.0%} either way",
                f"{min(found):+.0%} to {max(found):+.0%}",
                met,
                "" if met else f"what batches of a fill took here, against what the model was given: {slower}",
            )
        )
    return goals


def _figures(
    service: Service,
    seen: Sequence[Seen],
    wanted: Sequence[Needs],
    breaks: Mapping[str, float],
    server: Server,
) -> dict[str, Any]:
    models = {f"{each.rate:g}": stages.predicted(service, each.rate, CONTAINERS) for each in seen}
    return {
        "predicted": {
            rate: msgspec.structs.asdict(model) | {"order": service.order(model)} for rate, model in models.items()
        },
        "measured": {f"{each.rate:g}": msgspec.structs.asdict(each) for each in seen},
        "stages": {
            str(each.rate): {"containers": each.containers, "connections": each.connections, "cores": each.cores}
            for each in wanted
        },
        "breaks_at": dict(breaks),
        "server_us": server.us,
        "wal_bytes": server.wal_bytes,
    }


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

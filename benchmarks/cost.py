"""Dollars for a million orders, from measured milliseconds, messages and requests and the dated prices."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.models import pricing, stages
from benchmarks.models.pricing import METERED_PARTS, MILLION, Bill, Choice, Prices, Stage, Usage
from benchmarks.processes import billing
from benchmarks.processes.billing import FILLS, Billed, batch_name
from benchmarks.processes.warm import no_quota
from benchmarks.reporting import report
from benchmarks.reporting.report import Goal, Result, Table, run
from benchmarks.reporting.rounds import ROUNDS
from benchmarks.surroundings.region import Distances

MEMORY = 512
# A database is chosen for so many times the rate of an even month.
PEAK = 10
# Assumed: invocations that a new container serves, and how long a client keeps the socket of one order.
COLD_SHARE = 0.01
SOCKET_SECONDS = 5.0
# Bytes beside a body: an HTTP reply's headers, a frame's; a request to SQS; Lambda's lines START, END and REPORT.
REPLY_HEADERS = 300
FRAME_HEADERS = 4
SQS_BYTES = 1500
PLATFORM_LINES = 270
# A mapping's receive and delete for each batch.
MAPPING_REQUESTS = 2
# Fill, watched or not, and at most so many dollars.
GOALS = ((10, False, 6.0), (10, True, 14.0), (3, False, 8.0), (3, True, 16.0))
MOST_BILLED_MS = 60
# Figures of the cold start benchmark, by memory: milliseconds of init, and of a first POST.
COLDSTART, COLD_FIGURES = "coldstart", ("init_billed_ms", "post_first_ms")
# And of the last run of the capacity benchmark: core-µs of the database an order, in the small batches of low rates.
CAPACITY, SERVER_FIGURE = "capacity", "server_us"
# Where there is none: of the drain benchmark, which runs before this one.
DRAIN, DRAINED = "drain", "engine, null sockets, 10"
# Of a month's table.
ALL = "a million orders, all of it, fill 10"
NAIVE_NOTE = "The naive port takes one order an invocation, so that fill 1 is what to hold it against."

Bills = dict[tuple[int, int, bool], Bill]


def used(billed: Billed, fill: int, watched: bool, init_ms: float) -> Usage:
    """What one order uses that is executed in batches of `fill`, and followed by a socket of its own if `watched`."""
    passes = [batch_name(name, fill, watched) for name in ("quotes", "asks")]
    edges = ["api", "connect", "message", "disconnect"] if watched else ["api"]
    shares = dict.fromkeys(edges, 1.0) | dict.fromkeys(passes, 1 / fill)
    invocations = sum(shares.values())

    def summed(of: Callable[[str], float]) -> float:
        return sum(share * of(name) for name, share in shares.items())

    pushes = summed(lambda name: billed.mean(name, "pushes"))
    pushed_bytes = summed(lambda name: billed.mean(name, "pushed_bytes"))
    return Usage(
        rest_requests=1,
        # The client's bind is a message too.
        websocket_messages=pushes + 1 if watched else 0,
        connection_minutes=SOCKET_SECONDS / 60 if watched else 0,
        sqs_requests=summed(lambda name: billed.mean(name, "sqs")) + len(passes) * MAPPING_REQUESTS / fill,
        invocations=invocations,
        billed_ms=summed(billed.ms),
        init_ms=invocations * COLD_SHARE * init_ms,
        log_bytes=summed(lambda name: billed.log_bytes(name) + PLATFORM_LINES),
        transfer_bytes=billed.reply_bytes("api") + REPLY_HEADERS + pushed_bytes + pushes * FRAME_HEADERS,
    )


def naive(billed: Billed, watched: bool, init_ms: float) -> Usage:
    """The same for the port that waits: posts and sockets as here, one message and one invocation an order."""
    alike = used(billed, 1, watched, init_ms)
    passes = sum(billed.ms(batch_name(name, 1, watched)) for name in ("quotes", "asks"))
    logged = sum(billed.log_bytes(batch_name(name, 1, watched)) for name in ("quotes", "asks"))
    invocations = alike.invocations - 1
    return msgspec.structs.replace(
        alike,
        sqs_requests=billed.mean("api", "sqs") + MAPPING_REQUESTS,
        invocations=invocations,
        billed_ms=alike.billed_ms - passes + billed.ms("naive"),
        init_ms=invocations * COLD_SHARE * init_ms,
        log_bytes=alike.log_bytes - logged - PLATFORM_LINES,
    )


def measure() -> Result:
    """Measures the invocations, and prices them."""
    # First, so that what it lacks is told before the minutes of measuring.
    server = _server()
    prices, found = pricing.load(), billing.measure()
    cold, cold_source = _cold(found)
    init_ms = cold[MEMORY]
    bills: Bills = {
        (megabytes, fill, watched): pricing.bill(
            used(billed, fill, watched, cold[megabytes]), megabytes, prices.metered
        )
        for megabytes, billed in found.items()
        for fill in FILLS
        for watched in (False, True)
    }
    billed = found[MEMORY]
    waiting = {
        watched: pricing.bill(naive(billed, watched, init_ms), MEMORY, prices.metered) for watched in (False, True)
    }
    choices = [_chosen(stage, billed, server, prices) for stage in prices.stages]
    months = [
        _month(stage, billed, bills, waiting, prices, chosen=chosen)
        for stage, chosen in zip(prices.stages, choices, strict=True)
    ]
    return Result(
        name="cost",
        title="What an order costs",
        about=_about(prices, init_ms, cold_source, server),
        tables=[
            _milliseconds(found),
            _units(billed, init_ms),
            _parts(bills, waiting),
            _sizes(found, bills, prices, cold),
            _months(months, choices, prices),
            _ledger(prices),
        ],
        goals=list(_goals(billed, bills, init_ms)),
        figures=_figures(found, bills, waiting, init_ms)
        | {"all": {str(stage.orders): month[ALL] for stage, month in zip(prices.stages, months, strict=True)}},
    )


def _cold(found: Mapping[int, Billed]) -> tuple[dict[int, float], str]:
    """What a container bills before it is warm, by megabytes, and where that is from."""
    try:
        figures = report.found(COLDSTART).figures
        cold = {size: sum(float(figures[name][str(size)]) for name in COLD_FIGURES) for size in found}
    except (FileNotFoundError, KeyError):
        return {size: billed.init_ms for size, billed in found.items()}, "the imports of app.py alone"
    return cold, "init and first POST, as `coldstart` found them"


def _server() -> float:
    """CPU seconds of the database an order. Raises FileNotFoundError where neither benchmark has ever been run."""
    try:
        return float(report.found(CAPACITY).figures[SERVER_FIGURE]) / 1e6
    except FileNotFoundError:
        return float(report.found(DRAIN).figures[DRAINED]["server"]) / 1e6


def _about(prices: Prices, init_ms: float, cold_source: str, server: float) -> str:
    away, refused = Distances(), no_quota()
    unlimited = f"No quota here ({refused}): every size has a whole CPU. " if refused else ""
    return f"""\
{unlimited}Real containers run the functions of `app.py`: a process for each memory size under the CPU quota that
Lambda gives it (memory / 1769 MB of a CPU, in periods of 20 ms), warm, with the market's delays as they are. What
uses the CPU alone runs one container at a time, quotes side by side, so that the machine's CPUs are never full.
Milliseconds are wall time of an invocation, event parsed and reply encoded, rounded up as Lambda bills: medians of
{ROUNDS} rounds (of the naive port, {billing.NAIVE_ROUNDS}) after one that doesn't count. A stand-in for SQS and the
gateway's management API counts what AWS bills, so that requests, pushes, log bytes and reply bytes are counted, not
estimated; a mapping's receive and delete are added, {MAPPING_REQUESTS} a batch.

Assumed (`benchmarks/cost.py`, `benchmarks/surroundings/region.py`): {away.database * 1000:g} ms to the database,
{away.queue * 1000:g} ms for a request to SQS and {away.push * 1000:g} ms for a push, beside the work for them;
{COLD_SHARE:.0%} of invocations start a container, with {init_ms:.0f} ms billed before it is warm ({cold_source}); a
watched order has a socket of its own for {SOCKET_SECONDS:g} s and is bound by a frame (connecting with `?orderId=`
saves that message and adds three requests to SQS and an invocation); orders confirm at the first attempt. *Metered*
is requests, messages and compute; logs and transfer are beside it. Of the logs, {PLATFORM_LINES} bytes an
invocation are Lambda's own START, END and REPORT, which logging in JSON at system level WARN leaves out. The naive
port executes an order in one invocation that waits for quotes and landing (their means), with one UPDATE a status;
its posts and sockets cost what they cost here, and its pushes take no time. Storage is what a year of
orders takes at its end, with {1 - pricing.STORAGE_USED:.0%} left free: {pricing.ORDER_BYTES:,} bytes for each of the
last {pricing.MONTHS_KEPT} months', whose events are kept (`scale` found so many), {pricing.OLD_ORDER_BYTES:,} for each
of the months' before.
The database is chosen as `capacity` chooses it, for {PEAK} times the month's mean rate, at
{server * 1e6:,.0f} core-µs of the database an order.

Limits: prices are list prices of {prices.region}, {prices.dated}, to be checked before they are relied on. TLS to
the database, to SQS and to the gateway is not in the milliseconds, nor is Lambda's own runtime (about a millisecond
an invocation). Arm is priced with x86's milliseconds. The fill is given here; `capacity` says which fill a rate
leads to."""


def _milliseconds(found: Mapping[int, Billed]) -> Table:
    names = list(next(iter(found.values())).samples)
    return Table(
        "Billed milliseconds of a warm invocation",
        ["invocation", *(f"{megabytes} MB" for megabytes in found)],
        [[_spoken(name), *(billed.spread(name).text() for billed in found.values())] for name in names],
        "quotes: claim, quotes, write-ahead, send; asks: claim, ask, confirm. Median (lowest to highest).",
    )


def _units(billed: Billed, init_ms: float) -> Table:
    columns = [(fill, watched) for watched in (False, True) for fill in FILLS]
    usages = [used(billed, fill, watched, init_ms) for fill, watched in columns]
    rows = [
        [field.replace("_", " "), *(f"{getattr(usage, field):,.2f}" for usage in usages)]
        for field in Usage.__struct_fields__
    ]
    return Table(f"What an order uses, {MEMORY} MB", ["unit", *(_column(*each) for each in columns)], rows)


def _parts(bills: Bills, waiting: Mapping[bool, Bill]) -> Table:
    columns = [(fill, watched) for watched in (False, True) for fill in FILLS]
    priced = [bills[MEMORY, *each] for each in columns] + list(waiting.values())
    rows = [[field, *(f"{getattr(bill, field):.2f}" for bill in priced)] for field in Bill.__struct_fields__]
    rows.insert(len(METERED_PARTS), ["metered", *(f"{bill.metered:.2f}" for bill in priced)])
    rows.append(["all", *(f"{bill.total:.2f}" for bill in priced)])
    names = [*(_column(*each) for each in columns), "naive", "naive, watched"]
    return Table(f"Dollars for a million orders, {MEMORY} MB", ["part", *names], rows, NAIVE_NOTE)


def _sizes(found: Mapping[int, Billed], bills: Bills, prices: Prices, cold: Mapping[int, float]) -> Table:
    columns = [(fill, watched) for watched in (False, True) for fill in FILLS]
    rows = []
    for megabytes, billed in found.items():
        rows.append([f"{megabytes} MB, x86", *(f"{bills[megabytes, *each].metered:.2f}" for each in columns)])
        arm = [
            pricing.bill(used(billed, *each, cold[megabytes]), megabytes, prices.metered, arm=True).metered
            for each in columns
        ]
        rows.append([f"{megabytes} MB, arm", *(f"{dollars:.2f}" for dollars in arm)])
    return Table("Metered dollars for a million orders", ["memory", *(_column(*each) for each in columns)], rows)


def _months(columns: Sequence[Mapping[str, float]], choices: Sequence[Choice], prices: Prices) -> Table:
    told = "; ".join(
        f"{stage.orders / MILLION:,.0f} million: {chosen.text()} Multi-AZ with {stage.storage_gb:,} GB, "
        f"NAT gateways: {stage.nat_gateways}, zones with an SQS endpoint: {stage.endpoints}, "
        f"{'a' if chosen.proxy else 'no'} proxy"
        for stage, chosen in zip(prices.stages, choices, strict=True)
    )
    return Table(
        f"Dollars a month, {MEMORY} MB",
        ["part", *(f"{stage.orders / MILLION:,.0f} million orders" for stage in prices.stages)],
        [[part, *(f"{column[part]:,.2f}" for column in columns)] for part in columns[0]],
        f"{told}. Orders: metered, logs and transfer. {NAIVE_NOTE}",
    )


def _chosen(stage: Stage, billed: Billed, server: float, prices: Prices) -> Choice:
    """By the rule that `capacity` has, for the peak of a month."""
    service = billing.service({name: billed.ms(name) for name in billed.samples}, {1: server})
    return stages.database(stages.needs(service, PEAK * stage.rate, stages.load()), prices.databases)


def _month(
    stage: Stage, billed: Billed, bills: Bills, waiting: Mapping[bool, Bill], prices: Prices, *, chosen: Choice
) -> dict[str, float]:
    parts = pricing.fixed(
        stage,
        chosen,
        prices,
        queue_bytes=used(billed, 10, False, 0.0).sqs_requests * SQS_BYTES,
        sweep_ms=billed.ms("sweep"),
        megabytes=MEMORY,
    )
    millions, whole = stage.orders / MILLION, sum(parts.values())
    parts["fixed, together"] = whole
    for watched in (False, True):
        for fill in FILLS:
            parts[f"orders, {_column(fill, watched)}"] = bills[MEMORY, fill, watched].total * millions
        parts[f"orders, naive{_word(watched)}"] = waiting[watched].total * millions
    parts[ALL] = whole / millions + bills[MEMORY, 10, False].total
    return parts


def _ledger(prices: Prices) -> Table:
    rows = [
        [name.replace("_", " "), f"{price.price:.10f}".rstrip("0").rstrip("."), price.per, price.source]
        for part in (prices.metered, prices.fixed)
        for name, price in msgspec.structs.asdict(part).items()
    ]
    rows += [[each.name, f"{each.price:g}", "hour, Multi-AZ", prices.databases_source] for each in prices.databases]
    return Table(f"Prices, {prices.region}, {prices.dated}", ["of", "dollars", "for", "source"], rows, prices.note)


def _goals(billed: Billed, bills: Bills, init_ms: float) -> Iterator[Goal]:
    for fill, watched, most in GOALS:
        bill = bills[MEMORY, fill, watched]
        parts = ", ".join(f"{part} ${getattr(bill, part):.2f}" for part in METERED_PARTS)
        what = f"metered, a million {'watched' if watched else 'unwatched'} orders, {MEMORY} MB, fill {fill}"
        met = bill.metered <= most
        yield Goal(what, f"≤ ${most:g}", f"${bill.metered:.2f}", met, "" if met else f"of these: {parts}")
    spent = used(billed, 10, False, init_ms).billed_ms
    post, *passes = (billed.ms(name) for name in ("api", *(batch_name(each, 10, False) for each in ("quotes", "asks"))))
    what = f"billed time of an order, {MEMORY} MB, fill 10, its POST included"
    met, batches = spent <= MOST_BILLED_MS, " and ".join(f"{each:.0f}" for each in passes)
    reason = f"{post:.0f} ms are its POST's, the rest its tenth of two batches of {batches} ms"
    yield Goal(what, f"≤ {MOST_BILLED_MS} ms", f"{spent:.1f} ms", met, "" if met else reason)


def _figures(found: Mapping[int, Billed], bills: Bills, waiting: Mapping[bool, Bill], init_ms: float) -> dict[str, Any]:
    return {
        "billed_ms": {
            str(megabytes): {name: billed.ms(name) for name in billed.samples} for megabytes, billed in found.items()
        },
        "metered": {
            str(megabytes): {
                f"{fill}{_word(watched)}": bill.metered
                for (size, fill, watched), bill in bills.items()
                if size == megabytes
            }
            for megabytes in found
        },
        "naive": {f"naive{_word(watched)}": bill.metered for watched, bill in waiting.items()},
        "init_ms": init_ms,
    }


def _column(fill: int, watched: bool) -> str:
    return f"fill {fill}{_word(watched)}"


def _word(watched: bool) -> str:
    return ", watched" if watched else ""


def _spoken(name: str) -> str:
    """The name of a sample as people read it: `quotes_10_watched` is quotes, fill 10, watched."""
    what, *more = name.split("_")
    return ", ".join([what, *(f"fill {word}" if word.isdigit() else word for word in more)])


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

"""What a new container takes until it has answered its first POST, and until it has done its first batch."""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.processes import first_batch
from benchmarks.processes.container import STEPS, Code, ContainerError, Started
from benchmarks.reporting.report import Goal, Result, Spread, Table, run
from benchmarks.reporting.rounds import ROUNDS, interleaved
from benchmarks.surroundings.examples import post
from benchmarks.surroundings.quota import WHOLE_MEGABYTES, NoQuotaError, Quota, quota
from benchmarks.surroundings.secured import Certificate, secured
from benchmarks.surroundings.sink import Sink
from infrastructure.package import MAXIMUM_BYTES, Size, build, sizes

GOAL_MS = 330
MEGABYTES = (256, 512, 1024, WHOLE_MEGABYTES)
# Packages that take the most of importing, and the rest as one.
SHOWN = 16
INIT = ("interpreter", "imports")
FIRST = ("engine", "connect", "first statement", "rest of the handler")
POST, BATCH, FOLLOWED = "first POST", "first batch", "first batch, followed"
KINDS = (POST, BATCH, FOLLOWED)
TLS, LOCAL = "TCP and TLS", "unix socket, no TLS"
BARE = "no bytecode"
# What is under a quota: all of a process, or what comes after its imports.
WHOLE, INIT_FREE = "whole", "init free"
LIBRARIES = "psycopg-binary"

ABOUT = f"""\
A new interpreter, as bare as Lambda's, runs the packaged archive as it is unpacked, and nothing beside it: of what the
runtime brings, the engine needs botocore's certificates and, where the environment names no credentials, botocore's way
to find some; here the environment names both, as Lambda's does the credentials. It imports `app` and calls `app.app`
with a REST API's event of a POST, or `app.worker` with SQS's event of ten accepted orders, which it routes and submits;
*followed* means that a socket is bound to all ten, to which their frames are pushed. Processor time is the process's
own, in user and system mode, of all threads, from its start on; wall is from before it is started. Medians of {ROUNDS}
interleaved rounds, with the lowest and the highest.

*{TLS}* is what a deployed function meets: Postgres checks a password (SCRAM-SHA-256) and shows a certificate, which is
verified, and SQS and the management API are behind HTTPS, checked against a bundle as large as botocore's. Both are
stood in for: a process in front of the embedded Postgres, which is built without TLS, ends it, and another takes
messages and frames and answers at once. So there are no network times here, and simulated venues answer without delay.

Lambda gives a function of M megabytes M / {WHOLE_MEGABYTES:,} of a processor. The rows by memory run under such a
quota, 20 ms a period, by a control group of Linux's: once all of it, and once from the first invocation on, since
Lambda initialises a function on a whole processor. Lambda's own start of a machine, the download of the archive and the
runtime's client are in no number. Wall times grow with whatever else the machine does; processor times hardly do."""

Runs = Mapping[str, Sequence[Started]]


def measure() -> Result:
    """Starts containers in interleaved rounds."""
    archive = build().archive
    with contextlib.ExitStack() as parts:
        home = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="engine-cold-")))
        database = parts.enter_context(secured())
        certificate = database.certificate
        encrypted = parts.enter_context(Sink(certificate.certificate, certificate.key))
        plain = parts.enter_context(Sink())
        code, bare = Code(archive, home / "code"), Code(archive, home / "bare", bytecode=False)
        groups, refused = _groups(parts)
        deployed = partial(_start, _settings(database.over_tls, encrypted, certificate), database.over_socket)
        local = partial(_start, _settings(database.over_socket, plain), database.over_socket)
        variants: dict[str, Callable[[], Started]] = {
            **{_name(kind, TLS): partial(deployed, code, kind) for kind in KINDS},
            **{_name(kind, LOCAL): partial(local, code, kind) for kind in KINDS},
            BARE: partial(deployed, bare, POST),
            **_under_quota(groups, partial(deployed, code)),
        }
        found = interleaved(variants, warm=1)
        imports = _imports([code.imports() for _ in range(ROUNDS)])
    files = sizes(archive)
    tables = [
        _steps(found),
        _by_memory(found, groups, refused),
        _bytecode(found),
        _imported(imports),
        _package(files),
        _largest(files[LIBRARIES]),
    ]
    return Result("coldstart", "Cold start", ABOUT, tables, _goals(found), _figures(found, groups, imports, files))


def _under_quota(groups: Mapping[int, Quota], start: Callable[..., Started]) -> dict[str, Callable[[], Started]]:
    variants: dict[str, Callable[[], Started]] = {}
    for megabytes, group in groups.items():
        for kind in (POST, BATCH):
            variants[_name(kind, megabytes, WHOLE)] = partial(start, kind, group=group.command)
            variants[_name(kind, megabytes, INIT_FREE)] = partial(start, kind, join=str(group.processes))
    return variants


def _groups(parts: contextlib.ExitStack) -> tuple[dict[int, Quota], str]:
    """The quotas that this machine lets us set, and why not."""
    try:
        return {megabytes: parts.enter_context(quota(megabytes)) for megabytes in MEGABYTES}, ""
    except NoQuotaError as error:
        return {}, str(error)


def _settings(database_url: str, sink: Sink, certificate: Certificate | None = None) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "ORDERS_QUEUE": sink.queue_url("orders"),
        "DELIVERIES_QUEUE": sink.queue_url("deliveries"),
        "DEAD_LETTERS_QUEUE": sink.queue_url("dead-letters"),
        "PUSH_ENDPOINT": f"{sink.endpoint}/api",
        "AWS_ENDPOINT_URL": sink.endpoint,
        "VENUE_TIME_SCALE": "0",
        **({"AWS_CA_BUNDLE": str(certificate.bundle)} if certificate else {}),
    }


def _start(settings: Mapping[str, str], database_url: str, code: Code, kind: str, **how: Any) -> Started:
    """Starts a container for its first and its second invocation; raises ContainerError where they did not succeed."""
    if kind == POST:
        started = code.start("app", [post()] * 2, settings, **how)
        done = all(reply["statusCode"] == HTTPStatus.OK for reply in started.replies)
    else:
        events = [first_batch.batch(database_url, followed=kind == FOLLOWED) for _ in range(2)]
        started = code.start("worker", events, settings, **how)
        done = all(reply == {"batchItemFailures": []} for reply in started.replies)
    if not done:
        raise ContainerError(f"{kind}: {started.replies}")
    return started


def _name(*parts: object) -> str:
    return " · ".join(map(str, parts))


def _cpu(runs: Sequence[Started], *steps: str) -> Spread:
    return Spread.of([each.whole(*steps).cpu for each in runs])


def _wall(runs: Sequence[Started], *steps: str) -> Spread:
    return Spread.of([each.whole(*steps).wall for each in runs])


def _steps(found: Runs) -> Table:
    rows = []
    for way in (TLS, LOCAL):
        for kind in KINDS:
            runs = found[_name(kind, way)]
            steps = [f"{_cpu(runs, step).median:,.1f}" for step in STEPS]
            second = Spread.of([each.second.cpu for each in runs])
            rows.append([kind, way, _cpu(runs).text(), *steps, f"{second.median:,.1f}", _wall(runs).text()])
    columns = ["", "over", "CPU ms", *STEPS, "second invocation", "wall ms"]
    return Table("Processor milliseconds from the start of a process, by step", columns, rows)


def _by_memory(found: Runs, groups: Mapping[int, Quota], refused: str) -> Table:
    rows = []
    for megabytes in groups:
        for kind in (POST, BATCH):
            whole, free = (found[_name(kind, megabytes, how)] for how in (WHOLE, INIT_FREE))
            inits = [_wall(whole, *INIT).text(), _wall(free, *INIT).text()]
            firsts = [_wall(whole).text(), _wall(free, *FIRST).text(), _wall(free).text()]
            share = f"{megabytes / WHOLE_MEGABYTES:.2f}"
            rows.append([f"{megabytes:,} MB", share, kind, inits[0], firsts[0], inits[1], *firsts[1:]])
    columns = ["memory", "processor", "", "init, quota", "first done, quota", "init, free", "first invocation", "both"]
    note = f"No rows: {refused}" if refused else "The last three have the whole processor for their imports."
    return Table("Milliseconds by the clock, by memory, over TCP with TLS", columns, rows, note)


def _bytecode(found: Runs) -> Table:
    rows = [
        [what, _cpu(runs, "imports").text(), _wall(runs, "imports").text()]
        for what, runs in (("with bytecode", found[_name(POST, TLS)]), ("sources only", found[BARE]))
    ]
    note = "A function's directory is read-only: what the archive lacks is compiled at each cold start."
    return Table("What bytecode in the archive saves", ["archive", "CPU ms of imports", "wall ms"], rows, note)


def _imports(rounds: Sequence[Mapping[str, float]]) -> Counter[str]:
    names = set().union(*rounds)
    return Counter({name: min(each.get(name, 0) for each in rounds) for name in names})


def _imported(imports: Counter[str]) -> Table:
    shown = imports.most_common(SHOWN)
    rest = imports.total() - sum(each for _, each in shown)
    rows = [*shown, (f"{len(imports) - len(shown)} others", rest), ("sum", imports.total())]
    note = "Of each package's own modules, without what they import, the lowest of the rounds: it is time by the clock."
    lines = [[name, f"{each:,.1f}"] for name, each in rows]
    return Table("Milliseconds of imports by top-level package", ["package", "ms"], lines, note)


def _package(files: Mapping[str, Mapping[str, Size]]) -> Table:
    rows = sorted(((name, len(each), *_sum(each)) for name, each in files.items()), key=lambda row: -row[2])
    rows.append(("sum", sum(row[1] for row in rows), sum(row[2] for row in rows), sum(row[3] for row in rows)))
    lines = [[name, *(f"{count:,}" for count in counts)] for name, *counts in rows]
    note = f"The packager refuses an archive above {MAXIMUM_BYTES:,} bytes; Lambda's own limit is 250 MB unpacked."
    return Table("The archive's bytes by distribution", ["distribution", "files", "packed", "unpacked"], lines, note)


def _largest(files: Mapping[str, Size]) -> Table:
    found = sorted(files.items(), key=lambda each: -each[1].packed)[:8]
    rows = [[name.partition("/")[2], f"{size.packed:,}", f"{size.unpacked:,}"] for name, size in found]
    note = "libpq, and what it was linked with: OpenSSL, and Kerberos and LDAP, which the engine never uses."
    return Table(f"The largest files of {LIBRARIES}", ["file", "packed", "unpacked"], rows, note)


def _sum(files: Mapping[str, Size]) -> tuple[int, int]:
    return sum(size.packed for size in files.values()), sum(size.unpacked for size in files.values())


def _goals(found: Runs) -> list[Goal]:
    def goal(kind: str) -> Goal:
        runs = found[_name(kind, TLS)]
        cpu = _cpu(runs)
        parts = ", ".join(f"{step} {_cpu(runs, step).median:,.0f}" for step in ("imports", "rest of the handler"))
        met = cpu.median <= GOAL_MS
        what = f"{kind}: processor time over {TLS}"
        return Goal(what, f"≤ {GOAL_MS} ms", f"{cpu.text()} ms", met, "" if met else f"of these: {parts}")

    return [goal(kind) for kind in KINDS]


def _figures(
    found: Runs, groups: Mapping[int, Quota], imports: Mapping[str, float], files: Mapping[str, Mapping[str, Size]]
) -> dict[str, Any]:
    post = found[_name(POST, TLS)]

    def by_memory(how: str, kinds: Sequence[str], *steps: str) -> Iterator[tuple[str, float]]:
        for megabytes in groups:
            runs = [each for kind in kinds for each in found[_name(kind, megabytes, how)]]
            yield str(megabytes), _wall(runs, *steps).median

    both = (POST, BATCH)
    return {
        "post_cpu_ms": _cpu(post).median,
        "batch_cpu_ms": _cpu(found[_name(BATCH, TLS)]).median,
        "batch_followed_cpu_ms": _cpu(found[_name(FOLLOWED, TLS)]).median,
        "init_cpu_ms": _cpu(post, *INIT).median,
        "init_wall_ms": _wall(post, *INIT).median,
        # By memory: of the initialisation, that Lambda runs on a whole processor and bills, and of what comes then.
        "init_billed_ms": dict(by_memory(INIT_FREE, both, *INIT)),
        "post_first_ms": dict(by_memory(INIT_FREE, (POST,), *FIRST)),
        "batch_first_ms": dict(by_memory(INIT_FREE, (BATCH,), *FIRST)),
        "post_quota_ms": dict(by_memory(WHOLE, (POST,))),
        "batch_quota_ms": dict(by_memory(WHOLE, (BATCH,))),
        "imports_ms": dict(imports),
        "package_bytes": sum(_sum(each)[0] for each in files.values()),
        "package_unpacked_bytes": sum(_sum(each)[1] for each in files.values()),
    }


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

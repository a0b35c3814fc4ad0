"""Runs simulations, shows how far they are, and what they came to: `python -m tests.simulation --seeds 100`."""

import argparse
import multiprocessing
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress

from benchmarks.reporting.bar import Bar
from local.migrate import migrate
from local.postgres import Postgres, ephemeral
from tests.simulation import world
from tests.simulation.backends import Backends
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.totals import Totals

PROCESSES = 2
CHUNK = 10
MOST_SHOWN = 10
# What shells expect of a command that Ctrl-C has ended.
INTERRUPTED = 130
WITHOUT = {mutation.what: mutation for mutation in MUTATIONS}
# Orders, sockets and containers.
NAMES = re.compile(
    r"\b(?:[0-9a-f]{8}-[0-9a-f-]{27}|(?:socket|worker|deliver|api|websocket|sweep|dead-letter)-[0-9]+)\b"
)


def main() -> int:
    """Simulate; the exit code is 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=_count, default=100, help="how many simulations")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--without", choices=sorted(WITHOUT), help="replay one seed on an engine without this")
    given = parser.parse_args()
    if given.without and given.seeds != 1:
        parser.error("--without takes one seed")
    with suppress(KeyboardInterrupt), ephemeral() as server:
        if given.seeds > 1:
            totals = simulate(server, given.first, given.seeds)
        elif given.without:
            with WITHOUT[given.without].applied():
                totals = replay(server, given.first, WITHOUT[given.without])
        else:
            totals = replay(server, given.first)
        return 1 if totals.broken else 0
    return INTERRUPTED


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def simulate(server: Postgres, first: int, count: int) -> Totals:
    """Many simulations, and what they came to."""
    totals = Totals()
    with Bar("seeds", count) as bar:
        for done in each(server, range(first, first + count)):
            totals.add(done)
            bar.show(totals.seeds, f"{totals.faults.total():,} faults, {len(totals.broken)} broken")
    for line in totals.table():
        print(line)
    for seed, broken in sorted(totals.broken.items())[:MOST_SHOWN]:
        print(f"\nseed {seed} broke a promise; replay it with: make simulate SEEDS=1 FIRST={seed}")
        for what in broken[:MOST_SHOWN]:
            print(f"  {what}")
    return totals


def replay(server: Postgres, seed: int, mutation: Mutation | None = None) -> Totals:
    """One simulation, with the steps that concern what it broke; as a mutation is run, where one is applied."""
    backends = Backends(prepared(server, "replayed"))
    report = mutation.run(seed, backends) if mutation else world.run(seed, backends)
    backends.close()
    totals = _totals(report)
    for line in totals.table():
        print(line)
    print(f"{'trace':<58} {report.trace.digest()[:12]:>12}")
    if report.violations:
        show(report)
    return totals


def show(report: world.Report) -> None:
    """The first broken promise that names something, with the steps that concern it; and the others."""
    named = next((found for found in map(NAMES.findall, report.violations) if found), [])
    print("\n      second  container     step")
    for line in report.trace.about(*named):
        print(line)
    print()
    for what in report.violations[:MOST_SHOWN]:
        print(f"broken: {what}")
    if (more := len(report.violations) - MOST_SHOWN) > 0:
        print(f"and {more} more")


def each(server: Postgres, seeds: range) -> Iterator[Totals]:
    """The results of all seeds, some at a time, as they come; each process has a database of its own."""
    urls: multiprocessing.SimpleQueue[str] = multiprocessing.SimpleQueue()
    for number in range(PROCESSES):
        urls.put(prepared(server, str(number)))
    with ProcessPoolExecutor(PROCESSES, initializer=_settle_in, initargs=(urls,)) as pool:
        chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
        for done in as_completed([pool.submit(_simulate, chunk) for chunk in chunks]):
            yield done.result()


def prepared(server: Postgres, name: str) -> str:
    """A database for simulations."""
    url = server.ensure_database(f"simulation_{name}")
    migrate(url)
    return url


_backends: Backends


def _settle_in(urls: "multiprocessing.SimpleQueue[str]") -> None:
    """A new process takes one of the databases."""
    global _backends  # noqa: PLW0603 - one a process
    _backends = Backends(urls.get())


def _simulate(seeds: range) -> Totals:
    totals = Totals()
    for seed in seeds:
        totals.add(_totals(world.run(seed, _backends)))
    return totals


def _totals(report: world.Report) -> Totals:
    broken = {report.seed: report.violations} if report.violations else {}
    return Totals(1, report.steps, report.statuses, report.transactions, report.faults, broken)


if __name__ == "__main__":
    sys.exit(main())

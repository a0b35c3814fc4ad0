"""`make bench`: runs all benchmarks, keeps what they found, and writes docs/performance.md of it."""

import argparse
import subprocess
import sys
import time

from benchmarks.reporting import page, report

# The later ones read what the earlier ones found.
NAMES = ("drain", "latency", "accept", "stream", "scale", "coldstart", "aws_calls", "quotes", "cost", "capacity")
# Takes ten minutes, and runs only where it is named.
LONG = ("million",)
INTERRUPTED = 130


def _run(name: str) -> tuple[int, bytes]:
    """Runs a benchmark in a process of its own, so that none inherits another's memory; its status, and its result."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            printed, _ = process.communicate()
        except KeyboardInterrupt:
            # Ctrl-C reached it too, and it has servers to end and data to remove.
            print("\nending", file=sys.stderr, flush=True)
            process.wait()
            return INTERRUPTED, b""
    return process.returncode, printed


def main() -> int:
    """Runs the benchmarks and writes the page; the status is 1 where one of them could not run, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"some of {', '.join(NAMES)}; all, if none is named; or {', '.join(LONG)}",
    )
    parser.add_argument("--page", action="store_true", help="only write the page, of what the last runs found")
    options = parser.parse_args()
    if unknown := set(options.names) - {*NAMES, *LONG}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(NAMES + LONG)}")
    broken, status = [], 0
    for name in () if options.page else options.names or NAMES:
        started = time.monotonic()
        print(f"{name}:", file=sys.stderr, flush=True)
        status, printed = _run(name)
        if status == INTERRUPTED:
            # What was found until now is kept, and the page tells it.
            break
        print(f"  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        if status:
            broken.append(name)
        else:
            result = report.read(printed)
            report.keep(result)
            print(*map(report.verdict, result.goals), sep="\n", flush=True)
    print(page.write([report.found(name) for name in NAMES + LONG if report.path(name).exists()]))
    for name in broken:
        print(f"{name} did not run: python -m benchmarks.{name} says why", file=sys.stderr)
    return INTERRUPTED if status == INTERRUPTED else int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())

"""`make bench`: runs all benchmarks, keeps what they found, and writes docs/performance.md of it."""

import argparse
import subprocess
import sys
import time

from benchmarks.reporting import page, report

# The later ones read what the earlier ones found.
NAMES = ("drain", "latency", "accept", "stream", "scale", "coldstart", "aws_calls", "cost", "capacity")
# Takes ten minutes, and runs only where it is named.
LONG = ("million",)


def main() -> int:
    """Runs the benchmarks and writes the page; the exit status is 1 where one of them could not run."""
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
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    broken = []
    for name in () if options.page else options.names or NAMES:
        started = time.monotonic()
        print(f"{name}:", file=sys.stderr, flush=True)
        # A process of its own each: no benchmark inherits another's memory.
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--json"], stdout=subprocess.PIPE, check=False
        )
        print(f"  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        if done.returncode:
            broken.append(name)
        else:
            report.keep(report.read(done.stdout))
    print(page.write([report.found(name) for name in NAMES + LONG if report.path(name).exists()]))
    for name in broken:
        print(f"{name} did not run: python -m benchmarks.{name} says why", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())

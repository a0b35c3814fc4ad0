"""What a benchmark found: tables for people, figures for plots and for other benchmarks, goals met or missed."""

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

# Above this share the figures are those of another machine.
MOST_OTHERS = 0.1
ROOT = Path(__file__).resolve().parent.parent.parent
# What `make bench` leaves: a file a benchmark, and the page made of them.
FOUND = ROOT / "docs" / "performance"


class Spread(msgspec.Struct, frozen=True):
    """A figure over several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of some rounds' figures."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 0) -> str:
        """As a table shows it: median (lowest to highest), or the one value that there is."""
        if self.low == self.high:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def percentile(values: Sequence[float], percent: int) -> float:
    """The least of some values that so many percent of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


class Table(msgspec.Struct, frozen=True):
    """Rows of text under column names; `note` says what a reader must know of them."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


class Goal(msgspec.Struct, frozen=True):
    """A bound and what was measured, both with their unit, and the measured reason where it is missed."""

    what: str
    bound: str
    measured: str
    met: bool
    reason: str = ""


class Result(msgspec.Struct, frozen=True):
    """All that a benchmark found. `figures` are numbers by name, for plots and for other benchmarks."""

    name: str
    title: str
    # How it was measured, in a paragraph or two of Markdown.
    about: str
    tables: list[Table]
    goals: list[Goal]
    figures: dict[str, Any]


class Circumstances(msgspec.Struct, frozen=True):
    """Where and when something was measured, and by which code: empty where git does not know."""

    machine: str
    date: str
    commit: str
    # The share of the processors that others used in the second before the start, or after the end if that is more;
    # None where nobody looked.
    others: float | None = None

    @property
    def busy(self) -> bool:
        """Whether others are known to have used so much of the machine that figures say little."""
        return self.others is not None and self.others > MOST_OTHERS

    @classmethod
    def now(cls) -> "Circumstances":
        """Those of this process."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        system = f"{platform.system()} {platform.machine()}"
        return cls(
            machine=f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GB, {system}, "
            f"Python {platform.python_version()}",
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            commit=_commit(),
            others=_used(),
        )

    def over(self) -> "Circumstances":
        """The same at the end, when what the measurement started has ended."""
        shares = [share for share in (self.others, _used()) if share is not None]
        return msgspec.structs.replace(self, others=max(shares, default=None))


class Kept(Result, frozen=True):
    """A result that outlives its run."""

    measured: Circumstances


def path(name: str) -> Path:
    """Where the last result of a benchmark is kept."""
    return FOUND / f"{name}.json"


def read(text: bytes) -> Kept:
    """A result that was printed with --json."""
    return msgspec.json.decode(text, type=Kept)


def found(name: str) -> Kept:
    """The last result of a benchmark. Raises FileNotFoundError where it has never been run."""
    return read(path(name).read_bytes())


def keep(result: Kept) -> None:
    """Make this the last result of its benchmark."""
    FOUND.mkdir(parents=True, exist_ok=True)
    path(result.name).write_text(_json(result))


def run(measure: Callable[[], Result], about: str | None) -> int:
    """The command line of one benchmark: prints its tables, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    # The code that runs is that of the beginning.
    circumstances = Circumstances.now()
    try:
        result = measure()
    except KeyboardInterrupt:
        return 130
    kept = Kept(**msgspec.structs.asdict(result), measured=circumstances.over())
    print(_json(kept) if options.json else _text(kept), flush=True, end="")
    return 0


def verdict(goal: Goal) -> str:
    """A line that says whether a goal was met, and why not."""
    reason = f" ({goal.reason})" if goal.reason else ""
    return f"  {'met   ' if goal.met else 'MISSED'}  {goal.what}: {goal.measured}, goal {goal.bound}{reason}"


def _processor() -> str:
    """The processor's name, as far as Linux knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _used() -> float | None:
    """The share of the processors that is used for a second; None where Linux does not tell."""

    def times() -> tuple[int, int]:
        # user, nice, system, idle, waiting for a disk, and others that count as used
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        return sum(ticks), ticks[3] + ticks[4]

    try:
        whole, idle = times()
        time.sleep(1.0)
        whole_now, idle_now = times()
    except OSError:
        return None
    return 1 - (idle_now - idle) / max(1, whole_now - whole)


def _commit() -> str:
    """The commit of the tree, and whether the code is another by now: what `make bench` writes to docs is none."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!docs")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _json(result: Kept) -> str:
    return json.dumps(msgspec.to_builtins(result), indent=1, ensure_ascii=False) + "\n"


def _text(result: Result) -> str:
    lines = [result.title]
    for table in result.tables:
        widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
        lines += ["", table.title]
        for row in [table.columns, ["-" * width for width in widths], *table.rows]:
            lines.append("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines += [table.note] if table.note else []
    lines += ["", *map(verdict, result.goals)]
    return "\n".join(lines) + "\n"

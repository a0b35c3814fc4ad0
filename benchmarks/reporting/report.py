"""What a benchmark found: tables for people, figures for plots and for other benchmarks, goals met or missed."""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

# What `make bench` leaves: a file a benchmark, and the page made of them.
FOUND = Path(__file__).resolve().parent.parent.parent / "docs" / "performance"


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
        """As a table shows it: median (lowest to highest)."""
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
    """A bound, what was measured, and the measured reason where it is missed."""

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


def path(name: str) -> Path:
    """Where the last result of a benchmark is kept."""
    return FOUND / f"{name}.json"


def read(text: bytes) -> Result:
    """A result that was printed with --json."""
    return msgspec.json.decode(text, type=Result)


def found(name: str) -> Result:
    """The last result of a benchmark. Raises FileNotFoundError where it has never been run."""
    return read(path(name).read_bytes())


def keep(result: Result) -> None:
    """Make this the last result of its benchmark."""
    FOUND.mkdir(parents=True, exist_ok=True)
    path(result.name).write_text(_json(result))


def run(measure: Callable[[], Result], about: str | None) -> int:
    """The command line of one benchmark: prints its tables, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    try:
        result = measure()
    except KeyboardInterrupt:
        return 130
    print(_json(result) if options.json else _text(result), flush=True, end="")
    return 0


def _json(result: Result) -> str:
    return json.dumps(msgspec.to_builtins(result), indent=1, ensure_ascii=False) + "\n"


def _text(result: Result) -> str:
    lines = [result.title]
    for table in result.tables:
        widths = [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]
        lines += ["", table.title]
        for row in [table.columns, ["-" * width for width in widths], *table.rows]:
            lines.append("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines += [table.note] if table.note else []
    lines += ["", *(_goal(goal) for goal in result.goals)]
    return "\n".join(lines) + "\n"


def _goal(goal: Goal) -> str:
    reason = f" ({goal.reason})" if goal.reason else ""
    return f"  {'met   ' if goal.met else 'MISSED'}  {goal.what}: {goal.measured}, goal {goal.bound}{reason}"

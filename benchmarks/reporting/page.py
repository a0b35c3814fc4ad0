"""docs/performance.md and its plots, made of what the benchmarks found."""

import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.reporting import plots
from benchmarks.reporting.report import FOUND, Goal, Result, Table

PAGE = FOUND.with_suffix(".md")
HEAD = """# Performance

Written by `make bench`: do not edit this page, edit [benchmarks](../benchmarks). `make bench NAMES="drain"` measures
one part again.

The numbers come from one small machine ({machine}), on which the engine, Postgres and the load share
the cores. Machines differ by a factor of two and more, so read the ratios: each is made against a baseline in the same
run, as the median of interleaved rounds, with the lowest and the highest round in brackets.
"""


def write(results: Sequence[Result]) -> Path:
    """Write the page and the plots; returns where the page is."""
    pictures = {result.name: plots.draw(result) for result in results}
    lines = [HEAD.format(machine=_machine()), "## Goals", "", *_goals(results)]
    for result in results:
        lines += ["", f"## {result.title}", "", result.about]
        lines += [f"\n![{text}](performance/{path.name})" for text, path in pictures[result.name]]
        for table in result.tables:
            lines += ["", *_table(table)]
    PAGE.write_text("\n".join(lines) + "\n")
    return PAGE


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def _goals(results: Sequence[Result]) -> Iterator[str]:
    yield from _row(["", "Goal", "Bound", "Measured", ""])
    yield "| --- | --- | --- | --- | --- |"
    for result in results:
        for goal in result.goals:
            yield from _row([result.title, goal.what, goal.bound, goal.measured, _verdict(goal)])


def _verdict(goal: Goal) -> str:
    return "met" if goal.met else f"**missed**: {goal.reason}" if goal.reason else "**missed**"


def _table(table: Table) -> Iterator[str]:
    yield f"**{table.title}**"
    yield ""
    yield from _row(table.columns)
    yield "|" + " --- |" * len(table.columns)
    for row in table.rows:
        yield from _row(row)
    if table.note:
        yield from ("", table.note)


def _row(cells: Sequence[str]) -> Iterator[str]:
    yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

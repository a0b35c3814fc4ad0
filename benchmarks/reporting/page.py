"""docs/performance.md and its plots, made of what the benchmarks found."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.reporting import plots
from benchmarks.reporting.answers import ANSWERS
from benchmarks.reporting.report import FOUND, Circumstances, Kept, Table

PAGE = FOUND.with_suffix(".md")
HEAD = """# Performance

What the engine does here was measured in {sections} sections; of their {goals} goals {met} are met and {missed} missed.

Written by `make bench`: do not edit this page, edit [benchmarks](../benchmarks). `make bench NAMES="drain"` measures
one part again, so that sections may be of different days; each names its day, its machine and its commit.
"""
NOTE = """None of it was measured on AWS; each section says what stood there instead.
The machine is a small one on which the engine, Postgres and the load share the cores. Machines differ by a factor of
two and more, so read the ratios: what is compared ran side by side. `5 (4 to 6)` is the median of several rounds with
the lowest and the highest of them; what a figure without brackets is, its section or its table says.

A watched order is followed by a socket of its own, the fill is how many orders come in one batch, and core-µs are
microseconds of one processor.
"""


def write(results: Sequence[Kept]) -> Path:
    """Write the page and the plots; returns where the page is."""
    PAGE.write_text(text(results, {result.name: plots.draw(result) for result in results}))
    return PAGE


def text(results: Sequence[Kept], pictures: Mapping[str, Sequence[tuple[str, Path]]]) -> str:
    """The page, with each benchmark's pictures by its name: a text and a file."""
    goals = [goal for result in results for goal in result.goals]
    met = sum(goal.met for goal in goals)
    head = HEAD.format(sections=len(results), goals=len(goals), met=met, missed=len(goals) - met)
    lines = [head, *_sections(results), "", NOTE, *_goals(results)]
    for result in results:
        lines += ["", f"## {result.title}", "", _measured(result.measured), "", result.about]
        lines += [f"\n![{what}](performance/{path.name})" for what, path in pictures[result.name]]
        for table in result.tables:
            lines += ["", *_table(table)]
    return "\n".join(lines) + "\n"


def _sections(results: Sequence[Kept]) -> Iterator[str]:
    rows = [
        [
            _link(result),
            ANSWERS[result.name](result.figures) + (" (**the machine was busy**)" if result.measured.busy else ""),
            f"{sum(goal.met for goal in result.goals)} of {len(result.goals)}",
        ]
        for result in results
    ]
    yield from _grid(["Section", "Found", "Goals met"], rows)


def _link(result: Kept) -> str:
    """To its heading, by the anchor that GitHub makes of one."""
    anchor = "".join(sign for sign in result.title.lower() if sign.isalnum() or sign in " -").replace(" ", "-")
    return f"[{result.title}](#{anchor})"


def _goals(results: Sequence[Kept]) -> Iterator[str]:
    goals = [(result.title, goal) for result in results for goal in result.goals]
    missed = [
        [title, goal.what, goal.bound, goal.measured, goal.reason or "not known"]
        for title, goal in goals
        if not goal.met
    ]
    yield from ("## Missed goals", "")
    yield from _grid(["", "Goal", "Bound", "Measured", "Why"], missed) if missed else ["None."]
    yield from ("", "## Goals that are met", "")
    met = [[title, goal.what, goal.bound, goal.measured] for title, goal in goals if goal.met]
    yield from _grid(["", "Goal", "Bound", "Measured"], met)


def _measured(circumstances: Circumstances) -> str:
    commit = f" at commit {circumstances.commit}" if circumstances.commit else ""
    return f"*Measured on {circumstances.date}{commit}: {circumstances.machine}.* {_others(circumstances)}"


def _others(circumstances: Circumstances) -> str:
    if circumstances.others is None:
        return "How busy others kept it is not recorded."
    used = f"others used {circumstances.others:.0%} of the processors just before or after"
    return f"**The machine was busy: {used}.**" if circumstances.busy else f"Beside it, {used}."


def _table(table: Table) -> Iterator[str]:
    yield from (f"**{table.title}**", "")
    yield from _grid(table.columns, table.rows)
    if table.note:
        yield from ("", table.note)


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _row(columns)
    yield "|" + " --- |" * len(columns)
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

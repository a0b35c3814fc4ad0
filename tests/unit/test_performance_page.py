"""docs/performance.md tells first what was measured and what was missed."""

from typing import Any

import msgspec

from benchmarks.__main__ import LONG, NAMES
from benchmarks.reporting import page
from benchmarks.reporting.answers import ANSWERS
from benchmarks.reporting.report import Circumstances, Goal, Kept, Spread, Table

MEASURED = Circumstances(machine="8 cores", date="2026-01-31", commit="abc1234")


def found(*goals: Goal) -> Kept:
    return Kept(
        name="drain",
        title="Drain, of orders",
        about="How.",
        tables=[Table("Rates", ["", "a|b"], [["engine", "5"]], "In words.")],
        goals=list(goals),
        figures={
            f"engine, null sockets, {size}": {"rate": 1234.5, "client": 500.0, "server": 250.0} for size in (10, 100)
        },
        measured=MEASURED,
    )


def test_missed_goals_come_first_and_with_their_reason() -> None:
    met, missed = Goal("fast", "≤ 2 s", "1 s", met=True), Goal("cheap", "≤ $2", "$3", met=False, reason="prices rose")
    written = page.text([found(met, missed)], {"drain": []})
    assert "of their 2 goals 1 are met and 1 missed" in written
    assert "| [Drain, of orders](#drain-of-orders) |" in written
    assert written.index("| cheap | ≤ $2 | $3 | prices rose |") < written.index("| fast | ≤ 2 s | 1 s |")


def test_a_section_says_when_and_where_it_was_measured() -> None:
    written = page.text([found()], {"drain": []})
    assert "*Measured on 2026-01-31 at commit abc1234: 8 cores.*" in written
    assert "| engine | 5 |" in written
    assert r"|  | a\|b |" in written


def test_every_benchmark_has_a_line_that_says_what_it_found() -> None:
    assert ANSWERS.keys() == {*NAMES, *LONG}
    assert "1,234 orders/s in batches of 10" in page.text([found()], {"drain": []})


def test_an_answer_leaves_out_what_an_older_result_lacks() -> None:
    figures: dict[str, Any] = {"metered": {"512": {"1": 8.0, "10": 4.0}}, "naive": {"naive": 28.0}}
    assert "all in" not in ANSWERS["cost"](figures)
    assert "$139 all in where a million come a month" in ANSWERS["cost"](figures | {"all": {"1000000": 139.2}})
    drained = dict(found().figures)
    assert "bare rows" not in ANSWERS["drain"](drained)
    bare = {f"bare rows, {size}": {"rate": rate} for size, rate in ((10, 2469.0), (100, 4938.0))}
    assert "0.50 and 0.25 of the rate of the bare rows" in ANSWERS["drain"](drained | bare)


def beside(others: float | None) -> str:
    kept = msgspec.structs.replace(found(), measured=msgspec.structs.replace(MEASURED, others=others))
    return page.text([kept], {"drain": []})


def test_a_section_says_how_busy_others_kept_the_machine() -> None:
    disturbed, quiet = beside(0.4), beside(0.03)
    assert "**The machine was busy: others used 40% of the processors" in disturbed
    assert "(**the machine was busy**) |" in disturbed
    assert "others used 3% of the processors" in quiet
    assert "busy**" not in quiet
    assert "not recorded" in beside(None)


def test_the_machine_is_told_by_its_processor_memory_and_load() -> None:
    now = Circumstances.now()
    assert " cores (" in now.machine
    assert " GB, " in now.machine
    assert now.others is None or 0 <= now.others <= 1
    assert (now.over().others or 0) >= (now.others or 0)


def test_a_spread_of_one_value_has_no_brackets() -> None:
    assert Spread.of([2.0, 1.0, 4.0]).text(1) == "2.0 (1.0 to 4.0)"
    assert Spread.of([2.0]).text(1) == "2.0"

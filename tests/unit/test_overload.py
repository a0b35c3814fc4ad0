"""The overload's report breaks each of its promises where it must."""

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.overload import MOST_MEGABYTES, Report


def report() -> Report:
    """Of three orders, one of which fails by design; all promises are kept."""
    kept = Report(3, accepted={"a": "USDC", "b": "FLAKY", "c": "FAIL"}, stored=3, swaps=2, accept_seconds=1)
    kept.ended = {"a": "confirmed", "b": "confirmed", "c": "failed"}
    kept.refused[429] = 7
    kept.peaks.saw("Worker", 1, MOST_MEGABYTES * 2**20)
    kept.peaks.saw("embedded AWS", 2, 10 * MOST_MEGABYTES * 2**20)
    return kept


def test_a_good_report_breaks_nothing() -> None:
    assert report().broken() == []
    assert "refused with 429             7" in report().table()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda r: r.accepted.pop("c"), "2 of 3 orders were accepted"),
        (lambda r: r.refused.clear(), "0 calls were refused with 429 and came again"),
        (lambda r: r.strange.append("500"), "1 strange answers, as ['500']"),
        (lambda r: r.ended.pop("c"), "1 accepted orders are lost, as ['c']"),
        (lambda r: setattr(r, "stored", 4), "4 orders are stored, 3 were accepted"),
        (lambda r: r.ended.update(c="confirmed"), "3 orders are confirmed, not 2"),
        (lambda r: setattr(r, "swaps", 3), "3 swaps succeeded for 2 confirmed orders"),
        (lambda r: setattr(r, "messages", 1), "1 messages are left"),
        (lambda r: r.peaks.saw("front door", 3, (MOST_MEGABYTES + 1) * 2**20), "a process had 257 MB"),
    ],
)
def test_a_broken_promise_is_named(spoil: Callable[[Report], Any], said: str) -> None:
    spoiled = report()
    spoil(spoiled)
    assert said in spoiled.broken()

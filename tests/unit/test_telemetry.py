"""Log lines and metrics, as stdout shows them."""

import io
import itertools
import json
import re
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from chalicelib.domain.lifecycle import Status
from chalicelib.telemetry import MAX_VALUES, Telemetry

ORDER_ID = UUID("01a20b53-b06b-7e58-9ba6-58b2fd85af00")
SPENT = {Status.PENDING: 12, Status.ROUTING: 310, Status.SUBMITTED: 2150}

Said = Callable[[], list[dict[str, Any]]]


class Stdout(io.StringIO):
    """A terminal or not, that shows what reached it by each write, and only once flushed."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal
        self._held: list[str] = []
        self.shown: list[str] = []

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        self._held.append(text)
        return len(text)

    def flush(self) -> None:
        self.shown += self._held
        self._held.clear()


class Unspeakable:
    """A value whose own text fails."""

    def __str__(self) -> str:
        raise LookupError("no text")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The lines since the last call, parsed."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def confirm(telemetry: Telemetry) -> None:
    telemetry.ended(ORDER_ID, Status.CONFIRMED, attempts=1, venue="Raydium", milliseconds=SPENT, reason=None)


def fail(telemetry: Telemetry) -> None:
    telemetry.ended(ORDER_ID, Status.FAILED, attempts=3, venue=None, milliseconds=SPENT, reason="no quote")


def test_a_line_says_when_how_bad_what_and_where(said: Said) -> None:
    Telemetry("INFO", "order-engine-dev-worker").failure("frames delivered later", "throttled", seconds=0.5)
    (line,) = said()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "WARNING",
        "message": "frames delivered later",
        "service": "order-engine",
        "functionName": "order-engine-dev-worker",
        "error": "throttled",
        "seconds": 0.5,
    }


def test_outside_lambda_no_function_is_named(said: Said) -> None:
    Telemetry("INFO").failure("claim lost", "another holder")
    (line,) = said()
    assert "functionName" not in line


def test_an_error_is_told_as_text_beside_values_that_stay_what_they_are(said: Said) -> None:
    Telemetry("INFO").failure("frames left to the sweep", ValueError("no database"), orders=2)
    (line,) = said()
    assert (line["error"], line["orders"]) == ("no database", 2)


def test_a_confirmed_order_is_one_line(said: Said) -> None:
    telemetry = Telemetry("INFO")
    telemetry.accepted(ORDER_ID)
    for seq, status in enumerate((Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED), start=2):
        telemetry.moved(ORDER_ID, status, seq)
    telemetry.routed(ORDER_ID, "better price")
    confirm(telemetry)
    (line,) = said()
    del line["timestamp"]
    assert line == {
        "level": "INFO",
        "message": "order ended",
        "service": "order-engine",
        "orderId": str(ORDER_ID),
        "status": "confirmed",
        "attempts": 1,
        "venue": "Raydium",
        "milliseconds": {"pending": 12, "routing": 310, "submitted": 2150},
    }


def test_a_failed_order_says_why(said: Said) -> None:
    fail(Telemetry("INFO"))
    (line,) = said()
    assert (line["status"], line["attempts"], line["reason"]) == ("failed", 3, "no quote")
    assert "venue" not in line


@pytest.mark.parametrize(
    ("level", "levels"),
    [
        ("DEBUG", ["DEBUG", "DEBUG", "DEBUG", "DEBUG", "INFO", "INFO", "WARNING", "WARNING", "ERROR"]),
        ("INFO", ["INFO", "INFO", "WARNING", "WARNING", "ERROR"]),
        ("WARNING", ["WARNING", "WARNING", "ERROR"]),
        ("ERROR", ["ERROR"]),
    ],
)
def test_a_level_silences_those_below_it(level: str, levels: list[str], said: Said) -> None:
    telemetry = Telemetry(level)
    telemetry.accepted(ORDER_ID)
    telemetry.moved(ORDER_ID, Status.ROUTING, 2)
    telemetry.routed(ORDER_ID, "better price")
    telemetry.swept(0, 0, 0)
    telemetry.swept(1, 0, 0)
    confirm(telemetry)
    telemetry.attempt_failed(ORDER_ID, 1, "no quote")
    telemetry.failure("claim lost", "another holder")
    telemetry.defect("order left to its lease", ValueError("odd"))
    assert [line["level"] for line in said()] == levels


def test_a_defect_brings_its_traceback_and_what_caused_it(said: Said) -> None:
    telemetry = Telemetry("INFO")
    with pytest.raises(ValueError, match="odd") as raised:
        try:
            {}["lost"]
        except KeyError as cause:
            raise ValueError("odd") from cause
    telemetry.defect("request failed", raised.value, orderId=ORDER_ID)
    (line,) = said()
    assert line["orderId"] == str(ORDER_ID)
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert "KeyError: 'lost'\n\nThe above exception was the direct cause" in line["exception"]
    assert line["exception"].endswith("ValueError: odd\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ValueError("odd"), "odd"),
        ("half \ud800 a pair", r"half \ud800 a pair"),
        ({"half \ud800 a pair": 1}, r"{'half \ud800 a pair': 1}"),
        pytest.param(10**5000, "<int object at ", id="more digits than Python prints"),
        (Unspeakable(), "<tests.unit.test_telemetry.Unspeakable object at "),
        ({"nested": Unspeakable()}, "{'nested': <tests.unit.test_telemetry.Unspeakable object at "),
    ],
)
def test_what_has_no_json_form_is_told_as_text(value: object, text: str, said: Said) -> None:
    Telemetry("INFO").failure("message dropped", "not an order id", body=value, orderId=ORDER_ID)
    (line,) = said()
    assert line["body"].startswith(text)
    assert (line["error"], line["orderId"]) == ("not an order id", str(ORDER_ID))


def test_people_get_a_readable_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(terminal=True)
    monkeypatch.setattr(sys, "stdout", stdout)
    telemetry = Telemetry("INFO", "order-engine-dev-worker")
    fail(telemetry)
    telemetry.defect("request failed", ValueError("odd"))
    ended, defect = stdout.shown
    assert re.fullmatch(
        rf"\S+Z INFO    order ended orderId={ORDER_ID} status=failed attempts=3 "
        r"milliseconds=\{'pending': 12, 'routing': 310, 'submitted': 2150\} reason=no quote\n",
        ended,
    )
    assert re.fullmatch(r"\S+Z ERROR   request failed exception=ValueError: odd\n\n", defect)


def test_each_line_is_one_write_and_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(terminal=False)
    monkeypatch.setattr(sys, "stdout", stdout)
    telemetry = Telemetry("INFO")
    confirm(telemetry)
    telemetry.failure("message dropped", "two\nlines")
    telemetry.flush()
    assert len(stdout.shown) == 3
    for line in stdout.shown:
        assert line.count("\n") == 1
        assert line.endswith("}\n")


def test_metrics_are_one_emf_line(said: Said) -> None:
    telemetry = Telemetry("ERROR", "order-engine-dev-worker")
    telemetry.accepted(ORDER_ID)
    telemetry.accepted(ORDER_ID)
    telemetry.attempt_failed(ORDER_ID, 1, "no quote")
    confirm(telemetry)
    fail(telemetry)
    assert said() == []
    telemetry.flush()
    (line,) = said()
    assert isinstance(line["_aws"].pop("Timestamp"), int)
    assert line == {
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": "order-engine",
                    "Dimensions": [["service"]],
                    "Metrics": [
                        {"Name": "accepted", "Unit": "Count"},
                        {"Name": "retried", "Unit": "Count"},
                        {"Name": "confirmed", "Unit": "Count"},
                        {"Name": "failed", "Unit": "Count"},
                        {"Name": "time_to_confirm", "Unit": "Milliseconds"},
                    ],
                }
            ]
        },
        "service": "order-engine",
        "accepted": 2,
        "retried": 1,
        "confirmed": 1,
        "failed": 1,
        "time_to_confirm": [2472],
    }


def test_nothing_gathered_writes_nothing(said: Said) -> None:
    telemetry = Telemetry("INFO")
    telemetry.flush()
    telemetry.accepted(ORDER_ID)
    telemetry.flush()
    assert len(said()) == 1
    telemetry.flush()
    assert said() == []


@pytest.mark.parametrize("orders", [1, MAX_VALUES - 1, MAX_VALUES, MAX_VALUES + 1, 3 * MAX_VALUES + 7])
def test_documents_hold_what_they_may_and_lose_nothing(orders: int, said: Said) -> None:
    telemetry = Telemetry("ERROR")
    for number in range(orders):
        telemetry.ended(
            ORDER_ID, Status.CONFIRMED, attempts=1, venue="Raydium", milliseconds={"pending": number}, reason=None
        )
    telemetry.flush()
    documents = said()
    assert all(len(document["time_to_confirm"]) <= MAX_VALUES == 100 for document in documents)
    times = itertools.chain.from_iterable(document["time_to_confirm"] for document in documents)
    assert list(times) == list(range(orders))
    assert sum(document["confirmed"] for document in documents) == orders

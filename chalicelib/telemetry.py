"""Log lines and metrics on stdout: JSON and EMF for CloudWatch, plain log lines on a terminal."""

import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from logging import DEBUG, ERROR, INFO, WARNING, getLevelName, getLevelNamesMapping
from typing import Any
from uuid import UUID

import msgspec

from chalicelib.domain.event import iso

SERVICE = "order-engine"
# An EMF document takes no more values of one metric.
MAX_VALUES = 100
# What every line has; the rest is the line's own.
_COMMON = ("timestamp", "level", "message", "service", "functionName")

_encoder = msgspec.json.Encoder(enc_hook=str)


class Telemetry:
    """What the engine says about itself. `function_name` is empty outside Lambda."""

    def __init__(self, log_level: str, function_name: str = "") -> None:
        self._level = getLevelNamesMapping()[log_level]
        self._origin = {"service": SERVICE} | ({"functionName": function_name} if function_name else {})
        self._readable = sys.stdout.isatty()
        self._gathering = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._times_to_confirm: list[int] = []

    def accepted(self, order_id: UUID) -> None:
        """An order was stored."""
        self._count("accepted")
        self._log(DEBUG, "order accepted", orderId=order_id)

    def routed(self, order_id: UUID, decision: str) -> None:
        """A route was chosen."""
        self._log(DEBUG, "order routed", orderId=order_id, decision=decision)

    def moved(self, order_id: UUID, status: str, seq: int) -> None:
        """An order changed its status."""
        self._log(DEBUG, "order moved", orderId=order_id, status=status, seq=seq)

    def attempt_failed(self, order_id: UUID, attempt: int, reason: str) -> None:
        """An attempt ended without an execution, and another follows."""
        self._count("retried")
        self._log(WARNING, "attempt failed", orderId=order_id, attempt=attempt, reason=reason)

    def ended(
        self,
        order_id: UUID,
        status: str,
        *,
        attempts: int,
        venue: str | None,
        milliseconds: Mapping[str, int],
        reason: str | None,
    ) -> None:
        """An order is terminal; `milliseconds` is the time it spent in each status."""
        self._count(status)
        if status == "confirmed":
            self._time_to_confirm(sum(milliseconds.values()))
        known = {name: value for name, value in (("venue", venue), ("reason", reason)) if value is not None}
        self._log(
            INFO, "order ended", orderId=order_id, status=status, attempts=attempts, milliseconds=milliseconds, **known
        )

    def swept(self, due: int, parked: int, lagging: int) -> None:
        """A sweep sent messages for so many orders and sockets."""
        self._log(INFO if due or parked or lagging else DEBUG, "swept", due=due, parked=parked, lagging=lagging)

    def watched(self, fired: int) -> None:
        """A tick of the market watch sent so many orders to work."""
        self._log(INFO if fired else DEBUG, "watched", fired=fired)

    def rolled(self, done: str, partition: str) -> None:
        """A partition of the events was made or dropped."""
        self._log(INFO, "events rolled", done=done, partition=partition)

    def failure(self, what: str, error: object, **details: Any) -> None:
        """Something did not work; `what` says what the engine does about it."""
        self._log(WARNING, what, error=error, **details)

    def defect(self, what: str, error: BaseException, **details: Any) -> None:
        """Something happened that nobody expected."""
        self._log(ERROR, what, **details, exception="".join(traceback.format_exception(error)))

    def flush(self) -> None:
        """Write the metrics gathered since the last flush."""
        with self._gathering:
            self._write_metrics()

    def _count(self, name: str) -> None:
        with self._gathering:
            self._counts[name] += 1

    def _time_to_confirm(self, milliseconds: int) -> None:
        with self._gathering:
            self._times_to_confirm.append(milliseconds)
            if len(self._times_to_confirm) == MAX_VALUES:
                self._write_metrics()

    def _write_metrics(self) -> None:
        if not self._counts:
            return
        # One sum a count, but each time by itself: percentiles are made of them.
        metrics: dict[str, int | list[int]] = dict(self._counts)
        units = dict.fromkeys(metrics, "Count")
        if self._times_to_confirm:
            metrics["time_to_confirm"], units["time_to_confirm"] = self._times_to_confirm, "Milliseconds"
        directive = {
            "Namespace": SERVICE,
            "Dimensions": [["service"]],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
        }
        metadata = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
        _write(_json({"_aws": metadata, "service": SERVICE, **metrics}))
        self._counts, self._times_to_confirm = Counter(), []

    def _log(self, level: int, message: str, /, **details: object) -> None:
        if level < self._level:
            return
        common = {"timestamp": iso(datetime.now(UTC)), "level": getLevelName(level), "message": message}
        line = _json({**common, **self._origin, **details})
        _write(_for_people(line) if self._readable else line)


def _write(line: str) -> None:
    # One call, so that threads don't mix their lines; at once, since a container may be frozen or killed.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _json(fields: Mapping[str, object]) -> str:
    """The fields as JSON, and as text what has no JSON form: a line must not fail the order that it tells of."""
    try:
        return _encoder.encode(fields).decode()
    except Exception:  # noqa: BLE001 - a foreign object's own text can raise anything
        return _encoder.encode({name: _text(value) for name, value in fields.items()}).decode()


def _text(value: object) -> str:
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - the same
        text = object.__repr__(value)
    # A lone surrogate has no UTF-8 form.
    return text.encode(errors="backslashreplace").decode()


def _for_people(line: str) -> str:
    """Time, level and message, then the details as name=value."""
    log = msgspec.json.decode(line)
    details = (f"{name}={value}" for name, value in log.items() if name not in _COMMON)
    return " ".join((f"{log['timestamp']} {log['level']:7} {log['message']}", *details))

"""Log lines and metrics: JSON and EMF for machines, plain lines on a terminal."""

import sys
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit

SERVICE = "order-engine"
# What every line has; the rest is the line's own.
_COMMON = ("timestamp", "level", "message", "location", "service")


class TerminalFormatter(LambdaPowertoolsFormatter):
    """A log line for people."""

    def serialize(self, log: Mapping[str, Any]) -> str:
        """Time, level and message, then the details as name=value."""
        details = " ".join(f"{name}={value}" for name, value in log.items() if name not in _COMMON)
        return f"{log['timestamp']} {log['level']:7} {log['message']} {details}"


class Telemetry:
    """What the engine says about itself."""

    def __init__(self, log_level: str) -> None:
        self._metrics = Metrics(namespace=SERVICE, service=SERVICE)
        formatter = TerminalFormatter() if sys.stdout.isatty() else None
        self._log: Logger = Logger(service=SERVICE, level=log_level, logger_formatter=formatter, utc=True)

    def accepted(self, order_id: UUID) -> None:
        """An order was stored."""
        self._count("accepted")
        self._log.debug("order accepted", extra={"orderId": str(order_id)})

    def routed(self, order_id: UUID, decision: str) -> None:
        """A route was chosen."""
        self._log.info("order routed", extra={"orderId": str(order_id), "decision": decision})

    def moved(self, order_id: UUID, status: str, seq: int) -> None:
        """An order changed its status."""
        self._log.debug("order moved", extra={"orderId": str(order_id), "status": status, "seq": seq})

    def attempt_failed(self, order_id: UUID, attempt: int, reason: str) -> None:
        """An attempt ended without an execution, and another follows."""
        self._count("retried")
        self._log.warning("attempt failed", extra={"orderId": str(order_id), "attempt": attempt, "reason": reason})

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
            self._metrics.add_metric("time_to_confirm", MetricUnit.Milliseconds, sum(milliseconds.values()))
        details = {"status": status, "attempts": attempts, "venue": venue, "milliseconds": dict(milliseconds)}
        self._log.info("order ended", extra={"orderId": str(order_id), **details, "reason": reason})

    def swept(self, due: int, parked: int, lagging: int) -> None:
        """A sweep sent messages for so many orders and sockets."""
        say = self._log.info if due or parked or lagging else self._log.debug
        say("swept", extra={"due": due, "parked": parked, "lagging": lagging})

    def failure(self, what: str, error: object, **details: Any) -> None:
        """Something did not work; `what` says what the engine does about it."""
        self._log.warning(what, extra={"error": str(error), **details})

    def defect(self, what: str, error: BaseException, **details: Any) -> None:
        """Something happened that nobody expected."""
        self._log.error(what, exc_info=error, extra=details)

    def flush(self) -> None:
        """Write the metrics gathered since the last flush."""
        if self._metrics.metric_set:
            self._metrics.flush_metrics()

    def _count(self, name: str) -> None:
        self._metrics.add_metric(name, MetricUnit.Count, 1)

"""Queues: batches of messages to the engine, and which of them must come back."""

import asyncio
from typing import Any

from chalicelib.bootstrap import Engine, engine
from chalicelib.domain.errors import StatementRefused, Unavailable
from chalicelib.domain.message import parse_delivery
from chalicelib.execution.batch import SPARE_SECONDS, BatchWorker, Received


def orders(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A batch of order ids."""
    parts = engine()
    return _run(parts, parts.worker, event, context)


def dead_letters(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Order ids that ended among the dead letters."""
    parts = engine()
    return _run(parts, parts.dead_letter_worker, event, context)


def deliveries(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Sockets that may lack frames."""
    parts = engine()
    return _failures(parts.run(_deliver(parts, event, _seconds(context) - SPARE_SECONDS)))


def _run(parts: Engine, worker: BatchWorker, event: dict[str, Any], context: Any) -> dict[str, Any]:
    batch = [Received(record["messageId"], record["receiptHandle"], record["body"]) for record in event["Records"]]
    return _failures(parts.run(worker.run(batch, _seconds(context))))


def _seconds(context: Any) -> float:
    """What is left of an invocation."""
    return float(context.get_remaining_time_in_millis() / 1000)


async def _deliver(parts: Engine, event: dict[str, Any], seconds: float) -> list[str]:
    async def deliver(record: dict[str, Any]) -> str | None:
        connection_id = parse_delivery(record["body"])
        if connection_id is None:
            parts.telemetry.failure("message dropped", "not a delivery", body=record["body"][:100])
            return None
        try:
            await parts.sockets.delivered(connection_id, seconds)
        except (Unavailable, StatementRefused) as error:
            parts.telemetry.failure("delivery comes back", error, connectionId=connection_id)
            return str(record["messageId"])
        return None

    return [failed for failed in await asyncio.gather(*map(deliver, event["Records"])) if failed]


def _failures(message_ids: list[str]) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in message_ids]}

"""Sockets: what the gateway says of them, to the engine."""

from typing import Any

from chalicelib.bootstrap import Engine, engine
from chalicelib.domain.errors import Limited, StatementRefused, Unauthorized, Unavailable

OK = {"statusCode": 200}
UNAUTHORIZED = {"statusCode": 401}
LIMITED = {"statusCode": 429}
UNAVAILABLE = {"statusCode": 503}
# For a frame, of the ten that the function has: what a push leaves undone then has time to be handed to deliveries.
FRAME_SECONDS = 6.0


def handle(event: dict[str, Any]) -> dict[str, Any]:
    """One event of the WebSocket API. Its type decides, not its route: a client's frame may name any route."""
    parts = engine()
    return parts.run(_handle(parts, event))


async def _handle(parts: Engine, event: dict[str, Any]) -> dict[str, Any]:
    context = event["requestContext"]
    connection_id = context["connectionId"]
    try:
        match context["eventType"]:
            case "CONNECT":
                await _connect(parts, connection_id, event)
            case "DISCONNECT":
                await parts.sockets.disconnected(connection_id)
            case _:
                await parts.sockets.received(connection_id, event.get("body") or "", FRAME_SECONDS)
    except Unauthorized:
        return UNAUTHORIZED
    except Limited:
        return LIMITED
    except (Unavailable, StatementRefused) as error:
        parts.telemetry.failure("socket event not handled", error, connectionId=connection_id)
        return UNAVAILABLE
    return OK


async def _connect(parts: Engine, connection_id: str, event: dict[str, Any]) -> None:
    query = event.get("queryStringParameters") or {}
    # As the client spelt them.
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    await parts.sockets.connected(
        connection_id,
        query.get("orderId"),
        query.get("afterSeq"),
        authorization=headers.get("authorization"),
        ticket=query.get("ticket"),
    )

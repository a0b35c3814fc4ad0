"""An order's event: one line of its log, and the frame that clients receive."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One transition of an order. `seq` counts from 1 without gaps; `meta` is JSON text.

    One that was read may have a status of another release.
    """

    seq: int
    status: str
    meta: msgspec.Raw
    ts: datetime


class Frame(msgspec.Struct, frozen=True, rename="camel"):
    """An event as a client sees it on the socket."""

    order_id: UUID
    status: str
    meta: msgspec.Raw
    ts: str
    seq: int


class Publishing(Protocol):
    """Who brings events to the sockets that follow them."""

    def notify(self, order_ids: Collection[UUID]) -> None:
        """These orders have news."""
        ...

    async def drain(self, seconds: float) -> None:
        """Wait until all news is out, or left to later deliveries; at most about `seconds`."""
        ...


class ErrorFrame(msgspec.Struct, frozen=True):
    """What a client sees instead when a frame of its own could not be served; also the body of a refused request."""

    error: str
    code: str


_encoder = msgspec.json.Encoder()


def raw(meta: dict[str, Any]) -> msgspec.Raw:
    """An event's meta as JSON text."""
    return msgspec.Raw(_encoder.encode(meta))


def iso(moment: datetime) -> str:
    """ISO-8601 UTC with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def frame_bytes(order_id: UUID, event: Event) -> bytes:
    """The event as the bytes of one frame."""
    return _encoder.encode(
        Frame(order_id=order_id, status=event.status, meta=event.meta, ts=iso(event.ts), seq=event.seq)
    )


def error_bytes(error: str, code: str) -> bytes:
    """An error as the bytes of one frame or response body."""
    return _encoder.encode(ErrorFrame(error=error, code=code))

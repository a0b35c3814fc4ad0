"""What travels on the queues: an order's id and nothing else, or a socket that may lack frames."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Message(msgspec.Struct, frozen=True):
    """What to send, and after how many whole seconds it may be seen."""

    body: str
    delay: int = 0


class MessageQueue(Protocol):
    """A queue as the engine uses it."""

    async def send(self, messages: Sequence[Message]) -> list[Message]:
        """Send messages; returns those that were not taken."""
        ...

    async def hand_back(self, receipts: Sequence[tuple[str, int]]) -> None:
        """Let received messages (receipt handle, whole seconds) be seen again after a time of their own."""
        ...

    async def backlog(self) -> int:
        """About how many messages wait. Raises QueueError."""
        ...


class Delivery(msgspec.Struct, frozen=True, rename="camel"):
    """A message of the deliveries queue."""

    connection_id: str


def delivery_body(connection_id: str) -> str:
    """The message that has a socket served."""
    return msgspec.json.encode(Delivery(connection_id)).decode()


def parse_delivery(body: str) -> str | None:
    """The socket that a message names; None where it is no such message."""
    try:
        return msgspec.json.decode(body, type=Delivery).connection_id
    except msgspec.DecodeError:
        return None

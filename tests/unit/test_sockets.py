"""What a socket's events leave of the time that their function has."""

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

import pytest

from chalicelib.domain.account import Caller
from chalicelib.domain.clock import SystemClock
from chalicelib.domain.errors import Unauthorized, Unavailable
from chalicelib.domain.message import Message
from chalicelib.domain.subscription import Opened
from chalicelib.streaming.sockets import Sockets, SocketStore
from chalicelib.telemetry import Telemetry
from tests.hostile import ORDER_ID

STATEMENT_SECONDS = 1.5


class Stage(SystemClock):
    """A clock, a database of which each statement takes its time, and whatever else a socket meets."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.drained: list[float] = []
        self.error: Exception | None = None

    def monotonic(self) -> float:
        return self.passed

    required = False

    async def caller(self, authorization: str | None) -> Caller:
        return Caller()

    def refused(self, reason: str, **details: object) -> Unauthorized:
        return Unauthorized()

    async def open(self, connection_id: str) -> Opened:
        self.passed += STATEMENT_SECONDS
        if self.error is not None:
            raise self.error
        return Opened(None, 60.0, "default")

    async def log_length(self, order_id: UUID, account: str) -> int:
        self.passed += STATEMENT_SECONDS
        return 1

    async def bind(self, connection_id: str, order_id: UUID, after_seq: int, *, first: bool) -> bool:
        self.passed += STATEMENT_SECONDS
        return True

    async def followed(self, connection_id: str) -> tuple[list[UUID], int]:
        self.passed += STATEMENT_SECONDS
        return [], 0

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        """Taken."""

    async def send(self, messages: Sequence[Message]) -> list[Message]:
        return []

    def notify(self, order_ids: Collection[UUID]) -> None:
        """Of no interest."""

    async def drain(self, seconds: float) -> None:
        self.drained.append(seconds)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def sockets(stage: Stage) -> Sockets:
    return Sockets(
        store=cast("SocketStore", stage),
        authentication=stage,
        most_sockets=1,
        pusher=stage,
        publisher=stage,
        deliveries=cast("Any", stage),
        clock=stage,
        telemetry=Telemetry("CRITICAL"),
    )


async def test_what_binding_took_is_not_left_for_pushing(stage: Stage, sockets: Sockets) -> None:
    await sockets.received("socket", f'{{"orderId": "{ORDER_ID}"}}', 6.0)
    assert stage.drained == [6.0 - 3 * STATEMENT_SECONDS]


async def test_what_a_delivery_took_is_not_left_for_pushing(stage: Stage, sockets: Sockets) -> None:
    await sockets.delivered("socket", 9.0)
    stage.error = Unavailable("no database")
    with pytest.raises(Unavailable):
        await sockets.delivered("socket", 9.0)
    assert stage.drained == [9.0 - 2 * STATEMENT_SECONDS, 9.0 - STATEMENT_SECONDS]

"""The publisher against subscriptions in memory and sockets that fail in every way that one can."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from chalicelib.domain.clock import SystemClock, SystemEntropy
from chalicelib.domain.errors import ConnectionGone, PushError, Unavailable
from chalicelib.domain.event import Event, raw
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.message import Message, delivery_body
from chalicelib.domain.subscription import Lease, Release
from chalicelib.streaming import publisher as module
from chalicelib.streaming.publisher import Publisher
from chalicelib.telemetry import Telemetry

A, B = UUID(int=1), UUID(int=2)

# Longer than any test takes.
PATIENCE = 60.0


class Subscriptions:
    """Subscriptions as the store keeps them: leased once at a time, and not while their socket is held back."""

    def __init__(self) -> None:
        self.length: dict[UUID, int] = {A: 0, B: 0}
        self.cursors: dict[tuple[str, UUID], int] = {}
        self.leased: dict[tuple[str, UUID], UUID] = {}
        self.held_back: dict[str, float] = {}
        self.ages: dict[str, float] = {}
        self.failures: dict[str, int] = {}
        self.recovered: list[str] = []
        self.forgotten: list[str] = []
        self.most = 100
        self.errors: list[Exception] = []
        self.recovering: Exception | None = None

    async def lease(self, order_ids: Collection[UUID], holder: UUID, passed_over: Collection[str]) -> list[Lease]:
        if self.errors:
            raise self.errors.pop(0)
        free = [
            key
            for key, cursor in sorted(self.cursors.items())
            if key[1] in order_ids
            and cursor < self.length[key[1]]
            and key not in self.leased
            and key[0] not in self.held_back
            and key[0] not in passed_over
        ][: self.most]
        self.leased |= dict.fromkeys(free, holder)
        return [
            Lease(
                socket,
                order_id,
                self.cursors[socket, order_id],
                1,
                self.failures.get(socket, 0),
                self.ages.get(socket, 100.0),
                self.length[order_id],
                tuple(
                    Event(seq, Status.PENDING, raw({}), datetime.now(UTC))
                    for seq in range(self.cursors[socket, order_id] + 1, self.length[order_id] + 1)
                ),
            )
            for socket, order_id in free
        ]

    async def release(self, releases: Sequence[Release], holder: UUID) -> None:
        for found in releases:
            key = found.connection_id, found.order_id
            if self.leased.get(key) == holder:
                del self.leased[key]
                if key in self.cursors:
                    self.cursors[key] = found.last_seq

    async def hold_back(self, connection_id: str, delay: float) -> bool:
        fresh = connection_id not in self.held_back
        self.held_back[connection_id] = delay
        return fresh

    async def lacking(self, order_ids: Collection[UUID]) -> list[str]:
        return sorted(
            {
                key[0]
                for key, cursor in self.cursors.items()
                if key[1] in order_ids and cursor < self.length[key[1]] and key not in self.leased
            }
        )

    async def recover(self, connection_ids: Collection[str]) -> None:
        if self.recovering is not None:
            raise self.recovering
        self.recovered.extend(connection_ids)

    async def forget(self, connection_id: str) -> None:
        self.forgotten.append(connection_id)
        self.cursors = {key: cursor for key, cursor in self.cursors.items() if key[0] != connection_id}


class Pusher:
    """Sockets: what they took, and what is wrong with them."""

    def __init__(self) -> None:
        self.taken: dict[str, list[int]] = {}
        self.faults: dict[str, list[Exception | None]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        # These take all the time that a push has.
        self.stalled: set[str] = set()
        self.news = asyncio.Event()

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        if connection_id in self.stalled:
            await asyncio.sleep(seconds)
            raise PushError("out of time")
        if gate := self.gates.get(connection_id):
            await gate.wait()
        fault = self.faults[connection_id].pop(0) if self.faults.get(connection_id) else None
        if fault is not None:
            raise fault
        self.taken.setdefault(connection_id, []).append(msgspec.json.decode(data)["seq"])
        self.news.set()

    async def until(self, connection_id: str, seqs: list[int]) -> None:
        """Wait until a socket has taken just these frames."""
        async with asyncio.timeout(5):
            while self.taken.get(connection_id) != seqs:
                self.news.clear()
                await self.news.wait()


class Deliveries(list[Message]):
    async def send(self, messages: Sequence[Message]) -> list[Message]:
        self.extend(messages)
        return []


class Stage:
    """A publisher and all around it."""

    def __init__(self) -> None:
        self.subscriptions = Subscriptions()
        self.pusher = Pusher()
        self.deliveries = Deliveries()
        self.publisher = Publisher(
            subscriptions=self.subscriptions,
            pusher=self.pusher,
            deliveries=self.deliveries,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            telemetry=Telemetry("CRITICAL"),
        )

    def follow(self, socket: str, *order_ids: UUID) -> None:
        self.subscriptions.cursors |= dict.fromkeys(itertools.product([socket], order_ids), 0)

    def log(self, order_id: UUID, events: int) -> None:
        self.subscriptions.length[order_id] += events
        self.publisher.notify([order_id])


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(module, "PROMPT_SECONDS", 0.02)
    stage = Stage()
    yield stage
    for gate in stage.pusher.gates.values():
        gate.set()
    await stage.publisher.drain(PATIENCE)
    assert stage.subscriptions.leased == {}


async def test_each_event_reaches_each_socket_once_and_in_order(stage: Stage) -> None:
    stage.follow("one", A, B)
    stage.follow("two", A)
    stage.log(A, 2)
    stage.log(B, 1)
    await asyncio.sleep(0)
    stage.log(A, 3)
    await stage.publisher.drain(PATIENCE)
    assert stage.pusher.taken["two"] == [1, 2, 3, 4, 5]
    assert sorted(stage.pusher.taken["one"]) == [1, 1, 2, 3, 4, 5]


async def test_a_blocked_socket_holds_up_no_other_socket_and_no_other_order(stage: Stage) -> None:
    stage.follow("blocked", A)
    stage.follow("healthy", A)
    stage.follow("beside", B)
    stage.pusher.gates["blocked"] = asyncio.Event()
    stage.log(A, 2)
    await stage.pusher.until("healthy", [1, 2])
    stage.log(A, 3)
    stage.log(B, 1)
    await stage.pusher.until("healthy", [1, 2, 3, 4, 5])
    await stage.pusher.until("beside", [1])
    stage.pusher.gates["blocked"].set()
    await stage.publisher.drain(PATIENCE)
    assert stage.pusher.taken["blocked"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("age", "error", "again"),
    [
        (100.0, PushError("status 429"), True),
        (100.0, ConnectionGone("gone"), False),
        (10.0, ConnectionGone("gone"), True),
    ],
    ids=["throttled", "gone", "gone while opening"],
)
async def test_a_failed_socket_is_held_back_with_one_delivery_or_forgotten(
    stage: Stage, age: float, error: Exception, *, again: bool
) -> None:
    stage.follow("failing", A, B)
    stage.subscriptions.ages["failing"] = age
    stage.pusher.faults["failing"] = [None, error]
    stage.log(A, 3)
    stage.log(B, 3)
    await stage.publisher.drain(PATIENCE)
    assert stage.pusher.taken["failing"] == [1]
    assert stage.subscriptions.forgotten == ([] if again else ["failing"])
    assert len(stage.deliveries) == again
    if again:
        assert stage.subscriptions.cursors == {("failing", A): 1, ("failing", B): 0}
        assert stage.deliveries[0].delay >= stage.subscriptions.held_back["failing"]


async def test_the_pause_grows_with_each_failure_and_ends_with_the_first_success(stage: Stage) -> None:
    stage.follow("failing", A)
    pauses = []
    stage.log(A, 1)
    for failures in range(9):
        stage.subscriptions.failures["failing"] = failures
        stage.subscriptions.held_back.clear()
        stage.pusher.faults["failing"] = [PushError("status 500")]
        stage.publisher.notify([A])
        await stage.publisher.drain(PATIENCE)
        pauses.append(stage.subscriptions.held_back["failing"])
    assert all(2**at / 2 <= pause <= min(2**at, 60) or at > 5 for at, pause in enumerate(pauses))
    assert max(pauses) <= module.MOST_BACKOFF_SECONDS
    stage.subscriptions.held_back.clear()
    stage.publisher.notify([A])
    await stage.publisher.drain(PATIENCE)
    assert stage.subscriptions.recovered == ["failing"]
    assert stage.pusher.taken["failing"] == [1]


@pytest.mark.parametrize("error", [Unavailable("no database"), RuntimeError("a defect")], ids=["outage", "defect"])
async def test_news_after_a_failure_are_published_all_the_same(stage: Stage, error: Exception) -> None:
    stage.follow("one", A, B)
    stage.subscriptions.errors = [error]
    stage.log(A, 1)
    await stage.publisher.drain(PATIENCE)
    stage.log(B, 1)
    await stage.publisher.drain(PATIENCE)
    assert stage.pusher.taken["one"] == [1]


async def test_a_failure_to_recover_keeps_no_lease_and_no_frame(stage: Stage) -> None:
    stage.follow("one", A)
    stage.subscriptions.failures["one"] = 1
    stage.subscriptions.recovering = Unavailable("no database")
    stage.pusher.gates["one"] = asyncio.Event()
    stage.log(A, 1)
    await asyncio.sleep(0)
    # It comes while the socket is leased, and is left to whoever looks again after releasing.
    stage.subscriptions.length[A] += 1
    stage.pusher.gates["one"].set()
    await stage.publisher.drain(PATIENCE)
    assert stage.subscriptions.leased == {}
    assert stage.pusher.taken["one"] == [1, 2]


async def test_more_subscriptions_than_are_leased_at_once_are_all_served(stage: Stage) -> None:
    stage.subscriptions.most = 3
    sockets = [f"socket {number}" for number in range(10)]
    for socket in sockets:
        stage.follow(socket, A)
    stage.log(A, 2)
    await stage.publisher.drain(PATIENCE)
    assert stage.pusher.taken == {socket: [1, 2] for socket in sockets}


async def test_draining_waits_for_blocked_sockets_too(stage: Stage) -> None:
    stage.follow("blocked", A)
    stage.pusher.gates["blocked"] = asyncio.Event()
    stage.log(A, 1)
    drained: asyncio.Task[Any] = asyncio.create_task(stage.publisher.drain(PATIENCE))
    await asyncio.wait({drained}, timeout=0.1)
    assert not drained.done()
    stage.pusher.gates["blocked"].set()
    await drained
    assert stage.pusher.taken["blocked"] == [1]


async def test_sockets_that_had_no_turn_are_served_after_those_that_stall_and_are_not_held_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PASS_SECONDS", 0.05)
    stalled = [f"a{number}" for number in range(module.SIDE_BY_SIDE)]
    healthy = [f"b{number}" for number in range(100)]
    stage.subscriptions.most = 1000
    for socket in [*stalled, *healthy]:
        stage.follow(socket, A)
    stage.pusher.stalled |= set(stalled)
    stage.log(A, 1)
    await stage.publisher.drain(PATIENCE)
    assert {socket: stage.pusher.taken.get(socket) for socket in healthy} == {socket: [1] for socket in healthy}
    assert set(stage.subscriptions.held_back) == set(stalled)


async def test_what_comes_when_there_is_no_time_left_becomes_a_delivery_and_the_next_invocation_publishes(
    stage: Stage,
) -> None:
    stage.follow("one", A)
    stage.follow("two", A)
    gate = stage.pusher.gates["one"] = asyncio.Event()
    stage.log(A, 1)
    await stage.pusher.until("two", [1])
    drained = asyncio.create_task(stage.publisher.drain(0))
    await asyncio.sleep(0)
    stage.log(A, 1)
    gate.set()
    await drained
    assert stage.pusher.taken == {"one": [1], "two": [1]}
    assert [message.body for message in stage.deliveries] == [delivery_body("one"), delivery_body("two")]
    stage.publisher.notify([A])
    await stage.pusher.until("one", [1, 2])
    await stage.pusher.until("two", [1, 2])


async def test_what_the_last_pass_did_not_look_at_again_becomes_a_delivery(stage: Stage) -> None:
    stage.follow("one", A)
    gate = stage.pusher.gates["one"] = asyncio.Event()
    stage.log(A, 1)
    await asyncio.sleep(0)
    drained = asyncio.create_task(stage.publisher.drain(0))
    await asyncio.sleep(0)
    # Told to nobody: whoever committed it found the socket leased, and relies on the holder's last look.
    stage.subscriptions.length[A] += 1
    gate.set()
    await drained
    assert stage.pusher.taken == {"one": [1]}
    assert [message.body for message in stage.deliveries] == [delivery_body("one")]

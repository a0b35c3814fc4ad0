"""The journal against a database that fails in every way that one can."""

import asyncio
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from chalicelib.domain.errors import Contended, OutcomeUnknown, StatementRefused, Unavailable
from chalicelib.domain.event import Event, raw
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.transition import Transition
from chalicelib.store.database import Database
from chalicelib.store.journal import Journal, Written

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = (UUID(int=number) for number in (1, 2, 3))


class FakeDatabase:
    """Holds (claim token, last seq) of each order; `faults` has what goes wrong with the statements to come."""

    def __init__(self, *faults: str) -> None:
        self.orders: dict[UUID, tuple[int, int]] = {A: (1, 1), B: (1, 1), C: (1, 1)}
        self.faults = list(faults)
        self.writes: list[list[UUID]] = []
        self.asked = 0
        self.poison: set[UUID] = set()
        self.late: list[Mapping[str, Any]] = []
        self.gate: asyncio.Event | None = None

    async def fetch(self, statement: str, params: Mapping[str, Any]) -> list[Any]:
        if self.gate is not None:
            await self.gate.wait()
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "unreachable":
            raise Unavailable("no connection")
        if fault == "blocked":
            self._arrive()
            raise Contended("55P03", "lock timeout")
        rows: list[Any] = []
        if fault.startswith("lost, late"):
            # Still under way on the old connection; takes effect when a later statement has run into it.
            self.late.append(params)
        elif not fault.startswith("lost before"):
            rows = self._ask(params) if "ids" in params else self._write(params)
        if fault.endswith("claimed anew"):
            self.orders = {order_id: (token + 1, seq) for order_id, (token, seq) in self.orders.items()}
        if fault.startswith("lost"):
            raise OutcomeUnknown("the reply was lost")
        if fault == "overtaken":
            self._arrive()
        return rows

    def _arrive(self) -> None:
        while self.late:
            self._write(self.late.pop())

    def _write(self, params: Mapping[str, Any]) -> list[Any]:
        entries = json.loads(params["entries"])
        ids = [UUID(entry["order_id"]) for entry in entries]
        self.writes.append(ids)
        if self.poison & set(ids):
            raise StatementRefused("22003: out of range")
        moved = []
        for order_id, entry in zip(ids, entries, strict=True):
            if self.orders[order_id] == (entry["claim_token"], entry["base_seq"]):
                self.orders[order_id] = (entry["claim_token"], entry["last_seq"])
                moved.append((order_id, None))
        return moved

    def _ask(self, params: Mapping[str, Any]) -> list[Any]:
        self.asked += 1
        return [(order_id, *self.orders[order_id], None) for order_id in params["ids"]]


def move(order_id: UUID, base_seq: int = 1, *, token: int = 1, events: int = 1) -> Transition:
    last_seq = base_seq + events
    return Transition(
        order_id=order_id,
        claim_token=token,
        base_seq=base_seq,
        last_seq=last_seq,
        status=Status.ROUTING,
        last_update=NOW,
        attempts=1,
        failure_reason=None,
        tx_hash=None,
        open_tx=None,
        outcome=None,
        events=tuple(Event(seq, Status.ROUTING, raw({}), NOW) for seq in range(base_seq + 1, last_seq + 1)),
    )


class Notes(list[UUID]):
    """The orders that the journal named as having news."""

    def __call__(self, order_ids: Collection[UUID]) -> None:
        self.extend(order_ids)


def journal_on(database: FakeDatabase) -> tuple[Journal, Notes]:
    notes = Notes()
    return Journal(cast(Database, database), notes), notes


async def outcome(written: Written) -> str:
    try:
        await asyncio.wait_for(written, 5)
    except Exception as error:  # noqa: BLE001 - its kind is what the tests are about
        return type(error).__name__
    return "written"


async def test_what_gathers_while_a_flush_is_on_its_way_goes_down_as_one_statement() -> None:
    database = FakeDatabase()
    database.gate = asyncio.Event()
    journal, notes = journal_on(database)
    first = journal.put(move(A))
    await asyncio.sleep(0)
    others = [journal.put(move(B)), journal.put(move(C)), journal.put(move(B, 2))]
    database.gate.set()
    assert [await outcome(written) for written in (first, *others)] == ["written"] * 4
    assert database.writes == [[A], [B, C]]
    assert database.orders[B] == (1, 3)
    assert notes == [A, B, C]


@pytest.mark.parametrize(
    "faults",
    [
        ["lost before"],
        ["lost after"],
        ["unreachable"],
        ["lost before", "unreachable"],
        ["lost after", "unreachable"],
        ["lost after", "lost before"],
        ["unreachable", "unreachable"],
        ["lost, late", "overtaken"],
        ["lost, late", "", "blocked"],
        ["lost, late", "", "overtaken"],
    ],
    ids=", then ".join,
)
@pytest.mark.parametrize("orders", [(A,), (A, B)], ids=["one order", "two orders"])
async def test_a_lost_reply_is_recognised_and_nothing_is_written_twice(
    faults: list[str], orders: tuple[UUID, ...]
) -> None:
    database = FakeDatabase(*faults)
    journal, notes = journal_on(database)
    futures = [journal.put(move(order_id)) for order_id in orders]
    assert [await outcome(written) for written in futures] == ["written"] * len(orders)
    assert all(database.orders[order_id] == (1, 2) for order_id in orders)
    assert notes == list(orders)


async def test_a_database_that_stays_away_is_told_to_the_holders() -> None:
    database = FakeDatabase(*["unreachable"] * 3)
    journal, notes = journal_on(database)
    assert await outcome(journal.put(move(A))) == "Unavailable"
    assert await outcome(journal.put(move(A))) == "written"
    assert notes == [A]


async def test_a_doubt_that_cannot_be_asked_stays_one() -> None:
    database = FakeDatabase("lost after", "unreachable", "unreachable")
    journal, notes = journal_on(database)
    assert await outcome(journal.put(move(A))) in ("OutcomeUnknown", "Unavailable")
    assert database.orders[A] == (1, 2)
    assert notes == []


async def test_one_bad_row_fails_one_order() -> None:
    database = FakeDatabase()
    database.poison = {B}
    journal, notes = journal_on(database)
    futures = [journal.put(move(order_id)) for order_id in (A, B, C)]
    assert [await outcome(written) for written in futures] == ["written", "StatementRefused", "written"]
    assert notes == [A, C]


async def test_a_lost_claim_is_told_to_its_holder_alone() -> None:
    database = FakeDatabase()
    database.orders[B] = (2, 1)
    journal, notes = journal_on(database)
    futures = [journal.put(move(order_id)) for order_id in (A, B, C)]
    assert [await outcome(written) for written in futures] == ["written", "ClaimLost", "written"]
    assert notes == [A, C]


@pytest.mark.parametrize("fault", ["lost before, claimed anew", "lost after, claimed anew"])
async def test_a_claim_lost_with_the_reply_is_told(fault: str) -> None:
    journal, _ = journal_on(FakeDatabase(fault))
    assert await outcome(journal.put(move(A))) == "ClaimLost"


async def test_a_release_whose_reply_was_lost_is_written_again() -> None:
    database = FakeDatabase("lost after")
    journal, notes = journal_on(database)
    assert await outcome(journal.put(move(A, events=0))) == "written"
    assert len(database.writes) == 2
    assert notes == []


async def test_the_next_claim_of_an_order_does_not_inherit_what_the_last_one_left_unwritten() -> None:
    database = FakeDatabase()
    database.gate = asyncio.Event()
    journal, _ = journal_on(database)
    first = journal.put(move(B))
    await asyncio.sleep(0)
    abandoned = journal.put(move(A))
    database.orders[A] = (2, 1)
    later = journal.put(move(A, token=2))
    database.gate.set()
    assert await outcome(first) == "written"
    assert await outcome(abandoned) == "ClaimLost"
    assert await outcome(later) == "written"
    assert database.orders[A] == (2, 2)


async def test_a_holder_that_gave_up_waiting_does_not_hold_up_the_others() -> None:
    database = FakeDatabase()
    database.gate = asyncio.Event()
    journal, _ = journal_on(database)
    given_up, waited_for = journal.put(move(A)), journal.put(move(B))
    given_up.cancel()
    database.gate.set()
    assert await outcome(waited_for) == "written"

"""Group commit of transitions: one statement for whatever gathered while the last one was on its way."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from chalicelib.domain.errors import ClaimLost, Contended, EngineError, OutcomeUnknown, StatementRefused, Unavailable
from chalicelib.domain.transition import Transition, Written
from chalicelib.store.database import Database
from chalicelib.store.statements import load

_SQL = load("orders")
_encoder = msgspec.json.Encoder()
# How often one flush is sent before its holders are told that the database cannot be reached.
TRIES = 3
# A statement carries at most this many orders.
MOST = 200


class _Entry:
    """A transition on its way, and whom to tell."""

    def __init__(self, transition: Transition) -> None:
        self.transition = transition
        self.written: Written = asyncio.get_running_loop().create_future()

    def settle(self, valid_until: datetime | None) -> None:
        if not self.written.done():
            self.written.set_result(valid_until)

    def fail(self, error: Exception) -> None:
        if not self.written.done():
            self.written.set_exception(error)
            # A holder may have given up waiting; a failure that nobody fetches is not news.
            self.written.exception()


class Journal:
    """Writes transitions of all orders of a container through one connection."""

    def __init__(self, database: Database, on_commit: Callable[[Collection[UUID]], None]) -> None:
        self._database = database
        self._on_commit = on_commit
        self._waiting: dict[UUID, _Entry] = {}
        self._flusher: asyncio.Task[None] | None = None

    def put(self, transition: Transition) -> Written:
        """Write a transition as soon as the connection is free.

        The future ends when it is durable, with the validity of the submission in it, if any. Its errors: ClaimLost
        if the order is held by another now, Unavailable if the database cannot be reached, StatementRefused.
        """
        waiting = self._waiting.get(transition.order_id)
        if waiting is not None and waiting.transition.claim_token != transition.claim_token:
            # Left by a claim that ended before the database could be reached.
            waiting.fail(ClaimLost(f"order {transition.order_id} was claimed anew"))
            waiting = None
        if waiting is None:
            waiting = self._waiting[transition.order_id] = _Entry(transition)
        else:
            waiting.transition = waiting.transition.followed_by(transition)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_all())
        return waiting.written

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        while self._flusher is not None and not self._flusher.done():
            await asyncio.wait({self._flusher})

    async def _flush_all(self) -> None:
        while self._waiting:
            taken = [self._waiting.pop(order_id) for order_id in sorted(self._waiting)[:MOST]]
            try:
                await self._flush(taken)
            except Exception as error:  # noqa: BLE001 - whatever it is, the holders are told and the next flush is not lost
                for entry in taken:
                    entry.fail(error)

    async def _flush(self, entries: list[_Entry]) -> None:
        """Write some entries, or tell their holders why not."""
        in_doubt = False
        failure: EngineError = Unavailable("the journal gave up")
        for _ in range(TRIES):
            try:
                entries = await self._write(await self._ask(entries) if in_doubt else entries)
            except StatementRefused as error:
                if in_doubt and isinstance(error, Contended):
                    # Perhaps with the very statement whose reply was lost: ask once more.
                    failure = error
                    continue
                await self._isolate(entries, error)
                return
            except Unavailable as error:
                in_doubt = in_doubt or isinstance(error, OutcomeUnknown)
                failure = error
                continue
            if entries and not in_doubt:
                failure = ClaimLost("another claim has the order")
            if not in_doubt or not entries:
                break
        for entry in entries:
            entry.fail(failure)

    async def _write(self, entries: list[_Entry]) -> list[_Entry]:
        """Run the statement; returns the entries that it did not touch."""
        if not entries:
            return []
        payload = _encoder.encode([entry.transition for entry in entries]).decode()
        rows = await self._database.fetch(_SQL["write_transitions"], {"entries": payload})
        return self._settle(entries, dict(rows))

    async def _ask(self, entries: list[_Entry]) -> list[_Entry]:
        """After a lost reply: settles the entries that were written, returns those that were not."""
        ids = [entry.transition.order_id for entry in entries]
        rows = await self._database.fetch(_SQL["ask_transitions"], {"ids": ids})
        found = {order_id: (token, seq, valid_until) for order_id, token, seq, valid_until in rows}
        written: dict[UUID, datetime | None] = {}
        for entry in entries:
            wanted = entry.transition
            token, seq, valid_until = found[wanted.order_id]
            # A release has no event to be recognised by; writing it again is harmless.
            if token == wanted.claim_token and seq == wanted.last_seq > wanted.base_seq:
                written[wanted.order_id] = valid_until
            elif token != wanted.claim_token or seq != wanted.base_seq:
                entry.fail(ClaimLost(f"order {wanted.order_id} is held by another claim"))
        return [entry for entry in self._settle(entries, written) if not entry.written.done()]

    def _settle(self, entries: Sequence[_Entry], written: dict[UUID, datetime | None]) -> list[_Entry]:
        committed = [entry for entry in entries if entry.transition.order_id in written]
        # Before the holders go on, so that whoever waits for the publisher finds it at work.
        if news := [entry.transition.order_id for entry in committed if entry.transition.events]:
            self._on_commit(news)
        for entry in committed:
            entry.settle(written[entry.transition.order_id])
        return [entry for entry in entries if entry.transition.order_id not in written]

    async def _isolate(self, entries: list[_Entry], error: StatementRefused) -> None:
        """One bad row fails one order: write the others one by one."""
        if len(entries) == 1:
            entries[0].fail(error)
            return
        for entry in entries:
            await self._flush([entry])

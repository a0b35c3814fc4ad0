"""Orders: accepting, once for a key; showing, listing, claiming, and finding those whose message was lost."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from chalicelib.domain.account import Limits
from chalicelib.domain.claim import LEASE_SECONDS, Claim, ClaimResult, OpenSubmission, Verdict
from chalicelib.domain.clock import Clock, Entropy, uuid7
from chalicelib.domain.errors import Duplicate, Fault, OutcomeUnknown, StatementRefused, Unavailable
from chalicelib.domain.lifecycle import TERMINAL, Status
from chalicelib.domain.order import Accepted, Post, Terms
from chalicelib.domain.order_types import TYPES
from chalicelib.domain.retry import MAX_CRASHES, MAX_LAST_RESORTS
from chalicelib.store.database import Database
from chalicelib.store.statements import load

_SQL = load("orders")
FIRST_META = '{"bound":true}'
# A living order is sent again if nothing was heard of it for this long; the queue's visibility timeout.
RESEND_SECONDS = 60
# The client still waits when a lost reply is asked about.
ASK_SECONDS = 1.0
KEY_SECONDS = 24 * 60 * 60
_NEWEST = UUID(int=2**128 - 1)


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An order as stored. `events` is (seq, status, meta, ts) of each that is kept, only where one order was asked for.

    Another release may have stored terms that this one cannot read, and statuses that it does not know.
    """

    order_id: UUID
    terms: Terms | None
    status: str
    created_at: datetime
    last_update: datetime
    attempts: int
    failure_reason: str | None
    tx_hash: str | None
    # The failed order that this one was placed anew for.
    repeat_of: UUID | None
    # Of its last event.
    seq: int
    client_order_id: str | None
    events: tuple[tuple[int, str, msgspec.Raw, str], ...] | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which orders a list shows: those older than `before`, of a status, of a name; all where it says nothing."""

    status: Status | None = None
    before: UUID | None = None
    client_order_id: str | None = None


class Living(msgspec.Struct, frozen=True, kw_only=True):
    """Which orders that have not ended: those older than `before`, and what else they must be, where it says so."""

    before: UUID | None = None
    status: Status | None = None
    order_type: str | None = None
    client_order_id: str | None = None
    # A mint, or a symbol in capitals.
    token_in: str | None = None
    token_out: str | None = None


class Orders:
    """The orders table, through one connection."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy, limits: Limits | None = None) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        # What each account is held to; None for none.
        self._limits = limits

    async def accept(self, order_id: UUID, post: Post, ts: datetime) -> Accepted:
        """Store an order and its first event, unless the key is held by an earlier one, or a limit is reached.

        A lost reply is made up for, or reported as OutcomeUnknown.
        """
        key, name = post.idempotency_key, post.client_order_id
        params = {
            "id": order_id,
            "payload": msgspec.json.encode(post.terms).decode(),
            "meta": FIRST_META,
            "ts": ts,
            "account": post.account,
            "client_order_id": name,
            "type": post.terms.order_type,
            "expires_at": post.terms.expires_at,
        }
        statement = "accept"
        if key is not None:
            statement = "accept_keyed"
            params |= {"key": key, "digest": post.terms.digest(name), "lifetime": KEY_SECONDS}
        if self._limits is not None:
            statement += "_limited"
            params |= {"gap": self._limits.gap, "slack": self._limits.slack, "most_open": self._limits.most_open}
        try:
            return await self._store(statement, params)
        except Duplicate:
            named = await self._database.insist(_SQL["named"], {"account": post.account, "client_order_id": name})
            if not named:
                raise
            # Its own, where a first run of the statement ended beside the second.
            return Accepted(order_id=named[0][0], same_name=named[0][0] != order_id)

    async def kept(self, post: Post) -> Accepted | None:
        """What the post's key stands for already; None where it stands for nothing, or there is none."""
        if post.idempotency_key is None:
            return None
        params = {
            "account": post.account,
            "key": post.idempotency_key,
            "digest": post.terms.digest(post.client_order_id),
        }
        rows = await self._database.insist(_SQL["kept"], params)
        return _holder(rows[0]) if rows else None

    async def _store(self, statement: str, params: Mapping[str, Any]) -> Accepted:
        try:
            return _accepted(statement, params, await self._database.fetch(_SQL[statement], params))
        except OutcomeUnknown as lost:
            try:
                # Where the first statement took effect, or still does, this one waits for it and changes nothing.
                rows = await self._database.fetch(_SQL[statement], params, seconds=ASK_SECONDS)
            except Duplicate:
                raise
            except (Unavailable, StatementRefused):
                raise lost from None
            accepted = _accepted(statement, params, rows)
            if accepted.limit:
                # The first may have had the last token, or get one yet.
                raise
            return accepted

    async def show(self, order_id: UUID, account: str) -> OrderRecord | None:
        """One order of an account, with its events."""
        rows = await self._database.insist(_SQL["show"], {"id": order_id, "account": account})
        return _record(rows[0]) if rows else None

    async def find(self, order_id: UUID, account: str) -> OrderRecord | None:
        """One order of an account, without its events."""
        rows = await self._database.insist(_SQL["find"], {"id": order_id, "account": account})
        return _record(rows[0]) if rows else None

    async def newest(self, account: str, wanted: Wanted, limit: int) -> list[OrderRecord]:
        """A page of an account's orders, newest first."""
        status, name = wanted.status, wanted.client_order_id
        statement = "newest" if status is None else "newest_ended" if status in TERMINAL else "newest_living"
        params = {"account": account, "status": status, "before": wanted.before or _NEWEST, "limit": limit}
        if name is not None:
            statement, params = "newest_named", params | {"client_order_id": name}
        return [_record(row) for row in await self._database.insist(_SQL[statement], params)]

    async def living(self, account: str, wanted: Living, limit: int) -> list[OrderRecord]:
        """A page of an account's orders that have not ended, newest first."""
        params = {
            "account": account,
            "before": wanted.before or _NEWEST,
            "status": wanted.status,
            "type": wanted.order_type,
            "client_order_id": wanted.client_order_id,
            "token_in": wanted.token_in,
            "token_out": wanted.token_out,
            "limit": limit,
        }
        return [_record(row) for row in await self._database.insist(_SQL["living"], params)]

    async def claim(
        self, order_ids: Collection[UUID], *, alone: bool = False, last_resort: bool = False
    ) -> list[ClaimResult]:
        """Claim each order that may be claimed; `last_resort` also takes parked and exhausted ones."""
        params = {
            "ids": list(order_ids),
            "lease": LEASE_SECONDS,
            "max_crashes": MAX_CRASHES,
            "alone": alone,
            "last_resort": last_resort,
            # Lets a claim whose reply was lost be repeated.
            "claimant": uuid7(self._clock, self._entropy),
        }
        rows = await self._database.insist(_SQL["claim"], params)
        results = [_claim_result(row) for row in rows]
        unread = {
            row[0]: row[5] for row, result in zip(rows, results, strict=True) if result.verdict == Verdict.UNREADABLE
        }
        if unread:
            # A lease that ran out would count as a crash. Where this fails, the claims of the others still stand.
            with suppress(Unavailable, StatementRefused):
                await self._give_back(unread)
        return results

    async def give_back(self, claims: Collection[Claim]) -> None:
        """End claims that are still held, without a word on the orders: what cut them off was no crash."""
        await self._give_back({claim.order_id: claim.claim_token for claim in claims})

    async def _give_back(self, tokens: Mapping[UUID, int]) -> None:
        await self._database.insist(_SQL["give_back"], {"ids": list(tokens), "tokens": list(tokens.values())})

    async def submission(self, tx_id: str) -> OpenSubmission:
        """The write-ahead of an unresolved transaction."""
        rows = await self._database.insist(_SQL["submission"], {"tx_id": tx_id})
        return OpenSubmission(*rows[0])

    async def due(self, limit: int) -> list[UUID]:
        """Living orders whose message must have been lost, marked as sent again."""
        rows = await self._database.fetch(_SQL["due"], {"gap": RESEND_SECONDS, "limit": limit})
        return [row[0] for row in rows]

    async def due_parked(self, limit: int) -> list[UUID]:
        """Parked orders whose transaction should be asked for once more, marked as sent."""
        params = {"most_crashes": MAX_LAST_RESORTS, "limit": limit}
        return [row[0] for row in await self._database.fetch(_SQL["due_parked"], params)]

    async def unsent(self, order_ids: Collection[UUID]) -> None:
        """The queue took no message for these: the next sweep finds them again."""
        await self._database.insist(_SQL["unsent"], {"ids": list(order_ids)})

    async def expire_keys(self, most: int) -> None:
        """Forget idempotency keys that are free again."""
        await self._database.insist(_SQL["expire_keys"], {"most": most})

    async def make_events(self, keep: timedelta | None) -> list[tuple[str, str]]:
        """Make room for coming events, in partitions that suit `keep`; None keeps all.

        Returns (what was done, partition) of each change. Safe to run at any moment, and twice.
        """
        rows = await self._database.insist(_SQL["make_events"], {"keep": keep})
        return [(done, partition) for done, partition in rows]

    async def drop_events(self, keep: timedelta | None) -> list[tuple[str, str]]:
        """Drop events of orders that ended and are older than `keep`, a partition a call; None keeps all.

        The same otherwise; a partition that can't be dropped is an error and stays.
        """
        rows = await self._database.insist(_SQL["drop_events"], {"keep": keep})
        return [(done, partition) for done, partition in rows]

    async def migration(self) -> str:
        """The newest migration that the database has."""
        rows = await self._database.insist(_SQL["migration"])
        return str(rows[0][0])


def _accepted(statement: str, params: Mapping[str, Any], rows: list[tuple[Any, ...]]) -> Accepted:
    holder: Sequence[Any] = rows[0] if rows else ()
    if statement.endswith("_limited"):
        stored, room, wait, *holder = rows[0]
        if not stored:
            limit = Fault.RATE_LIMITED if room is None else Fault.TOO_MANY_OPEN
            return Accepted(order_id=params["id"], limit=limit, retry_after=wait)
    return _holder(holder) if holder else Accepted(order_id=params["id"])


def _holder(row: Sequence[Any]) -> Accepted:
    order_id, same_terms, waiting = row
    return Accepted(order_id=order_id, same_terms=same_terms, waiting=waiting)


def _claim_result(row: tuple[Any, ...]) -> ClaimResult:
    order_id, verdict, crashes, open_tx, wait, token, payload, status, attempts, *rest = row
    last_seq, last_update, timeline, parked, bound, ending = rest
    claim = None
    if verdict == Verdict.CLAIMED:
        try:
            claim = Claim(
                order_id=order_id,
                claim_token=token,
                terms=_terms(payload),
                status=Status(status),
                attempts=attempts,
                crashes=crashes,
                last_seq=last_seq,
                last_update=last_update,
                open_tx=open_tx,
                parked=parked,
                bound=None if bound is None else int(bound),
                ending=ending and Status(ending),
                timeline=_timeline(timeline) if timeline else ((Status(status), int(last_update.timestamp() * 1000)),),
            )
        except ValueError:
            # Of another release, perhaps: its neighbours must not share its fate.
            verdict = Verdict.UNREADABLE
    return ClaimResult(order_id, Verdict(verdict), wait or 0, crashes, claim)


def _terms(payload: str) -> Terms:
    """Those of an order that this release can go on with. Raises ValueError."""
    terms = msgspec.json.decode(payload, type=Terms)
    if terms.order_type not in TYPES:
        raise ValueError(f"no such order type: {terms.order_type}")
    return terms


def _timeline(text: str) -> tuple[tuple[Status, int], ...]:
    return msgspec.json.decode(text, type=tuple[tuple[Status, int], ...])


def _record(row: tuple[Any, ...]) -> OrderRecord:
    order_id, payload, status, created_at, last_update, attempts, failure_reason, tx_hash, *more = row
    repeat_of, seq, name, events = more
    return OrderRecord(
        order_id=order_id,
        terms=Terms.read(payload),
        status=status,
        created_at=created_at,
        last_update=last_update,
        attempts=attempts,
        failure_reason=failure_reason,
        tx_hash=tx_hash,
        repeat_of=repeat_of,
        seq=seq,
        client_order_id=name,
        events=msgspec.json.decode(events, type=tuple[tuple[int, str, msgspec.Raw, str], ...]) if events else None,
    )

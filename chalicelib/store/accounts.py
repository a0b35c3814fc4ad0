"""Accounts: the keys that stand for them, what became of those who gave one, and tickets."""

from datetime import date, datetime

import msgspec

from chalicelib.domain.account import Caller
from chalicelib.domain.credentials import ApiKey
from chalicelib.store.database import Database
from chalicelib.store.statements import load

_SQL = load("accounts")
TICKET_SECONDS = 60
# Expired tickets that one new one takes away: more than it adds.
MOST_EXPIRED_TICKETS = 10


class StoredKey(msgspec.Struct, frozen=True):
    """A key as it is stored."""

    account: str
    digest: bytes
    revoked: bool


class Noted(msgspec.Struct, frozen=True):
    """What became of those who gave a key: how many were let in, how many not, and why the last one was not."""

    used: int = 0
    refused: int = 0
    reason: str | None = None


class DescribedKey(msgspec.Struct, frozen=True):
    """A key without its secret; `last_use_at` only in a list."""

    prefix: str
    account: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    last_use_at: datetime | None


class Day(msgspec.Struct, frozen=True):
    """What became of a day's (UTC) callers who gave a key."""

    day: date
    uses: int
    refusals: int
    last_use_at: datetime | None
    last_refusal_at: datetime | None
    last_refusal: str | None


class Accounts:
    """The tables of keys and tickets, through one connection. All of its statements may run twice."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def key(self, given: ApiKey, noted: Noted) -> StoredKey | None:
        """The key of a prefix, None where there is none. Notes what became of it, now included."""
        params = {
            "prefix": given.prefix,
            "digest": given.digest,
            "used": noted.used,
            "refused": noted.refused,
            "reason": noted.reason,
        }
        rows = await self._database.insist(_SQL["key"], params)
        return StoredKey(*rows[0]) if rows else None

    async def issue(self, caller: Caller, digest: bytes) -> datetime | None:
        """Store a ticket for a caller; returns until when it opens a socket, None where the key was revoked."""
        params = {
            "digest": digest,
            "account": caller.account,
            "key_prefix": caller.key_prefix,
            "lifetime": TICKET_SECONDS,
            "most": MOST_EXPIRED_TICKETS,
        }
        rows = await self._database.insist(_SQL["issue"], params)
        return rows[0][0] if rows else None

    async def create(self, key: ApiKey, account: str, label: str) -> None:
        """Store a new key."""
        params = {"prefix": key.prefix, "digest": key.digest, "account": account, "label": label}
        await self._database.insist(_SQL["create"], params)

    async def keys(self, account: str | None, limit: int) -> list[DescribedKey]:
        """The keys of an account, or of all."""
        rows = await self._database.insist(_SQL["keys"], {"account": account, "limit": limit})
        return [DescribedKey(*row) for row in rows]

    async def one(self, prefix: str) -> DescribedKey | None:
        """A key; None where there is none of this prefix."""
        rows = await self._database.insist(_SQL["one"], {"prefix": prefix})
        return DescribedKey(*rows[0]) if rows else None

    async def revoke(self, prefix: str) -> DescribedKey | None:
        """Let nobody in by a key any more; None where there is none of this prefix."""
        rows = await self._database.insist(_SQL["revoke"], {"prefix": prefix})
        return DescribedKey(*rows[0]) if rows else None

    async def uses(self, prefix: str, limit: int) -> list[Day]:
        """What became of those who gave a key, by day, newest first."""
        rows = await self._database.insist(_SQL["uses"], {"prefix": prefix, "limit": limit})
        return [Day(*row) for row in rows]

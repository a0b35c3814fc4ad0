"""Who asks: the account that an API key stands for, and tickets for sockets."""

import hmac
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import msgspec

from chalicelib.domain import credentials
from chalicelib.domain.account import Caller
from chalicelib.domain.clock import Clock, Entropy
from chalicelib.domain.credentials import ApiKey
from chalicelib.domain.errors import Unauthorized
from chalicelib.store.accounts import Noted, StoredKey
from chalicelib.telemetry import Telemetry

# What is known of a key is known for so long: by then a key that was revoked is refused everywhere.
KNOWN_SECONDS = 10
MOST_KNOWN = 1000

Known = TypeVar("Known")


class AccountStore(Protocol):
    """Where keys and tickets are stored."""

    async def key(self, given: ApiKey, noted: Noted) -> StoredKey | None:
        """The key of a prefix, None where there is none. Notes what became of it, now included."""
        ...

    async def issue(self, caller: Caller, digest: bytes) -> datetime | None:
        """Store a ticket for a caller; returns until when it opens a socket, None where the key was revoked."""
        ...


class _Known(msgspec.Struct):
    """A key as it was looked up, and what has become of those who gave it since, to be noted with the next look."""

    key: StoredKey
    looked_at: datetime
    # Whether that look noted a refusal.
    refused: bool
    noted: Noted = Noted()


class Authentication:
    """Knows callers by their keys. Each container asks for a key at most every ten seconds, or twice."""

    def __init__(
        self, *, store: AccountStore, clock: Clock, entropy: Entropy, telemetry: Telemetry, required: bool
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        # Where it is not, everybody is the default account.
        self.required = required
        self._known: dict[str, _Known] = {}
        # Prefixes that no key has, and when they were looked for: apart, so that guesses push out no key.
        self._unknown: dict[str, datetime] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """Whoever gives this Authorization header. Raises Unauthorized; Unavailable where that can't be found out."""
        if not self.required:
            return Caller()
        if authorization is None:
            raise self.refused("no key")
        given = credentials.from_header(authorization)
        if given is None:
            raise self.refused("no key of the form oe_<prefix>_<secret>")
        account = await self._account(given)
        return Caller(account, given.prefix)

    def limited(self, caller: Caller, reason: str) -> None:
        """A caller was refused for a limit of its account."""
        known = self._known.get(caller.key_prefix or "")
        if known is not None:
            known.noted = Noted(known.noted.used, known.noted.refused + 1, reason)

    async def ticket(self, caller: Caller) -> tuple[str, datetime]:
        """A ticket that opens one socket of the caller's, and until when. Raises Unauthorized, Unavailable."""
        ticket = credentials.new_ticket(self._entropy)
        expires_at = await self._store.issue(caller, credentials.digest(ticket))
        if expires_at is None:
            raise self.refused("revoked", prefix=caller.key_prefix)
        return ticket, expires_at

    async def _account(self, given: ApiKey) -> str:
        prefix = given.prefix
        if prefix in self._unknown and self._fresh(self._unknown[prefix]):
            raise self.refused("unknown", prefix=prefix)
        known = self._known.get(prefix)
        if known is None or not self._fresh(known.looked_at):
            return await self._look(given, known)
        reason = _wrong(known.key, given)
        if reason is None:
            known.noted = Noted(known.noted.used + 1, known.noted.refused, known.noted.reason)
            return known.key.account
        if not known.refused:
            # The first one is noted at once, since nobody may come after it.
            return await self._look(given, known)
        known.noted = Noted(known.noted.used, known.noted.refused + 1, reason)
        raise self.refused(reason, prefix=prefix)

    async def _look(self, given: ApiKey, before: _Known | None) -> str:
        """Ask the store for a key, which notes what became of this caller and those before."""
        # What was asked for a while ago may have changed while the answer was on its way.
        asked_at = self._clock.now()
        key = await self._store.key(given, before.noted if before else Noted())
        if key is None:
            _keep(self._unknown, given.prefix, asked_at)
            raise self.refused("unknown", prefix=given.prefix)
        reason = _wrong(key, given)
        _keep(self._known, given.prefix, _Known(key, asked_at, refused=reason is not None))
        if reason is not None:
            raise self.refused(reason, prefix=given.prefix)
        return key.account

    def _fresh(self, looked_at: datetime) -> bool:
        # By the wall clock: the other one may stand still while the container does.
        return timedelta(0) <= self._clock.now() - looked_at < timedelta(seconds=KNOWN_SECONDS)

    def refused(self, reason: str, **details: object) -> Unauthorized:
        """What to raise for a caller that is not let in; the log is told why."""
        self._telemetry.failure("caller refused", reason, **details)
        return Unauthorized()


def _wrong(key: StoredKey, given: ApiKey) -> str | None:
    if key.revoked:
        return "revoked"
    return None if hmac.compare_digest(key.digest, given.digest) else "wrong secret"


def _keep(known: dict[str, Known], prefix: str, found: Known) -> None:
    # Taken out first, so that the oldest stands in front.
    known.pop(prefix, None)
    if len(known) >= MOST_KNOWN:
        del known[next(iter(known))]
    known[prefix] = found

"""The operator's commands about API keys: making, listing and revoking them, and who used one."""

import re
from datetime import datetime

import msgspec

from chalicelib.domain import credentials
from chalicelib.domain.clock import Entropy
from chalicelib.domain.event import iso
from chalicelib.intake.authentication import KNOWN_SECONDS
from chalicelib.store.accounts import Accounts, Day, DescribedKey
from operations.commands import Refused

ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST_LABEL = 100
MOST_KEYS = 1000
MOST_DAYS = 90


class Created(msgspec.Struct, frozen=True):
    """A new key, for the only time."""

    key: str
    prefix: str
    account: str
    done: bool = True

    def text(self) -> str:
        """The key on a line of its own."""
        return f"a key of account {self.account}, shown this once:\n{self.key}"


class Keys(msgspec.Struct, frozen=True):
    """Keys without their secrets, by account and age."""

    keys: list[DescribedKey]
    done: bool = True

    def text(self) -> str:
        """A line a key."""
        return "\n".join(map(_line, self.keys)) or "no keys"


class Revoked(msgspec.Struct, frozen=True):
    """A key that is revoked, by this call or before."""

    key: DescribedKey
    done: bool = True

    def text(self) -> str:
        """One line."""
        return f"revoked {_line(self.key)}; a container that knows it lets it in for {KNOWN_SECONDS} s at most"


class Audit(msgspec.Struct, frozen=True):
    """A key, and what became of those who gave it, by day (UTC), newest first."""

    key: DescribedKey
    days: list[Day]
    done: bool = True

    def text(self) -> str:
        """The key, then a line a day."""
        return "\n".join([_line(self.key), *map(_day, self.days)] if self.days else [_line(self.key), "never given"])


class KeyCommands:
    """What an operator can do with keys."""

    def __init__(self, store: Accounts, entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy

    async def create(self, account: str, label: str) -> Created:
        """Make a key for an account, which needs no more to be there."""
        key = credentials.new_key(self._entropy)
        await self._store.create(key, account, label)
        return Created(key.text, key.prefix, account)

    async def listed(self, account: str | None) -> Keys:
        """The keys of an account, or of all."""
        return Keys(await self._store.keys(account, MOST_KEYS))

    async def revoke(self, prefix: str) -> Revoked:
        """Let nobody in by a key any more. Raises Refused where there is none of this prefix."""
        return Revoked(_found(await self._store.revoke(prefix), prefix))

    async def audit(self, prefix: str) -> Audit:
        """Who used a key and what was refused. Raises Refused where there is none of this prefix."""
        return Audit(_found(await self._store.one(prefix), prefix), await self._store.uses(prefix, MOST_DAYS))


def _found(key: DescribedKey | None, prefix: str) -> DescribedKey:
    if key is None:
        raise Refused(f"no key has the prefix {prefix}")
    return key


def _line(key: DescribedKey) -> str:
    parts = [f"{key.prefix}  {key.account}", f"created {iso(key.created_at)}"]
    parts += [f"revoked {iso(key.revoked_at)}"] if key.revoked_at else []
    parts += [f"last used {iso(key.last_use_at)}"] if key.last_use_at else []
    return "  ".join(parts + ([key.label] if key.label else []))


def _day(day: Day) -> str:
    used = f"{day.uses} uses{_at(day.last_use_at)}"
    return f"{day.day}  {used}, {day.refusals} refusals{_at(day.last_refusal_at, f'{day.last_refusal}, ')}"


def _at(moment: datetime | None, why: str = "") -> str:
    return f" (last {why}{iso(moment)})" if moment else ""

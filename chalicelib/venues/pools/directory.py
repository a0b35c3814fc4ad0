"""Pools from a directory of accounts, as the Solana CLI writes them: a file an account."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from chalicelib.domain.errors import IncompleteState, MalformedAccount, PoolsUnreadable
from chalicelib.solana.account import Account
from chalicelib.store.pools import Snapshot
from chalicelib.venues.pools.programs import PROGRAMS
from chalicelib.venues.pools.snapshots import snapshot

# What comes with the engine: three real pools and some that were made up.
SANDBOX = Path(__file__).parent / "sandbox"


class Keeping(Protocol):
    """Where pools are kept."""

    async def keep(self, snapshots: Sequence[Snapshot]) -> None:
        """Store pools that are new, and newer accounts of live ones."""
        ...


def accounts_in(directory: Path) -> dict[str, Account]:
    """The accounts in all files of a directory and below, by address. Raises PoolsUnreadable naming the file.

    Of several files of one account that with the highest slot counts; one without a slot is the oldest.
    """
    return {pubkey: account for pubkey, (_, account) in _files(directory).items()}


def snapshots_in(directory: Path) -> list[Snapshot]:
    """The pools in a directory. Raises PoolsUnreadable naming the file of one that cannot be read, and why."""
    files = _files(directory)
    accounts = {pubkey: account for pubkey, (_, account) in files.items()}
    found: list[Snapshot] = []
    for path, account in files.values():
        for program in PROGRAMS:
            if not account.is_a(program.address, program.kind):
                continue
            try:
                # What is not in the directory is not on the chain.
                own = {part: accounts.get(part) for part in (account.pubkey, *program.parts(account))}
                pool = program.read(account.pubkey, own)
            except (IncompleteState, MalformedAccount) as error:
                raise PoolsUnreadable(f"{path}: no pool: {error}") from None
            found.append(snapshot(pool, own, live=False, slot=account.slot or 0))
    return found


def _files(directory: Path) -> dict[str, tuple[Path, Account]]:
    """The accounts in a directory and the files that they are from, by address."""
    if not directory.is_dir():
        raise PoolsUnreadable(f"{directory}: no such directory")
    found: dict[str, tuple[Path, Account]] = {}
    for path in sorted(directory.rglob("*.json")):
        try:
            account = Account.from_json(path.read_bytes())
        except (MalformedAccount, OSError) as error:
            raise PoolsUnreadable(f"{path}: {error}") from None
        known = found.get(account.pubkey)
        if known is None or (account.slot or 0) >= (known[1].slot or 0):
            found[account.pubkey] = path, account
    return found


class DirectoryPools:
    """Stores a directory's pools before a container first asks for any."""

    def __init__(self, directory: Path, store: Keeping) -> None:
        self._directory = directory
        self._store = store
        self._stored = False
        self._turn = asyncio.Lock()

    async def fresh(self, mints: Collection[str]) -> None:
        """They are there from now on, and never grow old. Raises PoolsUnreadable for a broken directory."""
        # The venues ask side by side, and one storing is enough.
        async with self._turn:
            if not self._stored:
                await self._store.keep(snapshots_in(self._directory))
                self._stored = True

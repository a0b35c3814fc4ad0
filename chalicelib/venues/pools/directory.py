"""Pools from a directory of accounts, as the Solana CLI writes them: a file an account."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from chalicelib.domain.errors import IncompleteState, MalformedAccount, PoolsUnreadable
from chalicelib.solana.account import Account
from chalicelib.store.pools import Snapshot
from chalicelib.venues.pools.programs import PROGRAMS
from chalicelib.venues.pools.snapshots import snapshot

# What comes with the engine: three real pools and some that were made up.
SANDBOX = Path(__file__).parent / "sandbox"
# A directory with broken files is read again after so long, since an operator may have mended them.
REREAD_SECONDS = 10.0
# So many files are named where there is no pool; the log has all of them.
MOST_NAMED = 3


class Found(NamedTuple):
    """What a directory holds."""

    snapshots: list[Snapshot]
    # Why files are no accounts, or not the pools that they should be.
    broken: dict[Path, str]
    # Why files are of no use, which harms nobody where there are pools.
    unused: dict[Path, str]


class Keeping(Protocol):
    """Where pools are kept."""

    async def keep(self, snapshots: Sequence[Snapshot]) -> None:
        """Store pools that are new, and newer accounts of live ones."""
        ...


def accounts_in(directory: Path) -> dict[str, Account]:
    """The accounts in all files of a directory and below, by address. Raises PoolsUnreadable naming what is broken.

    Of several files of one account that with the highest slot counts; one without a slot is the oldest.
    """
    files, broken = _files(directory)
    if broken:
        raise PoolsUnreadable(_listed(broken))
    return {pubkey: account for pubkey, (_, account) in files.items()}


def pools_in(directory: Path) -> Found:
    """The pools in a directory, and why other files are left out. Raises PoolsUnreadable where there is no pool."""
    files, broken = _files(directory)
    accounts = {pubkey: account for pubkey, (_, account) in files.items()}
    found = Found([], broken, {})
    used: set[str] = set()
    for path, account in files.values():
        for program in PROGRAMS:
            if not account.is_a(program.address, program.kind):
                continue
            used.add(account.pubkey)
            try:
                # What is not in the directory is not on the chain.
                own = {part: accounts.get(part) for part in (account.pubkey, *program.parts(account))}
                used.update(own)
                pool = program.read(account.pubkey, own)
            except (IncompleteState, MalformedAccount) as error:
                broken[path] = f"no pool: {error}"
            else:
                found.snapshots.append(snapshot(pool, own, live=False, slot=account.slot or 0))
    found.unused.update({path: _use(account) for path, account in files.values() if account.pubkey not in used})
    if not found.snapshots:
        why = _listed({**broken, **found.unused}) or "no file *.json there or below"
        raise PoolsUnreadable(f"POOLS_DIRECTORY {directory} has no pool: {why}")
    return found


def _files(directory: Path) -> tuple[dict[str, tuple[Path, Account]], dict[Path, str]]:
    """The accounts in a directory and the files that they are from, by address; and why other files are none."""
    try:
        if not directory.is_dir():
            raise PoolsUnreadable(f"POOLS_DIRECTORY {directory}: no such directory")
    except OSError as error:
        raise PoolsUnreadable(f"POOLS_DIRECTORY {directory}: {error.strerror}") from None
    found: dict[str, tuple[Path, Account]] = {}
    broken: dict[Path, str] = {}
    for path in sorted(directory.rglob("*.json")):
        try:
            account = Account.from_json(path.read_bytes())
        except (MalformedAccount, OSError) as error:
            broken[path] = str(error)
            continue
        known = found.get(account.pubkey)
        if known is None or (account.slot or 0) >= (known[1].slot or 0):
            found[account.pubkey] = path, account
    return found, broken


def _use(account: Account) -> str:
    """Why an account that no pool is read from is none itself."""
    for program in PROGRAMS:
        if account.owner == program.address:
            mark = account.data[:8].hex()
            return f"no {program.kind} of {program.venue}: its discriminator is {mark}; no pool here is read from it"
    return f"no pool: its owner is {account.owner}; no pool here is read from it"


def _listed(reasons: Mapping[Path, str]) -> str:
    named = [f"{path}: {why}" for path, why in reasons.items()][:MOST_NAMED]
    more = [f"and {len(reasons) - MOST_NAMED} more"] if len(reasons) > MOST_NAMED else []
    return "; ".join([*named, *more])


class DirectoryPools:
    """Stores a directory's pools before a container first asks for any. `report` takes what to log."""

    def __init__(self, directory: Path, store: Keeping, report: Callable[[str, object], None] | None = None) -> None:
        self._directory = directory
        self._store = store
        self._report = report
        self._reported: set[str] = set()
        self._own: frozenset[str] | None = None
        self._broken: dict[Path, str] = {}
        # On the loop's clock.
        self._read_again_at = 0.0
        self._turn = asyncio.Lock()

    async def fresh(self, mints: Collection[str]) -> Collection[str]:
        """They are there from now on, and never grow old: the addresses of all of them.

        Raises PoolsUnreadable where there are none.
        """
        # The venues ask side by side, and one storing is enough.
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if self._own is None or (self._broken and now >= self._read_again_at):
                found = pools_in(self._directory)
                self._log("pools: broken file left out", found.broken)
                self._log("pools: unused file", found.unused)
                await self._store.keep(found.snapshots)
                self._own = frozenset(pool.address for pool in found.snapshots)
                self._broken, self._read_again_at = found.broken, now + REREAD_SECONDS
            return self._own

    def broken(self) -> list[str]:
        """The files that it does without though it should not, and why."""
        return [f"POOLS_DIRECTORY {path}: {why}" for path, why in self._broken.items()]

    def _log(self, what: str, reasons: Mapping[Path, str]) -> None:
        """Each once: a directory may be read again."""
        for path, why in reasons.items():
            if self._report and (line := f"{path}: {why}") not in self._reported:
                self._reported.add(line)
                self._report(what, line)

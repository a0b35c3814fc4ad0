"""The accounts of pools as the chain has them, all of one slot."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import IncompleteState, MalformedAccount, RpcUnavailable
from chalicelib.solana import address as addresses
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock as ChainClock
from chalicelib.solana.rpc import MOST_ACCOUNTS, together
from chalicelib.store.pools import Snapshot
from chalicelib.venues.pools.discovery import Node
from chalicelib.venues.pools.programs import Program
from chalicelib.venues.pools.snapshots import snapshot
from chalicelib.venues.pools.time import LEAST_SLOT_SECONDS, MOST_JUMP, MOST_SECONDS, ChainTime

# A pool's account names the others: it is asked for first, then with them, and again where they have become others.
ROUNDS = 3
# How often accounts are asked for that came of several slots, or of an earlier one than was seen.
SLOT_TRIES = 4


class Loaded(NamedTuple):
    """Pools as they were read, and what is wrong with the others, by address."""

    snapshots: list[Snapshot]
    broken: dict[str, str]


class _Seen(NamedTuple):
    """A slot that the chain had reached at a time of the holder's monotonic clock."""

    slot: int
    at: float


class Loader:
    """Reads pools from a node, and the chain's time with them.

    It never goes back behind a slot that it has seen lately, and believes none that the chain can't have reached.
    """

    def __init__(self, node: Node, time: ChainTime, clock: Clock, now: Callable[[], Awaitable[str]]) -> None:
        self._node = node
        # The time by which the age of pools is told.
        self._now = now
        self._time = time
        self._clock = clock
        self._seen: _Seen | None = None
        self._told: _Seen | None = None

    @property
    def newest_slot(self) -> int:
        """The newest that was seen; 0 where none was lately: had it been wrong, nothing could be read since."""
        if self._seen is None or self._clock.monotonic() - self._seen.at >= MOST_SECONDS:
            return 0
        return self._seen.slot

    def tell(self, slot: int, age: float) -> None:
        """Others saw the chain at this slot so many seconds ago."""
        if self._told is None or slot > self._told.slot:
            self._told = _Seen(slot, self._clock.monotonic() - age)

    def _most(self) -> float:
        """The slot that the chain can't be behind yet."""
        seen = self._seen or self._told
        if seen is None:
            return math.inf
        return seen.slot + MOST_JUMP + int((self._clock.monotonic() - seen.at) / LEAST_SLOT_SECONDS)

    async def load(self, pools: Mapping[str, Program], last: dict[str, Account], until: float) -> Loaded:
        """All of these pools at one slot. Raises RpcUnavailable.

        `last` holds the pools' own accounts as they were read last, and does so afterwards.
        """
        for _ in range(ROUNDS):
            wanted = _wanted(pools, last)
            asked_at = await self._now()
            slot, found = await self._of_one_slot(wanted, until)
            last.clear()
            last.update({address: account for address in pools if (account := found[address]) is not None})
            if _wanted(pools, last) <= wanted:
                break
        self._read_time(found[addresses.CLOCK], slot)
        loaded = Loaded([], {})
        for address, program in pools.items():
            own = {part: found.get(part) for part in _parts(address, program, last)}
            try:
                pool = program.read(address, own)
            except (IncompleteState, MalformedAccount) as error:
                loaded.broken[address] = str(error)
                continue
            loaded.snapshots.append(snapshot(pool, own, live=True, slot=slot, read_at=asked_at))
        return loaded

    async def _of_one_slot(self, wanted: Iterable[str], until: float) -> tuple[int, dict[str, Account | None]]:
        every = sorted(wanted)
        chunks = [every[start : start + MOST_ACCOUNTS] for start in range(0, len(every), MOST_ACCOUNTS)]
        for _ in range(SLOT_TRIES):
            least = self.newest_slot
            found = await together(self._node.accounts(chunk, until, least_slot=least) for chunk in chunks)
            slots = {slot for slot, _ in found}
            newest, most = max(slots), self._most()
            if newest > most:
                why = f"a broken node, it is at slot {newest}, and the chain at {most} at most"
                continue
            if newest > self.newest_slot:
                self._seen = _Seen(newest, self._clock.monotonic())
            if len(slots) == 1 and newest >= least:
                return newest, {address: each for _, accounts in found for address, each in accounts.items()}
            why = f"accounts came of slot {', '.join(map(str, sorted(slots)))}, not all of one from {least} on"
        raise RpcUnavailable(f"Solana RPC: {why}")

    def _read_time(self, account: Account | None, slot: int) -> None:
        try:
            if account is None:
                raise RpcUnavailable("Solana RPC: the chain's clock is not there")
            # Of its own slot nothing is known but what it says.
            self._time.read(replace(ChainClock.read(account), slot=slot))
        except MalformedAccount as error:
            raise RpcUnavailable(f"Solana RPC: {error}") from None


def _wanted(pools: Mapping[str, Program], last: Mapping[str, Account]) -> set[str]:
    """The accounts that pools are read from, as far as they are known, and the chain's clock."""
    parts = (part for address, program in pools.items() for part in _parts(address, program, last))
    return {addresses.CLOCK, *parts}


def _parts(address: str, program: Program, last: Mapping[str, Account]) -> tuple[str, ...]:
    """The accounts that a pool is read from; its own alone where that is not known, or is none."""
    try:
        return (address, *program.parts(last[address])) if address in last else (address,)
    except MalformedAccount:
        return (address,)

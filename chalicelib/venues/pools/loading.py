"""The accounts of pools as the chain has them, all of one slot."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

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
from chalicelib.venues.pools.time import ChainTime

# A pool's account names the others: it is asked for first, then with them, and again where they have become others.
ROUNDS = 3
# How often accounts are asked for that came of several slots, or of an earlier one than was seen.
SLOT_TRIES = 4


class Loaded(NamedTuple):
    """Pools as they were read, and what is wrong with the others, by address."""

    snapshots: list[Snapshot]
    broken: dict[str, str]


class Loader:
    """Reads pools from a node, and the chain's time with them. It never goes back behind a slot that it has seen."""

    def __init__(self, node: Node, time: ChainTime, clock: Clock) -> None:
        self._node = node
        self._time = time
        self._clock = clock
        self.newest_slot = 0

    async def load(self, pools: Mapping[str, Program], last: dict[str, Account], until: float) -> Loaded:
        """All of these pools at one slot. Raises RpcUnavailable.

        `last` holds the pools' own accounts as they were read last, and does so afterwards.
        """
        for _ in range(ROUNDS):
            wanted = _wanted(pools, last)
            asked_at = self._clock.monotonic()
            slot, found = await self._of_one_slot(wanted, until)
            last.clear()
            last.update({address: account for address in pools if (account := found[address]) is not None})
            if _wanted(pools, last) <= wanted:
                break
        self._read_time(found[addresses.CLOCK])
        loaded = Loaded([], {})
        for address, program in pools.items():
            own = {part: found.get(part) for part in _parts(address, program, last)}
            try:
                pool = program.read(address, own)
            except (IncompleteState, MalformedAccount) as error:
                loaded.broken[address] = str(error)
                continue
            age = self._clock.monotonic() - asked_at
            loaded.snapshots.append(snapshot(pool, own, live=True, slot=slot, age=age))
        return loaded

    async def _of_one_slot(self, wanted: Iterable[str], until: float) -> tuple[int, dict[str, Account | None]]:
        every = sorted(wanted)
        chunks = [every[start : start + MOST_ACCOUNTS] for start in range(0, len(every), MOST_ACCOUNTS)]
        for _ in range(SLOT_TRIES):
            least = self.newest_slot
            found = await together(self._node.accounts(chunk, until, least_slot=least) for chunk in chunks)
            slots = {slot for slot, _ in found}
            self.newest_slot = max(self.newest_slot, *slots)
            if len(slots) == 1 and min(slots) >= least:
                return slots.pop(), {address: each for _, accounts in found for address, each in accounts.items()}
        came = ", ".join(map(str, sorted(slots)))
        raise RpcUnavailable(f"Solana RPC: accounts came of slot {came}, not all of one from {least} on")

    def _read_time(self, account: Account | None) -> None:
        try:
            if account is None:
                raise RpcUnavailable("Solana RPC: the chain's clock is not there")
            self._time.read(ChainClock.read(account))
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

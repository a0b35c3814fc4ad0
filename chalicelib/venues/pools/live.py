"""Pools of the chain, asked for when an order wants them, and never quoted when they are too old."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NoReturn, Protocol

import msgspec

from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import (
    EngineError,
    PoolRefused,
    QuoteUnavailable,
    RpcUnavailable,
    StaleState,
    Unavailable,
)
from chalicelib.domain.pool import StoredPool
from chalicelib.solana import address as addresses
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock as ChainClock
from chalicelib.solana.rpc import together
from chalicelib.store.pools import Snapshot
from chalicelib.venues.base import Attempt
from chalicelib.venues.pool import Curve, Fill, Quoting
from chalicelib.venues.pools.discovery import Node, Pair, Search
from chalicelib.venues.pools.loading import Loader
from chalicelib.venues.pools.programs import PROGRAMS, Program
from chalicelib.venues.pools.recent import Recent
from chalicelib.venues.pools.sharing import Sharing
from chalicelib.venues.pools.shelf import Shelved
from chalicelib.venues.pools.time import ChainTime

# Within the time that a router gives a venue, so that a venue can say what it waited for.
ASKING_SECONDS = 1.7
# Of which finding a pair's pools may take this share.
FINDING_SHARE = 0.7
# Pools that were read a moment ago are not read again.
RELOAD_SECONDS = 1.0
# So many pairs a container knows.
MOST_PAIRS = 500


class PoolStore(Protocol):
    """Where pools are kept."""

    async def between(self, mints: Collection[str]) -> Sequence[StoredPool]:
        """The pools that trade some of these mints for each other."""
        ...

    async def now(self) -> str:
        """The time by which the age of pools is told."""
        ...

    async def keep(self, snapshots: Sequence[Snapshot]) -> None:
        """Store pools that are new, and newer accounts of live ones."""
        ...


class Pools(Protocol):
    """Where pools are found decoded."""

    async def between(self, mints: Collection[str]) -> list[Shelved]:
        """The pools that trade some of these mints for each other, as they are now."""
        ...


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest state that a quote may use: in slots behind the newest one known, and in seconds since it was read."""

    slots: int
    seconds: float


class LeftOut(msgspec.Struct, frozen=True):
    """A pool, or all of a pair, that cannot be quoted now: whoever plans with it is told why."""

    address: str
    venue: str
    mints: Pair
    error: PoolRefused

    def curve(self, zero_for_one: bool, clock: ChainClock) -> Curve:
        """Raises PoolRefused."""
        self._refuse()

    def fill(self, amount_in: int, zero_for_one: bool, clock: ChainClock) -> Fill:
        """Raises PoolRefused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise self.error


class Dated(msgspec.Struct, frozen=True):
    """A pool that may be quoted until a time of the holder's monotonic clock."""

    pool: Shelved
    until: float
    clock: Clock

    @property
    def address(self) -> str:
        """Its own."""
        return self.pool.address

    @property
    def venue(self) -> str:
        """The name of its venue."""
        return self.pool.venue

    @property
    def mints(self) -> Pair:
        """Token 0 and token 1."""
        return self.pool.mints

    def curve(self, zero_for_one: bool, clock: ChainClock) -> Curve:
        """What it pays. Raises PoolRefused."""
        self._check()
        return self.pool.curve(zero_for_one, clock)

    def fill(self, amount_in: int, zero_for_one: bool, clock: ChainClock) -> Fill:
        """What selling exactly so much comes to. Raises PoolRefused."""
        self._check()
        return self.pool.fill(amount_in, zero_for_one, clock)

    def _check(self) -> None:
        if self.clock.monotonic() > self.until:
            raise StaleState("it grew too old while others were waited for")


class _Known:
    """What a container knows of a pair. Times are the holder's monotonic clock's."""

    def __init__(self, searches: Sequence[tuple[Program, Search]]) -> None:
        self.searches = searches
        self.read_again_at = float("-inf")
        self.last: dict[str, Account] = {}
        self.broken: dict[str, str] = {}
        # Why the pools were not read just now.
        self.error: RpcUnavailable | None = None

    def pools(self) -> dict[str, Program]:
        """Those that were found, with their programs, by address."""
        return {address: program for program, search in self.searches for address in search.pools or ()}

    def unfound(self, venue: str) -> RpcUnavailable | None:
        """Why the pools of a venue, or all of the pair's, can't be had; None where they can."""
        return next((search.error for program, search in self.searches if program.venue == venue), None) or self.error


class LivePools:
    """Sees to it that the pools of pairs are stored as the chain has them now."""

    def __init__(
        self,
        *,
        node: Node,
        store: PoolStore,
        shelf: Pools,
        time: ChainTime,
        clock: Clock,
        limits: Limits,
        seconds: float = ASKING_SECONDS,
    ) -> None:
        self._node = node
        self._store = store
        self._shelf = shelf
        self._time = time
        self._clock = clock
        self._limits = limits
        self._seconds = seconds
        self._loader = Loader(node, time, clock, store.now)
        self._refreshing: Sharing[Pair, _Known] = Sharing()
        self._pairs: Recent[Pair, _Known] = Recent(MOST_PAIRS)

    async def close(self) -> None:
        """End the searches that are under way."""
        for known in self._pairs.values():
            for _, search in known.searches:
                await search.close()

    async def fresh(self, mints: Collection[str]) -> None:
        """Nothing: whoever lists pools sees those that orders have asked for."""

    async def between(self, pairs: Collection[Pair]) -> list[Quoting]:
        """The pools of all programs that trade these pairs; those that can't be quoted say why.

        Raises RpcUnavailable where nothing is known of any pair.
        """
        asked = await together(self._refreshing.of(pair, partial(self._refresh, pair)) for pair in pairs)
        known = dict(zip(pairs, asked, strict=True))
        errors = [each.error for each in asked if each.error]
        asked_at = self._clock.monotonic()
        shelved = await self._shelf.between({mint for pair in pairs for mint in pair}) if pairs else []
        stored = [each for each in shelved if each.stored.live and _pair(*each.mints) in known]
        newest = max([self._loader.newest_slot, *(each.stored.slot for each in stored)])
        found: list[Quoting] = []
        for pool in stored:
            own = known[_pair(*pool.mints)]
            if (why := self._objection(pool.stored, newest, own)) is None:
                found.append(Dated(pool, asked_at + self._limits.seconds - pool.stored.age, self._clock))
            # Others were found once, and are not among the deepest any more.
            elif pool.address in own.pools():
                found.append(LeftOut(pool.address, pool.venue, pool.mints, StaleState(why)))
        there = {pool.address for pool in found}
        for pair, each in known.items():
            for address, program in each.pools().items():
                if address in each.broken and address not in there:
                    found.append(LeftOut(address, program.venue, pair, PoolRefused(each.broken[address])))
        if not found and errors:
            raise RpcUnavailable(str(errors[0]))
        return [*found, *self._unread(known, found)]

    def _unread(self, known: dict[Pair, _Known], found: Sequence[Quoting]) -> list[Quoting]:
        """Stand-ins for a venue's pools of a pair where none is known because they could not be asked for."""
        there = {(_pair(*pool.mints), pool.venue) for pool in found}
        return [
            LeftOut(f"{venue}'s pools of {' and '.join(pair)}", venue, pair, PoolRefused(str(error)))
            for pair, each in known.items()
            for venue in (program.venue for program in PROGRAMS)
            if (pair, venue) not in there and (error := each.unfound(venue))
        ]

    def _objection(self, pool: StoredPool, newest: int, known: _Known) -> str | None:
        """Why a pool is too old, or its present price can't be told; None where it isn't."""
        slots, most = newest - pool.slot, self._limits
        if slots > most.slots or pool.age > most.seconds:
            why = f"it was read {pool.age:.1f} s ago, {slots} slots behind"
        elif not self._time.was_read:
            why = "the chain's time is not known"
        else:
            return None
        reason = known.broken.get(pool.address) or known.error
        return f"{why}; {reason}" if reason else why

    async def _refresh(self, pair: Pair) -> _Known:
        """Read a pair's pools anew, unless somebody just did."""
        known = self._pairs.put(pair, self._pairs.get(pair) or self._unknown(pair))
        if self._clock.monotonic() < known.read_again_at:
            return known
        now = asyncio.get_running_loop().time()
        stored = [pool for pool in await self._store.between(pair) if pool.live]
        for pool in stored:
            self._loader.tell(pool.slot, pool.age)
        try:
            pools = await self._find(known, stored, now + FINDING_SHARE * self._seconds)
            if pools and not self._just_read(stored):
                loaded = await self._loader.load(pools, known.last, now + self._seconds)
                known.broken = loaded.broken
                if loaded.snapshots:
                    await self._store.keep(loaded.snapshots)
                known.read_again_at = self._clock.monotonic() + RELOAD_SECONDS
            known.error = None
        except RpcUnavailable as error:
            known.error = error
        return known

    def _just_read(self, stored: Sequence[StoredPool]) -> bool:
        """Whether another container did so; without the chain's time its pools are of no use."""
        return self._time.known and min((pool.age for pool in stored), default=RELOAD_SECONDS) < RELOAD_SECONDS

    def _unknown(self, pair: Pair) -> _Known:
        return _Known([(program, Search(self._node, program, pair, self._clock)) for program in PROGRAMS])

    async def _find(self, known: _Known, stored: Sequence[StoredPool], until: float) -> Mapping[str, Program]:
        """A pair's pools, as far as they are known. Raises RpcUnavailable where that can't be told of any program."""
        await together(
            search.look([pool.address for pool in stored if pool.venue == program.venue], until)
            for program, search in known.searches
        )
        pools = known.pools()
        errors = [search.error for _, search in known.searches if search.error]
        if not pools and len(errors) == len(known.searches):
            raise errors[0]
        return pools


class LiveVenue:
    """A venue of the pool market: the chain's pools of one program."""

    def __init__(self, name: str, pools: LivePools) -> None:
        self.name = name
        self._pools = pools

    async def pools(self, attempt: Attempt, mints: Collection[str]) -> list[Quoting]:
        """Its pools on the ways from the one token to the other.

        Raises QuoteUnavailable, RpcUnavailable where the node can't be asked, and Unavailable where the database can't.
        """
        try:
            found = await self._pools.between(_ways(attempt, mints))
        except (RpcUnavailable, Unavailable):
            raise
        except EngineError as error:
            raise QuoteUnavailable(f"{self.name}: {error}") from error
        return [pool for pool in found if pool.venue == self.name]


def _ways(attempt: Attempt, mints: Collection[str]) -> list[Pair]:
    """The pairs of an order's tokens with each other and with others; what is no address has no pools."""
    ends = attempt.terms.token_in.key, attempt.terms.token_out.key
    middles = [mint for mint in mints if mint not in ends]
    pairs = [ends, *((end, middle) for middle in middles for end in ends)]
    # The order's own comes first where they must wait for each other.
    return list(dict.fromkeys(_pair(*pair) for pair in pairs if all(map(_is_mint, pair))))


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def _is_mint(key: str) -> bool:
    try:
        addresses.to_bytes(key)
    except ValueError:
        return False
    return True

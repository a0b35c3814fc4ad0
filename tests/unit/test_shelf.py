"""Decoded pools: each is decoded once while it is good, never shown in a state of other accounts, and few are kept."""

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from chalicelib.domain.pool import StoredPool
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.store.pools import Snapshot
from chalicelib.venues.pool import Pool
from chalicelib.venues.pools import shelf
from chalicelib.venues.pools.directory import SANDBOX, DirectoryPools, pools_in
from chalicelib.venues.pools.programs import PROGRAMS
from chalicelib.venues.pools.shelf import Shelf

NOW = Clock(slot=2**62, epoch=2**62, timestamp=1_764_000_000)


class Store:
    """A store whose rows a test changes, and that counts how often accounts are asked for."""

    def __init__(self) -> None:
        self.snapshots: dict[str, Snapshot] = {}
        self.rows: dict[str, StoredPool] = {}
        self.asked: list[str] = []
        self.before_accounts: dict[str, dict[str, Any]] = {}

    async def keep(self, snapshots: Collection[Snapshot]) -> None:
        for each in snapshots:
            self.snapshots[each.address] = each
            self.rows[each.address] = StoredPool(
                each.address, each.slot, 1, None, each.venue, each.mint_0, each.mint_1, each.live, 0.0
            )

    def change(self, address: str, **changes: Any) -> None:
        self.rows[address] = msgspec.structs.replace(self.rows[address], **changes)

    async def between(self, mints: Collection[str]) -> list[StoredPool]:
        return await self.named(self.rows)

    async def named(self, addresses: Collection[str]) -> list[StoredPool]:
        return [self.rows[address] for address in sorted(addresses)]

    async def accounts(self, addresses: Collection[str]) -> list[tuple[StoredPool, str]]:
        for address, changes in self.before_accounts.items():
            self.change(address, **changes)
        self.asked += addresses
        found = {address: b",".join(map(bytes, self.snapshots[address].accounts)).decode() for address in addresses}
        return [(self.rows[address], f"[{documents}]") for address, documents in found.items()]


class Reading:
    """Counts how often pools are read from accounts."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def reader(self, program: Any) -> Any:
        def read(address: str, accounts: dict[str, Account]) -> Pool:
            self.read.append(address)
            pool: Pool = program.read(address, accounts)
            return pool

        return read


@pytest.fixture
async def store() -> Store:
    store = Store()
    await store.keep(pools_in(SANDBOX).snapshots)
    return store


@pytest.fixture
def reading() -> Reading:
    return Reading()


@pytest.fixture
def shelved(store: Store, reading: Reading) -> Shelf:
    return Shelf(store, {program.venue: reading.reader(program) for program in PROGRAMS})


async def test_a_pool_is_decoded_once_and_so_is_each_of_its_versions(
    store: Store, shelved: Shelf, reading: Reading
) -> None:
    first = await shelved.named(store.rows)
    curves = [pool.curve(True, NOW) for pool in first.values()]
    again = await shelved.named(store.rows)
    assert sorted(reading.read) == sorted(store.rows)
    assert all(again[address].pool is first[address].pool for address in first)
    assert all(pool.curve(True, NOW) is curve for pool, curve in zip(again.values(), curves, strict=True))
    address = min(first)
    _, after = first[address].pool.swap(10**6, True, NOW)
    store.change(address, version=2, state=after.state().decode())
    assert (await shelved.named([address]))[address].pool == after
    assert sorted(reading.read) == sorted(store.rows)


async def test_a_pool_whose_accounts_are_replaced_between_two_reads_is_shown_as_it_is_then(
    store: Store, shelved: Shelf
) -> None:
    address = min(store.rows)
    before = (await shelved.named([address]))[address]
    _, filled = before.pool.swap(10**6, True, NOW)
    # Seen with a fill on accounts that are not at hand, and by the time that those are asked for they are newer still.
    store.change(address, version=3, slot=8, state=filled.state().decode())
    store.before_accounts = {address: {"version": 4, "slot": 9, "state": None}}
    now = (await shelved.named([address]))[address]
    assert (now.stored.version, now.stored.slot) == (4, 9)
    assert now.pool == before.pool
    assert now.pool is not before.pool


async def test_a_pool_that_was_forgotten_and_found_again_is_shown_with_its_new_accounts(
    store: Store, shelved: Shelf, reading: Reading
) -> None:
    address = min(store.rows)
    before = (await shelved.named([address]))[address]
    # The first of its versions, as before.
    store.change(address, slot=9)
    assert (await shelved.named([address]))[address].pool is not before.pool
    assert reading.read == [address, address]


async def test_a_shelf_keeps_few_pools_and_yet_shows_all(
    store: Store, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "MOST", 3)
    shelved = Shelf(store, {program.venue: reading.reader(program) for program in PROGRAMS})
    for _ in range(2):
        assert sorted(await shelved.named(store.rows)) == sorted(store.rows)
    # The last three were still there.
    assert len(reading.read) == 2 * len(store.rows) - 3


async def test_a_directory_is_stored_once_a_container(store: Store) -> None:
    class Counting(Store):
        kept = 0

        async def keep(self, snapshots: Collection[Snapshot]) -> None:
            self.kept += 1
            await super().keep(snapshots)

    counting = Counting()
    source = DirectoryPools(SANDBOX, counting)
    await asyncio.gather(*(source.fresh([]) for _ in range(5)))
    assert counting.kept == 1
    assert counting.rows.keys() == store.rows.keys()

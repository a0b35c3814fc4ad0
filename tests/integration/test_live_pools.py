"""The pool market on a node's RPC: which pools are found, when they are read, and what is quoted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.bootstrap import pool_market
from chalicelib.domain import base58
from chalicelib.domain.errors import ConfigurationError, QuoteUnavailable
from chalicelib.domain.token import Token
from chalicelib.settings import Settings
from chalicelib.solana import address
from chalicelib.venues.meteora import state as meteora
from chalicelib.venues.raydium import state as raydium
from tests.integration.live import METEORA, MUCH, RAYDIUM, Container, container, pools_of
from tests.integration.node import EPOCH, SLOT, TIMESTAMP, Node
from tests.integration.paper import BONK, SOL, USDC


def addresses(calls: Sequence[list[Any]]) -> list[set[str]]:
    return [set(params[0]) for params in calls]


@pytest.mark.parametrize(("sold", "bought"), [(SOL, USDC), (USDC, SOL), (BONK, USDC), (SOL, BONK)])
async def test_a_route_is_that_of_the_same_accounts_from_a_directory(
    market: Container, database_url: str, sold: Token, bought: Token
) -> None:
    amount = 10**4 * 10**sold.decimals
    live = await market.found(sold, bought, amount)
    async with container(database_url, "") as other:
        assert (await other.quote(sold, bought, amount)).legs == live.legs


async def test_pools_are_found_once_and_read_in_one_call_with_the_chains_clock(market: Container, node: Node) -> None:
    await market.quote()
    assert len(node.called("getProgramAccounts")) == 4
    # The pools' own accounts name the others.
    first, second = addresses(node.called("getMultipleAccounts"))
    assert first == {address.CLOCK, *RAYDIUM, *METEORA}
    assert first < second
    for pool in RAYDIUM:
        assert {pool, *raydium.parts(node.accounts[pool])} < second
    for pool in METEORA:
        assert {pool, *meteora.parts(node.accounts[pool])} < second

    await market.later()
    await market.quote()
    (again,) = node.called("getMultipleAccounts")
    assert set(again[0]) == second
    assert again[1]["minContextSlot"] == SLOT
    assert node.called("getProgramAccounts") == []

    await market.later(300)
    node.slot += 750
    await market.quote()
    assert len(node.called("getProgramAccounts")) == 4


async def test_pools_that_were_just_read_are_not_read_again(
    market: Container, node: Node, database_url: str, node_url: str
) -> None:
    await market.quote()
    node.calls = []
    await market.quote(amount=MUCH)
    assert node.calls == []
    await market.later(0.9)
    await market.quote()
    assert node.calls == []
    async with container(database_url, node_url) as other:
        # It has to find the pools, and to learn the time.
        await other.quote()
        node.calls = []
        await other.later()
        node.slot += 3
        await market.later(0)
        await other.quote()
        assert len(node.called("getMultipleAccounts")) == 1
        # What the other container read serves this one.
        market.clock.passed += 1.5
        await market.quote()
    assert node.calls == []


async def test_a_node_that_stands_still_is_not_asked_at_each_quote(market: Container, node: Node) -> None:
    await market.quote()
    await market.later(2)
    await market.quote()
    node.calls = []
    await market.quote()
    assert node.calls == []


async def test_a_pool_that_is_gone_is_not_named_for_ever(market: Container, node: Node) -> None:
    await market.quote()
    del node.accounts[RAYDIUM[0]]
    await market.later(300)
    node.slot += 750
    route = await market.quote(amount=MUCH)
    assert RAYDIUM[0] not in pools_of(route)
    assert RAYDIUM[0] not in route.decision


async def test_callers_at_the_same_time_share_what_is_read(market: Container, node: Node) -> None:
    routes = await asyncio.gather(*(market.quote(amount=amount) for amount in (10**9, 10**10, MUCH) * 5))
    assert len({route.chosen.amount_out for route in routes}) == 3
    assert len(node.called("getProgramAccounts")) == 4
    assert len(node.called("getMultipleAccounts")) == 2


async def test_one_of_the_callers_may_leave(market: Container, node: Node) -> None:
    asked = asyncio.Event()
    node.faults = [lambda *_: asked.set()]
    leaving, staying = asyncio.create_task(market.quote()), asyncio.create_task(market.quote())
    await asked.wait()
    leaving.cancel()
    assert (await staying).legs
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert len(node.called("getMultipleAccounts")) == 2


async def test_what_the_chain_does_to_a_pool_shows_in_the_next_quote(market: Container, node: Node) -> None:
    before = await market.quote(amount=MUCH)
    vault = raydium.parts(node.accounts[RAYDIUM[0]])[2]
    node.write(vault, 64, (10**6).to_bytes(8, "little"))
    await market.later()
    node.slot += 1
    after = await market.quote(amount=MUCH)
    assert after.chosen.amount_out < before.chosen.amount_out
    assert RAYDIUM[0] in pools_of(before) - pools_of(after)


async def test_a_pool_whose_price_moved_to_other_arrays_is_read_with_those(market: Container, node: Node) -> None:
    pool = METEORA[1]
    write_active = lambda active: node.write(pool, 76, active.to_bytes(4, "little", signed=True))  # noqa: E731
    active = node.accounts[pool].i32(76)
    # In the lowest of its three arrays.
    write_active(-69 * 70)
    await market.quote()
    node.called("getMultipleAccounts")
    upper = meteora.array_address(pool, -67)
    write_active(active)
    await market.later()
    node.slot += 1
    route = await market.quote(amount=MUCH)
    first, second = addresses(node.called("getMultipleAccounts"))
    assert second - first == {upper}
    assert pool in pools_of(route)


async def test_pairs_with_a_middle_token_are_read_too(market: Container, node: Node) -> None:
    route = await market.quote(BONK, USDC, 10**11)
    assert route.middle == SOL
    # Three pairs, each in both orders, of two programs.
    assert len(node.called("getProgramAccounts")) == 12
    assert {leg.hop for leg in route.legs} == {1, 2}


async def test_of_many_pools_the_deepest_are_traded_with(market: Container, node: Node) -> None:
    pool = node.accounts[RAYDIUM[0]]
    copies = []
    for number in range(10):
        own, *vaults = (base58.encode(bytes([number + 1, part]) * 16) for part in range(3))
        data = pool.data[:72] + b"".join(map(address.to_bytes, vaults)) + pool.data[136:]
        node.accounts[own] = replace(pool, pubkey=own, data=data)
        copies.append(own)
        for vault, part in zip(vaults, raydium.parts(pool)[1:3], strict=True):
            node.accounts[vault] = replace(node.accounts[part], pubkey=vault)
            amount = node.accounts[part].u64(64) * (number + 2)
            node.write(vault, 64, amount.to_bytes(8, "little"))
    await market.quote()
    stored = await market.stored()
    assert set(stored) == {*copies[2:], *METEORA}


async def test_the_chains_time_is_that_of_its_clock_and_what_passed_since(market: Container) -> None:
    await market.quote()
    assert market.chain_time() == (read := type(market.chain_time())(slot=SLOT, epoch=EPOCH, timestamp=TIMESTAMP))
    market.clock.passed += 2.5
    assert market.chain_time() == replace(read, slot=SLOT + 6, timestamp=TIMESTAMP + 2)


async def test_a_snapshot_never_replaces_a_newer_one(
    market: Container, node: Node, database_url: str, node_url: str
) -> None:
    before = await market.quote(amount=MUCH)
    # Another container asks a node that lags behind.
    node.slot -= 40
    vault = raydium.parts(node.accounts[RAYDIUM[0]])[2]
    node.write(vault, 64, (10**6).to_bytes(8, "little"))
    await market.later()
    async with container(database_url, node_url) as other:
        assert (await other.quote(amount=MUCH)).legs == before.legs
    assert {slot for slot, _ in (await market.stored()).values()} == {SLOT}


async def test_pools_of_a_directory_are_not_taken_for_the_chains(database_url: str, node_url: str, node: Node) -> None:
    async with container(database_url, "") as directory:
        await directory.quote()
        assert not any(live for _, live in (await directory.stored()).values())
    del node.accounts[RAYDIUM[0]]
    # Whatever the slot, which a directory need not know.
    async with container(database_url, node_url, pool_most_slots=10**12) as live:
        route = await live.quote(amount=MUCH)
        stored = await live.stored()
    assert RAYDIUM[0] not in pools_of(route)
    assert {pool: stored[pool] for pool in (RAYDIUM[1], *METEORA)} == dict.fromkeys(
        (RAYDIUM[1], *METEORA), (SLOT, True)
    )


async def test_tokens_that_no_pool_trades_are_told(market: Container, node: Node) -> None:
    unknown = Token("NOBODY", 9, base58.encode(b"\7" * 32))
    for _ in range(2):
        with pytest.raises(QuoteUnavailable, match="no pool trades"):
            await market.quote(SOL, unknown)
    # That there are none is remembered.
    assert len(node.called("getProgramAccounts")) == 4
    with pytest.raises(QuoteUnavailable, match="no pool trades"):
        await market.quote(SOL, Token("SYMBOL", 9))


def test_a_url_that_is_none_is_refused() -> None:
    given = Settings(database_url="postgresql://", solana_rpc_url="https://user:secret@host/")
    with pytest.raises(ConfigurationError, match=r"^SOLANA_RPC_URL: "):
        pool_market(given, None, clock=None, entropy=None)  # type: ignore[arg-type]

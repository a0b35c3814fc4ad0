"""The pool market on a node's RPC: a quote never uses state older than the settings allow, in slots and in seconds."""

import random
from typing import Any

import psycopg
import pytest
from aiohttp import web

from chalicelib.domain.errors import QuoteUnavailable, StaleState
from chalicelib.solana.clock import Clock
from chalicelib.store.pools import Pools
from tests.integration.live import ALL, METEORA, MUCH, Container, container, pools_of
from tests.integration.node import SLOT, Node, answer, of, refusal
from tests.integration.paper import BONK, SOL, USDC

NOW = Clock(slot=SLOT, epoch=0, timestamp=0)


def advance(database_url: str, seconds: float) -> None:
    """The database's time goes on."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION engine_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE "
            f"RETURN statement_timestamp() + interval '{seconds} seconds'"
        )


async def test_the_time_that_an_answer_took_is_part_of_the_age(
    market: Container, node: Node, database_url: str
) -> None:
    times = iter((11, 22, 33))
    node.faults = [
        lambda _, method, __: advance(database_url, next(times)) if method == "getMultipleAccounts" else None
    ]
    with pytest.raises(QuoteUnavailable, match=r"it was read 1\d\.\d s ago"):
        await market.quote()


async def test_the_time_that_storing_took_is_part_of_the_age(
    market: Container, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Pools.keep

    async def late(self: Pools, *given: Any) -> None:
        advance(database_url, 11)
        await keep(self, *given)

    monkeypatch.setattr(Pools, "keep", late)
    with pytest.raises(QuoteUnavailable, match=r"it was read 1\d\.\d s ago"):
        await market.quote()


async def test_pools_that_grow_too_old_while_others_are_waited_for_are_not_quoted(market: Container) -> None:
    pools = await market.ask()
    assert {pool.address for pool in pools} == ALL
    market.clock.passed += 9
    for pool in pools:
        assert pool.curve(True, NOW).amount_out(10**6)
    market.clock.passed += 1
    for pool in pools:
        with pytest.raises(StaleState):
            pool.curve(True, NOW)
        with pytest.raises(StaleState):
            pool.fill(10**6, True, NOW)


async def test_pools_are_not_quoted_where_the_chains_time_is_not_known(
    market: Container, node: Node, database_url: str, node_url: str
) -> None:
    await market.quote()
    node.faults = [of("getMultipleAccounts", lambda: web.Response(status=502))]
    assert (await market.quote()).legs
    async with container(database_url, node_url) as other:
        with pytest.raises(QuoteUnavailable, match=r"the chain's time is not known; Solana RPC: .*status 502"):
            await other.quote()


async def test_a_node_that_stands_still_makes_pools_grow_old(market: Container) -> None:
    await market.quote()
    await market.later(10.5)
    with pytest.raises(QuoteUnavailable, match=r"it was read 1\d\.\d s ago, 0 slots behind"):
        await market.quote()


@pytest.mark.parametrize(("slots", "fresh"), [(150, True), (151, False)])
async def test_age_counts_in_slots_too(market: Container, node: Node, slots: int, fresh: bool) -> None:
    await market.quote()
    # Only the other pair can be read now, which shows how far the chain is.
    node.faults = [lambda _, __, params: web.Response(status=403) if METEORA[0] in params[0] else None]
    node.slot += slots
    await market.quote(SOL, BONK)
    await market.later()
    if fresh:
        assert pools_of(await market.quote(SOL, USDC, MUCH)) <= ALL
    else:
        with pytest.raises(QuoteUnavailable, match=r"ago, 151 slots behind; Solana RPC: status 403"):
            await market.quote(SOL, USDC, MUCH)


async def test_the_limits_are_settings(database_url: str, node_url: str, node: Node) -> None:
    async with container(database_url, node_url, pool_most_seconds=100.0, pool_most_slots=3) as market:
        await market.quote()
        await market.later(60)
        node.faults = [lambda *_: web.Response(status=500)]
        await market.quote()
        await market.later(60)
        with pytest.raises(QuoteUnavailable, match=r"it was read 12\d"):
            await market.quote()
        node.faults = []
        node.slot += 1
        await market.quote()
        node.faults = [lambda _, __, params: web.Response(status=403) if METEORA[0] in params[0] else None]
        node.slot += 4
        await market.later()
        await market.quote(SOL, BONK)
        with pytest.raises(QuoteUnavailable, match=r"ago, 4 slots behind"):
            await market.quote()


class Chain:
    """What a node served, and at which of the container's moments the chain was last at each slot."""

    def __init__(self, node: Node, market: Container) -> None:
        self.node, self.market = node, market
        self.served = 0
        self.left: dict[int, float] = {}
        node.faults = [self.note]

    def note(self, _: web.Request, method: str, params: list[Any]) -> web.StreamResponse | None:
        if method == "getMultipleAccounts" and params[1].get("minContextSlot", 0) <= self.node.slot:
            self.served = max(self.served, self.node.slot)
        return None

    def at(self, slot: int) -> None:
        self.left[self.node.slot] = self.market.clock.passed
        self.node.slot = slot

    def check(self, slot: int) -> None:
        """A pool of this slot may be quoted now."""
        assert self.served - slot <= 150
        # A slot that the chain is still at is read anew, or is not: it grows old from when it was first seen.
        assert self.market.clock.passed - self.left.get(slot, self.market.clock.passed) <= 10


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_no_quote_uses_older_state(market: Container, node: Node, seed: int) -> None:
    """The node falls behind, goes back, stands still, refuses and lies; quotes come of what is young, or not at all."""
    draw = random.Random(seed)
    chain = Chain(node, market)
    newest, quoted, refused = SLOT, 0, 0
    for _ in range(40):
        passed = draw.choice((0.3, 1.1, 1.1, 3.0, 8.0))
        await market.later(passed)
        newest += int(passed / 0.4)
        faults = [
            lambda *_: web.Response(status=502),
            lambda *_: refusal(-32005, "node is behind"),
            lambda *_: web.Response(text="{"),
            lambda _, __, params: web.Response(status=403) if METEORA[0] in params[0] else None,
            of("getMultipleAccounts", lambda: answer({"context": {"slot": 2**50}, "value": []})),
        ]
        node.faults = [draw.choice(faults), chain.note] if draw.random() < 0.5 else [chain.note]
        chain.at(draw.choice((newest, newest, node.slot, newest - 5, newest - 200)))
        node.keeps_to_least_slot = draw.random() < 0.7
        sold, bought = draw.choice(((SOL, USDC), (USDC, SOL), (SOL, BONK), (BONK, USDC)))
        try:
            route = await market.quote(sold, bought, 10**8)
        except QuoteUnavailable:
            refused += 1
            continue
        quoted += 1
        stored = await market.stored()
        for pool in pools_of(route):
            chain.check(stored[pool][0])
    assert quoted > 5
    assert refused > 5

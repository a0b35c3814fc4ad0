"""The pool market on a node that fails: what is quoted all the same, and what is told of the rest."""

import asyncio
from base64 import b64encode
from collections.abc import Callable

import pytest
from aiohttp import web

from chalicelib.domain.errors import QuoteUnavailable, RpcUnavailable
from chalicelib.solana import address
from chalicelib.solana.rpc import MOST_REPLY
from chalicelib.store.pools import KEEP_SECONDS
from chalicelib.venues.meteora import state as meteora
from chalicelib.venues.pools import loading
from chalicelib.venues.pools.time import MOST_JUMP
from chalicelib.venues.raydium import state as raydium
from tests.integration.live import ALL, METEORA, MUCH, RAYDIUM, Container, container, pools_of
from tests.integration.node import KEY, SLOT, Fault, Node, answer, of, refusal, running
from tests.integration.paper import BONK, SOL, USDC


def resets(request: web.Request, _: str, __: object) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


class Stream(web.StreamResponse):
    """Never comes."""

    async def prepare(self, request: web.BaseRequest) -> None:
        await asyncio.Event().wait()


class Drip(web.StreamResponse):
    """Goes on coming, a byte at a time."""

    async def prepare(self, request: web.BaseRequest) -> None:
        await super().prepare(request)
        while True:
            await self.write(b" ")
            await asyncio.sleep(0.01)


def responds(make: Callable[[], web.StreamResponse]) -> Fault:
    return lambda _, __, ___: make()


FAULTS: dict[str, Fault] = {
    "500": responds(lambda: web.Response(status=500, text="oops")),
    "429": responds(lambda: web.Response(status=429)),
    "429, soon": responds(lambda: web.Response(status=429, headers={"Retry-After": "0"})),
    "malformed": responds(lambda: web.Response(text="{")),
    "nested": responds(lambda: web.Response(text="[" * 50_000)),
    "huge": responds(lambda: web.Response(body=b" " * (MOST_REPLY + 1))),
    "other shape": responds(lambda: answer({"context": {}, "value": "none"})),
    "behind": responds(lambda: refusal(-32005, "node is behind by 42 slots")),
    "resets": resets,
}
LASTING: dict[str, Fault] = FAULTS | {
    "429, late": responds(lambda: web.Response(status=429, headers={"Retry-After": "30"})),
    "403": responds(lambda: web.Response(status=403, text=KEY)),
    "silent": responds(Stream),
    "drips": responds(Drip),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_that_passes_is_not_noticed(market: Container, node: Node, fault: Fault) -> None:
    def once(request: web.Request, method: str, params: list[object]) -> web.StreamResponse | None:
        node.faults.clear()
        return fault(request, method, params)

    node.faults = [once]
    route = await market.quote(amount=MUCH)
    assert pools_of(route) <= ALL
    await market.later()
    node.faults = [once]
    assert (await market.quote(amount=MUCH)).legs == route.legs


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
async def test_pools_are_quoted_until_they_are_too_old_and_then_named(
    market: Container, node: Node, fault: Fault
) -> None:
    before = await market.quote(amount=MUCH)
    node.faults = [fault]
    await market.later(2)
    assert (await market.quote(amount=MUCH)).legs == before.legs
    await market.later(9)
    with pytest.raises(QuoteUnavailable) as told:
        await market.quote(amount=MUCH)
    for pool in ALL:
        assert f"{pool}: it was read " in str(told.value)
    assert "s ago, 0 slots behind; Solana RPC: " in str(told.value)
    assert KEY not in str(told.value)
    assert "127.0.0.1:" not in str(told.value)
    if fault is not LASTING["429, late"]:
        node.faults = []
        node.slot += 1
        assert (await market.quote(amount=MUCH)).legs == before.legs


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
async def test_a_node_that_never_answers_well_is_told_once(market: Container, node: Node, fault: Fault) -> None:
    node.faults = [fault]
    with pytest.raises(RpcUnavailable, match=r"^Solana RPC: ") as told:
        await market.quote()
    assert str(told.value).count("Solana RPC") == 1
    assert KEY not in str(told.value)


async def test_nobody_there_is_told(database_url: str, node: Node) -> None:
    async with running(node) as gone:
        pass
    async with container(database_url, gone) as market:
        with pytest.raises(RpcUnavailable, match=r"^Solana RPC: "):
            await market.quote()


@pytest.mark.parametrize(
    ("breaks", "why"),
    [
        (lambda node: node.change(RAYDIUM[0], owner=address.TOKEN_PROGRAM), "its owner is"),
        (lambda node: node.change(RAYDIUM[0], data=node.accounts[RAYDIUM[0]].data[:636]), "it has 636 bytes"),
        (lambda node: node.write(RAYDIUM[0], 0, b"\0" * 8), "it is no PoolState"),
        (lambda node: node.accounts.pop(RAYDIUM[0]), "has not been loaded"),
        (lambda node: node.accounts.pop(raydium.parts(node.accounts[RAYDIUM[0]])[1]), "has not been loaded"),
        (lambda node: node.change(raydium.parts(node.accounts[RAYDIUM[0]])[1], data=b"short"), "it has 5 bytes"),
        (lambda node: node.change(raydium.parts(node.accounts[RAYDIUM[0]])[0], owner=address.SYSVARS), "its owner is"),
    ],
    ids=["owner", "length", "discriminator", "no pool", "no vault", "short vault", "owner of the fees"],
)
async def test_a_pool_with_a_broken_account_is_left_out_and_named_without_its_neighbours(
    market: Container, node: Node, breaks: Callable[[Node], object], why: str
) -> None:
    """It was found whole, and has broken since."""
    assert RAYDIUM[0] in pools_of(await market.quote(amount=MUCH))
    breaks(node)
    await market.later(10)
    node.slot += 1
    route = await market.quote(amount=MUCH)
    assert RAYDIUM[0] not in pools_of(route)
    assert {METEORA[0], METEORA[1]} & pools_of(route)
    assert f"{RAYDIUM[0]}: it was read 1" in route.decision
    assert why in route.decision
    assert RAYDIUM[1] not in route.decision


async def test_a_pool_that_was_never_whole_is_named_too(market: Container, node: Node) -> None:
    array = meteora.array_address(METEORA[0], -28)
    node.write(array, 0, b"\0" * 8)
    route = await market.quote(amount=MUCH)
    assert METEORA[0] not in pools_of(route)
    assert f"{METEORA[0]}: account {array}: it is no BinArray" in route.decision
    assert set(await market.stored()) == ALL - {METEORA[0]}


async def test_chunks_of_several_slots_are_asked_for_again(
    market: Container, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await market.quote()
    monkeypatch.setattr(loading, "MOST_ACCOUNTS", 12)
    await market.later()
    node.called("getMultipleAccounts")
    node.slots = [SLOT + 1, SLOT + 2]
    node.slot = SLOT + 2
    await market.quote()
    calls = node.called("getMultipleAccounts")
    assert [len(params[0]) for params in calls] == [12, 12, 12, 12]
    # Nor may they go back behind the later one.
    assert [params[1]["minContextSlot"] for params in calls] == [SLOT, SLOT, SLOT + 2, SLOT + 2]
    assert {slot for slot, _ in (await market.stored()).values()} == {SLOT + 2}


async def test_chunks_that_never_come_of_one_slot_are_not_used(
    market: Container, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await market.quote()
    monkeypatch.setattr(loading, "MOST_ACCOUNTS", 12)
    await market.later(11)
    node.slots = [SLOT + number for number in range(1, 200)]
    with pytest.raises(QuoteUnavailable, match="accounts came of slot"):
        await market.quote()
    assert {slot for slot, _ in (await market.stored()).values()} == {SLOT}


@pytest.mark.parametrize("honest", [True, False])
async def test_a_node_that_goes_back_is_not_believed(market: Container, node: Node, honest: bool) -> None:
    before = await market.quote(amount=MUCH)
    node.slot -= 5
    node.keeps_to_least_slot = honest
    node.write(raydium.parts(node.accounts[RAYDIUM[0]])[2], 64, (10**6).to_bytes(8, "little"))
    await market.later()
    assert (await market.quote(amount=MUCH)).legs == before.legs
    await market.later(10)
    with pytest.raises(QuoteUnavailable, match="Minimum context slot" if honest else "not all of one from"):
        await market.quote(amount=MUCH)


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
async def test_a_slot_that_the_chain_cannot_have_reached_is_not_believed(
    market: Container, node: Node, database_url: str, node_url: str, cold: bool
) -> None:
    before = await market.quote(amount=MUCH)
    await market.later(8)
    async with container(database_url, node_url) as other:
        asking = other if cold else market
        # In 8 seconds as many as 40 slots, and what it may jump. What is stored grows older while the test runs.
        node.slots = [SLOT + 40 + MOST_JUMP + (1000 if cold else 1)] * 2
        assert (await asking.quote(amount=MUCH)).legs == before.legs
        assert max(slot for slot, _ in (await market.stored()).values()) < SLOT + MOST_JUMP
        await asking.later(8)
        node.slot = 2**60
        with pytest.raises(QuoteUnavailable, match=r"Solana RPC: a broken node, it is at slot \d+, and the chain at "):
            await asking.quote(amount=MUCH)
        assert {slot for slot, _ in (await market.stored()).values()} == {SLOT}
        # The last that was believed was read 8 seconds and a bit ago.
        node.slot = SLOT + 40 + MOST_JUMP
        await asking.later()
        assert (await asking.quote(amount=MUCH)).legs == before.legs


async def test_a_wrong_slot_that_nothing_speaks_against_is_not_believed_for_ever(
    market: Container, node: Node, database_url: str, node_url: str
) -> None:
    node.slot = 2**60
    before = await market.quote(amount=MUCH)
    node.slot = SLOT
    await market.later(59)
    with pytest.raises(QuoteUnavailable, match="Minimum context slot"):
        await market.quote(amount=MUCH)
    await market.later(2)
    # Its pools are what they were, and others are read.
    with pytest.raises(QuoteUnavailable, match="it was read 61"):
        await market.quote(amount=MUCH)
    assert (await market.quote(SOL, BONK)).legs
    assert market.chain_time().slot == SLOT
    await market.later(KEEP_SECONDS)
    await market.sweep()
    assert (await market.quote(amount=MUCH)).legs == before.legs


async def test_stored_pools_serve_where_none_can_be_searched_for(
    market: Container, node: Node, database_url: str, node_url: str
) -> None:
    before = await market.quote(amount=MUCH)
    node.faults = [of("getProgramAccounts", lambda: refusal(-32010, "excluded from account secondary indexes"))]
    node.slot += 400
    await market.later(100)
    async with container(database_url, node_url) as other:
        assert (await other.quote(amount=MUCH)).legs == before.legs
        # It is not searched for at each quote.
        node.called("getProgramAccounts")
        await other.later()
        await other.quote()
        assert node.called("getProgramAccounts") == []


async def test_a_program_whose_pools_cannot_be_found_is_named_and_the_other_quotes(
    market: Container, node: Node
) -> None:
    fault: Fault = lambda _, __, params: web.Response(status=403) if params[0] == meteora.PROGRAM else None  # noqa: E731
    node.faults = [fault]
    route = await market.quote(amount=MUCH)
    assert pools_of(route) <= set(RAYDIUM)
    assert f"Meteora's pools of {USDC.mint} and {SOL.mint}: Solana RPC: status 403" in route.decision
    # It is searched for again soon, and what was found before serves meanwhile.
    await market.later(15)
    node.slot += 1
    node.faults = []
    assert set(METEORA) & pools_of(await market.quote(amount=MUCH))
    await market.later(300)
    node.slot += 1
    node.faults = [fault]
    assert set(METEORA) & pools_of(await market.quote(amount=MUCH))


async def test_a_pair_that_cannot_be_read_does_not_stop_another(market: Container, node: Node) -> None:
    node.faults = [
        lambda _, method, params: (
            web.Response(status=403) if method == "getProgramAccounts" and BONK.mint in str(params) else None
        )
    ]
    route = await market.quote(SOL, USDC)
    assert pools_of(route) <= ALL
    with pytest.raises(QuoteUnavailable, match="Raydium's pools of BONK and SOL: Solana RPC: status 403"):
        await market.quote(BONK, USDC, 10**11)


@pytest.mark.parametrize("clock", [None, b"", b"\0" * 39], ids=["none", "empty", "short"])
async def test_without_the_chains_clock_nothing_is_quoted(market: Container, node: Node, clock: bytes | None) -> None:

    def without(_: web.Request, method: str, params: list[list[str]]) -> web.Response | None:
        if method != "getMultipleAccounts":
            return None
        contents = (
            {"data": [b64encode(clock).decode(), "base64"], "owner": address.SYSVARS} if clock is not None else None
        )
        return answer(
            {"context": {"slot": SLOT}, "value": [contents if each == address.CLOCK else None for each in params[0]]}
        )

    node.faults = [without]
    with pytest.raises(QuoteUnavailable, match=r"Solana RPC: (the chain's clock is not there|account Sysvar)"):
        await market.quote()
    assert await market.stored() == {}

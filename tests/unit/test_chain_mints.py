"""Mints that no stored pool trades: how often a node is asked for them, and what becomes of what it says."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from chalicelib.domain import base58
from chalicelib.domain.clock import SystemClock
from chalicelib.domain.errors import RpcUnavailable, Unavailable
from chalicelib.solana import address
from chalicelib.solana.account import Account
from chalicelib.solana.rpc import MOST_ACCOUNTS, Window
from chalicelib.venues.pools import mints
from chalicelib.venues.pools.mints import ABSENT_SECONDS, FOUND_SECONDS, ChainMints


def key(number: int) -> str:
    return base58.encode(number.to_bytes(32, "big"))


def mint(number: int, decimals: int, owner: str = address.TOKEN_PROGRAM, more: bytes = b"") -> Account:
    return Account(key(number), owner, b"\0" * 44 + bytes([decimals, 1]) + b"\0" * 36 + more)


MINT, OTHER = key(1), key(2)


class Node(SystemClock):
    """A node whose accounts a test changes, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.there = {MINT: mint(1, 3)}
        self.asked: list[list[str]] = []
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.mints = ChainMints(self, self)

    def monotonic(self) -> float:
        return self.seconds

    async def accounts(
        self, addresses: Sequence[str], until: float, *, least_slot: int = 0, window: Window | None = None
    ) -> tuple[int, dict[str, Account | None]]:
        self.asked.append(list(addresses))
        await self.gate.wait()
        if self.down:
            raise RpcUnavailable("Solana RPC: status 502")
        return 7, {each: self.there.get(each) for each in addresses}

    async def program_accounts(
        self, program: str, until: float, *, size: int, parts: Mapping[int, str], window: Window
    ) -> list[Account]:
        raise AssertionError


async def test_a_mint_is_asked_for_once_in_a_while_and_an_absent_one_sooner() -> None:
    node = Node()
    for _ in range(2):
        assert await node.mints.decimals([MINT, OTHER]) == {MINT: 3}
    assert node.asked == [[MINT, OTHER]]
    node.there[OTHER] = mint(2, 0)
    node.seconds = ABSENT_SECONDS
    assert await node.mints.decimals([OTHER, MINT]) == {MINT: 3, OTHER: 0}
    assert node.asked[1:] == [[OTHER]]
    node.there[MINT] = mint(1, 4)
    node.seconds = FOUND_SECONDS - 1
    assert await node.mints.decimals([MINT]) == {MINT: 3}
    node.seconds = FOUND_SECONDS
    assert await node.mints.decimals([MINT]) == {MINT: 4}


PADDED = b"\0" * 83 + b"\1"


@pytest.mark.parametrize(
    ("account", "found"),
    [
        (mint(1, 255), {MINT: 255}),
        (mint(1, 6, address.TOKEN_2022_PROGRAM), {MINT: 6}),
        (mint(1, 6, address.TOKEN_2022_PROGRAM, PADDED), {MINT: 6}),
        # A token account of either program.
        (mint(1, 6, more=b"\0" * 83), {}),
        (mint(1, 6, address.TOKEN_2022_PROGRAM, b"\0" * 83 + b"\2"), {}),
        (mint(1, 6, address.SYSVARS), {}),
        (Account(MINT, address.TOKEN_PROGRAM, b"\1" * 81), {}),
        (Account(MINT, address.TOKEN_PROGRAM, b""), {}),
        (Account(MINT, address.TOKEN_PROGRAM, b"\0" * 82), {}),
    ],
)
async def test_what_is_no_mint_is_none(account: Account, found: dict[str, int]) -> None:
    node = Node()
    node.there[MINT] = account
    assert await node.mints.decimals([MINT]) == found


async def test_a_node_that_cannot_say_is_not_taken_for_an_answer() -> None:
    node = Node()
    node.down = True
    with pytest.raises(Unavailable, match=rf"^whether {MINT} are mints is not known: Solana RPC: status 502$"):
        await node.mints.decimals([MINT])
    node.down = False
    assert await node.mints.decimals([MINT]) == {MINT: 3}


async def test_whoever_asks_meanwhile_shares_the_next_call() -> None:
    node = Node()
    node.gate.clear()
    first = asyncio.create_task(node.mints.decimals([MINT]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(node.mints.decimals([key(number)])) for number in range(2, MOST_ACCOUNTS + 3)]
    twice = asyncio.create_task(node.mints.decimals([OTHER]))
    await asyncio.sleep(0)
    node.gate.set()
    await asyncio.gather(first, twice, *others)
    # No call is for more than a node gives, and none is for what another asked already.
    assert [len(call) for call in node.asked] == [1, MOST_ACCOUNTS, 1]


async def test_a_node_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mints, "ASKING_SECONDS", 0.01)
    node = Node()
    node.gate.clear()
    with pytest.raises(Unavailable, match="no answer in time"):
        await node.mints.decimals([MINT])


async def test_few_answers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mints, "MOST_KNOWN", 2)
    node = Node()
    for number in (1, 2, 3, 1):
        await node.mints.decimals([key(number)])
    assert node.asked == [[MINT], [OTHER], [key(3)], [MINT]]

"""Which pools of the chain trade two tokens for each other."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from chalicelib.domain import base58
from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import RpcUnavailable
from chalicelib.solana.account import Account, discriminator
from chalicelib.solana.address import BYTES
from chalicelib.solana.rpc import MOST_ACCOUNTS, Window, together
from chalicelib.venues.pools.programs import Program

# Two mints, in the order of their texts.
Pair = tuple[str, str]

# So many pools of a program are traded with: the deepest. With their parts they just fit into one call.
MOST_POOLS = 8
# The balances of so many are compared.
MOST_COMPARED = 500
# A node may take many seconds to look through all accounts of a program.
SEARCH_SECONDS = 20.0
# A pair's pools are searched for anew after so long; where that failed after a shorter time, the last one where none
# are known.
AGAIN_SECONDS = 300.0
AGAIN_FAILED_SECONDS = 15.0
AGAIN_UNKNOWN_SECONDS = 1.0
# Where a token account has its amount.
_AMOUNT = Window(64, 8)


class Node(Protocol):
    """Where accounts are asked for. Raises RpcUnavailable by `until`, a time of the loop."""

    async def accounts(
        self, addresses: Sequence[str], until: float, *, least_slot: int = 0, window: Window | None = None
    ) -> tuple[int, dict[str, Account | None]]:
        """At most 100 accounts and the slot that they are of, by address; None where there is none."""
        ...

    async def program_accounts(
        self, program: str, until: float, *, size: int, parts: Mapping[int, str], window: Window
    ) -> list[Account]:
        """The accounts of a program that have this size, and at these offsets these bytes, in base58."""
        ...


class Search:
    """The search for a program's pools of a pair: it may take longer than anybody waits, and goes on without them.

    `pools` are their addresses, None while they are not known; `error` says why they may be others.
    """

    def __init__(self, node: Node, program: Program, pair: Pair, clock: Clock) -> None:
        self.pools: Sequence[str] | None = None
        self.error: RpcUnavailable | None = None
        self._node = node
        self._program = program
        self._pair = pair
        self._clock = clock
        self._again_at = float("-inf")
        self._under_way: asyncio.Task[list[str] | RpcUnavailable] | None = None

    async def look(self, stored: Sequence[str], until: float) -> None:
        """Search, if it is time, and until then wait for what that finds. Meanwhile those that are stored will do."""
        if self._clock.monotonic() < self._again_at:
            return
        if self.pools is None and stored:
            self.pools = stored
        search, failed = self._under_way, ""
        if search is not None and search.done() and isinstance(error := search.result(), RpcUnavailable):
            # Perhaps long ago: whoever waits now should not pay for it.
            search, failed = None, f", after: {error}"
        patient = search is None or self.pools is None
        search = self._under_way = search or asyncio.create_task(self._search())
        await asyncio.wait({search}, timeout=max(until - asyncio.get_running_loop().time(), 0) if patient else 0)
        if search.done():
            self._end(search.result())
        else:
            self.error = RpcUnavailable(
                f"Solana RPC: {self._program.venue}'s pools are still being searched for{failed}"
            )

    def _end(self, found: list[str] | RpcUnavailable) -> None:
        self._under_way = None
        if isinstance(found, RpcUnavailable):
            self.error = found
            wait = AGAIN_UNKNOWN_SECONDS if self.pools is None else AGAIN_FAILED_SECONDS
        else:
            self.pools, self.error, wait = found, None, AGAIN_SECONDS
        self._again_at = self._clock.monotonic() + wait

    async def _search(self) -> list[str] | RpcUnavailable:
        """What is found, or why nothing can be: nobody may be there any more whom an error could be raised to."""
        until = asyncio.get_running_loop().time() + SEARCH_SECONDS
        try:
            return await deepest_pools(self._node, self._program, self._pair, until)
        except RpcUnavailable as error:
            return error

    async def close(self) -> None:
        """End what is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait({self._under_way})
            self._under_way = None


async def deepest_pools(node: Node, program: Program, pair: Pair, until: float) -> list[str]:
    """The addresses of a program's deepest pools of a pair. Raises RpcUnavailable."""
    one, other = await together(_vaults(node, program, mints, until) for mints in (pair, pair[::-1]))
    # In each the first vault is of the pair's first mint.
    vaults = {**one, **{address: (y, x) for address, (x, y) in other.items()}}
    compared = sorted(vaults)[:MOST_COMPARED]
    if len(compared) <= MOST_POOLS:
        return compared
    amounts = await _amounts(node, [vault for address in compared for vault in vaults[address]], until)
    held = {address: (amounts[vaults[address][0]], amounts[vaults[address][1]]) for address in compared}
    all_x, all_y = (sum(each[side] for each in held.values()) for side in range(2))
    # By their shares in what all hold of either token: a pool may well hold only one of them.
    return sorted(compared, key=lambda address: (-held[address][0] * all_y - held[address][1] * all_x, address))[
        :MOST_POOLS
    ]


async def _vaults(node: Node, program: Program, mints: Pair, until: float) -> dict[str, tuple[str, str]]:
    """The two vaults of each pool that has these mints as its tokens 0 and 1."""
    marks = {0: base58.encode(discriminator(program.kind)), **dict(zip(program.mints_at, mints, strict=True))}
    found = await node.program_accounts(
        program.address, until, size=program.size, parts=marks, window=Window(program.vaults_at, 2 * BYTES)
    )
    for each in found:
        if each.owner != program.address or len(each.data) != 2 * BYTES:
            # As if there were none, all that is known would be forgotten.
            raise RpcUnavailable(f"Solana RPC: {each.pubkey} came, which was not asked for")
    return {each.pubkey: (each.address(0), each.address(BYTES)) for each in found}


async def _amounts(node: Node, vaults: Sequence[str], until: float) -> dict[str, int]:
    """What token accounts hold; those that are none hold nothing."""
    chunks = [vaults[start : start + MOST_ACCOUNTS] for start in range(0, len(vaults), MOST_ACCOUNTS)]
    found = await together(node.accounts(chunk, until, window=_AMOUNT) for chunk in chunks)
    return {
        vault: int.from_bytes(account.data, "little") if account else 0
        for _, accounts in found
        for vault, account in accounts.items()
    }

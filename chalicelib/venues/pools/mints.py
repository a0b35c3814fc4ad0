"""Mints that the chain has, though no pool that is stored trades them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import MalformedAccount, RpcUnavailable, Unavailable
from chalicelib.solana.account import Account
from chalicelib.solana.mint import Mint
from chalicelib.solana.rpc import MOST_ACCOUNTS, Window, together
from chalicelib.store.gathering import Gathering
from chalicelib.venues.pools.discovery import Node
from chalicelib.venues.pools.recent import Recent

# Whoever posts an order waits for it.
ASKING_SECONDS = 1.5
# A closed mint may come again with other decimals; an address may become one at any moment.
FOUND_SECONDS = 600.0
ABSENT_SECONDS = 10.0
# So many answers are remembered.
MOST_KNOWN = 1000
# All of a mint but for its extensions: the byte behind the padding says that it is one.
_MINT = Window(0, 166)


class _Known(NamedTuple):
    decimals: int | None
    # A time of the holder's monotonic clock.
    until: float


class ChainMints:
    """Looks mints up, one call after the other, and remembers what came of it, for a short time where it was none."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._known: Recent[str, _Known] = Recent(MOST_KNOWN)
        self._asking = Gathering(self._ask)

    async def decimals(self, wanted: Collection[str]) -> Mapping[str, int]:
        """Those of the mints among these addresses. Raises Unavailable where the node can't say."""
        found = {address: self._remembered(address) for address in wanted}
        missing = frozenset(address for address, known in found.items() if known is None)
        if missing:
            try:
                async with asyncio.timeout(ASKING_SECONDS):
                    found |= await self._asking.of(missing)
            except (RpcUnavailable, TimeoutError) as error:
                raise Unavailable(
                    f"whether {' and '.join(missing)} are mints is not known: {str(error) or 'no answer in time'}"
                ) from None
        return {address: known.decimals for address, known in found.items() if known and known.decimals is not None}

    def _remembered(self, address: str) -> _Known | None:
        known = self._known.get(address)
        return known if known and self._clock.monotonic() < known.until else None

    async def _ask(self, wanted: Sequence[frozenset[str]]) -> list[dict[str, _Known]]:
        until = asyncio.get_running_loop().time() + ASKING_SECONDS
        every = sorted(frozenset().union(*wanted))
        chunks = [every[start : start + MOST_ACCOUNTS] for start in range(0, len(every), MOST_ACCOUNTS)]
        replies = await together(self._node.accounts(chunk, until, window=_MINT) for chunk in chunks)
        found = {
            address: self._known.put(address, self._read(account))
            for _, accounts in replies
            for address, account in accounts.items()
        }
        return [{address: found[address] for address in addresses} for addresses in wanted]

    def _read(self, account: Account | None) -> _Known:
        try:
            decimals = Mint.read(account).decimals if account else None
        except MalformedAccount:
            decimals = None
        return _Known(decimals, self._clock.monotonic() + (ABSENT_SECONDS if decimals is None else FOUND_SECONDS))

"""The ledger of paper trades, traded once more: it must explain every pool's state."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import msgspec

from chalicelib.solana.clock import Clock
from chalicelib.store.ledger import Trade
from chalicelib.venues.meteora.pool import DlmmPool
from chalicelib.venues.pool import Pool
from chalicelib.venues.pools.chain import totals
from chalicelib.venues.pools.directory import SANDBOX, accounts_in
from chalicelib.venues.pools.programs import PROGRAMS
from chalicelib.venues.raydium.pool import CpmmPool

POOLS = "SELECT address, version, state::text FROM pools ORDER BY address"
LEDGER = "SELECT tx_id, outcome, amount_in, amount_out, legs::text FROM simulated_swaps ORDER BY tx_id"


class Kept(NamedTuple):
    """A row of POOLS."""

    address: str
    version: int
    state: str | None


class Entry(NamedTuple):
    """A row of LEDGER."""

    tx_id: str
    outcome: str
    amount_in: int | None
    amount_out: int | None
    legs: str | None

    @property
    def trades(self) -> tuple[Trade, ...]:
        """Its legs as they executed, none where it did not."""
        return msgspec.json.decode(self.legs, type=tuple[Trade, ...]) if self.legs else ()


@cache
def shipped() -> Mapping[str, Pool]:
    """The sandbox's pools as they are shipped."""
    accounts = accounts_in(SANDBOX)
    return {
        account.pubkey: program.read(account.pubkey, accounts)
        for account in accounts.values()
        for program in PROGRAMS
        if account.is_a(program.address, program.kind)
    }


def by_pool(ledger: Sequence[Entry]) -> dict[str, list[Trade]]:
    """The legs that landed, by pool and in the order of versions."""
    found: dict[str, list[Trade]] = {}
    for entry in ledger:
        for trade in entry.trades:
            found.setdefault(trade.pool, []).append(trade)
    return {pool: sorted(trades, key=lambda trade: trade.version) for pool, trades in found.items()}


def disagreements(stored: Sequence[Kept], ledger: Sequence[Entry]) -> Iterator[str]:
    """What the ledger and the states of the shipped pools say differently."""
    trades = by_pool(ledger)
    for pool in stored:
        yield from _replayed(pool, shipped()[pool.address], trades.pop(pool.address, []))
    yield from (f"pool {address} trades and is not there" for address in trades)
    for entry in ledger:
        legs = entry.trades
        if (entry.outcome == "succeeded") != bool(legs):
            yield f"transaction {entry.tx_id} has {len(legs)} legs and is {entry.outcome}"
        elif not legs and (entry.amount_in or entry.amount_out):
            yield f"transaction {entry.tx_id} moved {entry.amount_in} and {entry.amount_out} and is {entry.outcome}"
        elif legs and (entry.amount_in, entry.amount_out) != totals(legs):
            yield f"transaction {entry.tx_id} says {entry.amount_in} for {entry.amount_out}, its legs {totals(legs)}"


def _replayed(kept: Kept, pool: Pool, trades: Sequence[Trade]) -> Iterator[str]:
    base = pool
    # Each makes the next version: none is lost, none is made twice.
    if [trade.version for trade in trades] != list(range(2, kept.version + 1)):
        yield f"pool {kept.address} is at version {kept.version} after {[trade.version for trade in trades]}"
        return
    for trade in trades:
        clock = Clock(slot=trade.slot, epoch=trade.epoch, timestamp=trade.timestamp)
        fill, pool = pool.swap(trade.amount_in, pool.mints[0] == trade.mint_in, clock)
        made = fill.amount_in, fill.amount_out, fill.fee_in, fill.fee_out
        if made != (trade.amount_in, trade.amount_out, trade.fee_in, trade.fee_out):
            yield f"pool {kept.address} makes {fill} of {trade}"
        if min(_holds(pool)) < 0:
            yield f"pool {kept.address} has less than nothing: {_holds(pool)}"
    if kept.state is None:
        if trades:
            yield f"pool {kept.address} has no state at version {kept.version}"
    elif not trades or base.resumed(kept.state.encode()) != pool:
        yield f"pool {kept.address} is not in the state that its {len(trades)} trades make"


def _holds(pool: Pool) -> list[int]:
    """All that it has of either token."""
    if isinstance(pool, CpmmPool):
        return [side.reserve for side in pool.sides]
    assert isinstance(pool, DlmmPool)
    bins = pool.snapshot.bins.values()
    return [*pool.snapshot.reserves, *(amount for held in bins for amount in (held.amount_x, held.amount_y))]

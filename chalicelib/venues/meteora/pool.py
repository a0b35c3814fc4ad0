"""A DLMM pool as the engine sees it: quotes, swaps, and what swaps change."""

from typing import Self

import msgspec

from chalicelib.domain.errors import InsufficientLiquidity, MalformedAccount, PoolClosed, ReserveShort, ZeroOutput
from chalicelib.domain.token import U64_MAX
from chalicelib.solana.clock import Clock
from chalicelib.venues.meteora.bins import Bin, Pair, Snapshot
from chalicelib.venues.meteora.curve import DlmmCurve
from chalicelib.venues.meteora.fees import Regime, Volatility
from chalicelib.venues.meteora.walk import Walk, takes_fee_of_input, walk
from chalicelib.venues.pool import Fill

VENUE = "Meteora"


class _State(msgspec.Struct, frozen=True):
    """The form in which a pool's state is kept. A bin is listed as its amounts, in the order of `Bin`."""

    active_id: int
    volatility_accumulator: int
    volatility_reference: int
    index_reference: int
    last_update_timestamp: int
    reserves: tuple[int, int]
    bins: dict[int, tuple[int, int, int, int, int]]


class DlmmPool(msgspec.Struct, frozen=True):
    """A pair in one state. Token 0 is X, token 1 is Y. Implements `Pool`."""

    pair: Pair
    snapshot: Snapshot

    @property
    def address(self) -> str:
        """The pair's account."""
        return self.pair.address

    @property
    def venue(self) -> str:
        """The name of its venue."""
        return VENUE

    @property
    def mints(self) -> tuple[str, str]:
        """X and Y."""
        return self.pair.mints[0].address, self.pair.mints[1].address

    @property
    def decimals(self) -> tuple[int, int]:
        """Of X and Y."""
        return self.pair.mints[0].decimals, self.pair.mints[1].decimals

    def regime(self, clock: Clock) -> Regime:
        """What of the time its curves depend on: one is good while this is the same. Raises PoolClosed."""
        pair = self.pair
        if pair.disabled:
            raise PoolClosed(f"swaps on {pair.address} are disabled")
        if clock.slot < pair.opens_at_slot or clock.timestamp < pair.opens_at_timestamp:
            raise PoolClosed(f"{pair.address} is not open yet")
        references = pair.fees.references(self.snapshot.volatility, self.snapshot.active_id, clock.timestamp)
        x, y = pair.mints
        return Regime(references, (x.transfer_fee(clock.epoch), y.transfer_fee(clock.epoch)))

    def curve(self, zero_for_one: bool, clock: Clock) -> DlmmCurve:
        """What it pays. Raises PoolClosed, or InsufficientLiquidity or IncompleteState where it sells nothing."""
        return DlmmCurve(self.pair, self.snapshot, self.regime(clock), zero_for_one)

    def swap(self, amount_in: int, zero_for_one: bool, clock: Clock) -> tuple[Fill, Self]:
        """Sell exactly so much; also the pool afterwards. Raises PoolRefused."""
        regime = self.regime(clock)
        transfer_in, transfer_out = regime.transfer_fees if zero_for_one else regime.transfer_fees[::-1]
        if amount_in > U64_MAX:
            raise InsufficientLiquidity("an amount has at most 64 bits")
        arrives = amount_in - transfer_in.of(amount_in)
        if arrives <= 0:
            raise ZeroOutput("nothing arrives in the pool")
        walked = walk(self.pair, self.snapshot, regime.references, arrives, zero_for_one)
        received = walked.amount_out - transfer_out.of(walked.amount_out)
        if received <= 0:
            raise ZeroOutput("the input pays less than one unit")
        if arrives > U64_MAX - self.snapshot.reserves[not zero_for_one]:
            raise InsufficientLiquidity("a reserve has at most 64 bits")
        if walked.amount_out > self.snapshot.reserves[zero_for_one]:
            raise ReserveShort(f"{self.address} promises more than its reserve holds")
        fee_in = walked.fee if takes_fee_of_input(self.pair, zero_for_one) else 0
        fill = Fill(amount_in=amount_in, amount_out=received, fee_in=fee_in, fee_out=walked.fee - fee_in)
        return fill, self._walked(walked, regime, arrives, zero_for_one, clock.timestamp)

    def _walked(self, walked: Walk, regime: Regime, arrives: int, zero_for_one: bool, timestamp: int) -> Self:
        """The pool after such a walk."""
        before = self.snapshot
        (x, y), sent = before.reserves, walked.amount_out
        last_update = before.volatility.last_update if walked.active_id == before.active_id else timestamp
        snapshot = Snapshot(
            active_id=walked.active_id,
            volatility=Volatility(walked.accumulator, *regime.references, last_update),
            reserves=(x + arrives, y - sent) if zero_for_one else (x - sent, y + arrives),
            bins={**before.bins, **walked.bins},
        )
        return type(self)(self.pair, snapshot)

    def swap_out(self, amount_out: int, zero_for_one: bool, clock: Clock) -> tuple[Fill, Self]:
        """Buy at least so much, for the least input; also the pool afterwards. Raises PoolRefused."""
        return self.swap(self.curve(zero_for_one, clock).amount_in(amount_out), zero_for_one, clock)

    def state(self) -> bytes:
        """What swaps have changed since the accounts were read, as JSON."""
        now, read = self.snapshot, self.pair.bins
        return msgspec.json.encode(
            _State(
                now.active_id,
                now.volatility.accumulator,
                now.volatility.reference,
                now.volatility.index_reference,
                now.volatility.last_update,
                now.reserves,
                {
                    bin_id: (
                        held.amount_x,
                        held.amount_y,
                        held.open_order,
                        held.processed_order_remaining,
                        held.limit_order_ask_side,
                    )
                    for bin_id, held in now.bins.items()
                    if held != read[bin_id]
                },
            )
        )

    def resumed(self, state: bytes) -> Self:
        """The pool of the same accounts in such a state. Raises MalformedAccount where it is none of theirs."""
        try:
            kept = msgspec.json.decode(state, type=_State)
            changed = {bin_id: Bin(self.pair.bins[bin_id].price, *amounts) for bin_id, amounts in kept.bins.items()}
        except (msgspec.MsgspecError, KeyError) as error:
            raise MalformedAccount(f"no state of {self.address}: {error}") from None
        snapshot = Snapshot(
            active_id=kept.active_id,
            volatility=Volatility(
                kept.volatility_accumulator,
                kept.volatility_reference,
                kept.index_reference,
                kept.last_update_timestamp,
            ),
            reserves=kept.reserves,
            bins={**self.pair.bins, **changed},
        )
        return type(self)(self.pair, snapshot)

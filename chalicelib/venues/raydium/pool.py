"""A constant product pool in one state."""

from typing import Self, TypeVar

import msgspec

from chalicelib.domain.errors import InsufficientLiquidity, PoolClosed
from chalicelib.domain.token import U64_MAX
from chalicelib.solana.clock import Clock
from chalicelib.solana.mint import Mint, TransferFee
from chalicelib.venues.pool import Fill
from chalicelib.venues.raydium.curve import MILLION, CpmmCurve, Flow

# Bit 2 of a pool's status: nobody may swap.
SWAP_DISABLED = 4

T = TypeVar("T")


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Fees in millionths: of a swap for the pool and for its creator, and of the pool's part for others."""

    trade: int
    creator: int
    protocol: int
    fund: int


class Side(msgspec.Struct, frozen=True, array_like=True):
    """What a pool has of one token, and what of it others have earned and not collected."""

    vault: int
    protocol_fees: int = 0
    fund_fees: int = 0
    creator_fees: int = 0

    @property
    def reserve(self) -> int:
        """What there is to trade with."""
        return self.vault - self.protocol_fees - self.fund_fees - self.creator_fees


class CpmmPool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of Raydium's CPMM program. Implements `Pool`."""

    address: str
    venue: str = "Raydium"
    # Each pair holds token 0's and token 1's.
    tokens: tuple[Mint, Mint]
    sides: tuple[Side, Side]
    rates: Rates
    # The token in which its creator's fee is taken: 0 the input, 1 token 0, 2 token 1.
    creator_fee_on: int = 0
    status: int = 0
    # In Unix seconds.
    open_time: int = 0

    @property
    def mints(self) -> tuple[str, str]:
        """The addresses of its tokens."""
        return self.tokens[0].address, self.tokens[1].address

    @property
    def decimals(self) -> tuple[int, int]:
        """Those of its tokens."""
        return self.tokens[0].decimals, self.tokens[1].decimals

    def regime(self, clock: Clock) -> tuple[TransferFee, TransferFee]:
        """What of the time its curves depend on: the fees of transfers. Raises PoolClosed."""
        if self.status & SWAP_DISABLED or clock.timestamp < self.open_time:
            raise PoolClosed(f"pool {self.address} takes no swaps")
        return self.tokens[0].transfer_fee(clock.epoch), self.tokens[1].transfer_fee(clock.epoch)

    def curve(self, zero_for_one: bool, clock: Clock) -> CpmmCurve:
        """What it pays. Raises PoolClosed, or InsufficientLiquidity where it is empty."""
        transfer_in, transfer_out = _directed(self.regime(clock), zero_for_one)
        side_in, side_out = _directed(self.sides, zero_for_one)
        if side_in.reserve <= 0 or side_out.reserve <= 0:
            raise InsufficientLiquidity(f"pool {self.address} is empty")
        on_input = self._creator_fee_on_input(zero_for_one)
        return CpmmCurve(
            reserve_in=side_in.reserve,
            reserve_out=side_out.reserve,
            room=U64_MAX - side_in.vault,
            rate_in=self.rates.trade + self.rates.creator * on_input,
            rate_out=self.rates.creator * (not on_input),
            transfer_in=transfer_in,
            transfer_out=transfer_out,
        )

    def swap(self, amount_in: int, zero_for_one: bool, clock: Clock) -> tuple[Fill, Self]:
        """Sell exactly so much; also the pool afterwards. Raises PoolRefused."""
        return self._after(self.curve(zero_for_one, clock).sell(amount_in), zero_for_one)

    def swap_out(self, amount_out: int, zero_for_one: bool, clock: Clock) -> tuple[Fill, Self]:
        """Buy exactly so much, for the least input; also the pool afterwards. Raises PoolRefused."""
        return self._after(self.curve(zero_for_one, clock).buy(amount_out), zero_for_one)

    def state(self) -> bytes:
        """Both sides, as JSON."""
        return msgspec.json.encode(self.sides)

    def resumed(self, state: bytes) -> Self:
        """The pool of the same accounts with these sides."""
        return msgspec.structs.replace(self, sides=msgspec.json.decode(state, type=tuple[Side, Side]))

    def _creator_fee_on_input(self, zero_for_one: bool) -> bool:
        return self.creator_fee_on in (0, 1 if zero_for_one else 2)

    def _after(self, flow: Flow, zero_for_one: bool) -> tuple[Fill, Self]:
        """What a swap came to, and the pool afterwards."""
        fee_in, fee_out = flow.arrived - flow.net, flow.swapped - flow.sent
        creator_in = 0
        if self.rates.creator and self._creator_fee_on_input(zero_for_one):
            creator_in = fee_in * self.rates.creator // (self.rates.trade + self.rates.creator)
        trade_fee = fee_in - creator_in
        before_in, before_out = _directed(self.sides, zero_for_one)
        side_in = Side(
            vault=before_in.vault + flow.arrived,
            protocol_fees=before_in.protocol_fees + trade_fee * self.rates.protocol // MILLION,
            fund_fees=before_in.fund_fees + trade_fee * self.rates.fund // MILLION,
            creator_fees=before_in.creator_fees + creator_in,
        )
        side_out = msgspec.structs.replace(
            before_out, vault=before_out.vault - flow.sent, creator_fees=before_out.creator_fees + fee_out
        )
        fill = Fill(amount_in=flow.paid, amount_out=flow.received, fee_in=fee_in, fee_out=fee_out)
        return fill, msgspec.structs.replace(self, sides=_directed((side_in, side_out), zero_for_one))


def _directed(pair: tuple[T, T], zero_for_one: bool) -> tuple[T, T]:
    """From the order of tokens to input and output, and back."""
    return pair if zero_for_one else (pair[1], pair[0])

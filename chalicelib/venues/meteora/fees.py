"""The fee of a swap, and the volatility that moves it. Rates are in 10^-9, volatility in 10^-4 bins."""

import msgspec

from chalicelib.solana.mint import TransferFee

PRECISION = 10**9
_MAX_RATE = 10**8
_BASIS_POINTS = 10_000


class Volatility(msgspec.Struct, frozen=True):
    """How far the price has moved lately, as the last swap left it."""

    accumulator: int
    # What of it has decayed, and the bin that moves are counted from.
    reference: int
    index_reference: int
    # Unix seconds of the last swap that moved the price.
    last_update: int


class FeeRules(msgspec.Struct, frozen=True, kw_only=True):
    """How a pair derives its fee from its volatility. Periods are in seconds."""

    base_rate: int
    bin_step: int
    variable_fee_control: int
    max_accumulator: int
    filter_period: int
    decay_period: int
    # In basis points.
    reduction_factor: int

    def references(self, volatility: Volatility, active_id: int, timestamp: int) -> tuple[int, int]:
        """The volatility's reference and index_reference for a swap at this time, wherever it goes."""
        elapsed = timestamp - volatility.last_update
        if elapsed < self.filter_period:
            return volatility.reference, volatility.index_reference
        if elapsed < self.decay_period:
            return volatility.accumulator * self.reduction_factor // _BASIS_POINTS, active_id
        return 0, active_id

    def accumulated(self, references: tuple[int, int], bin_id: int) -> int:
        """The accumulator for a bin that has something to sell."""
        reference, index_reference = references
        accumulator = reference + abs(index_reference - bin_id) * _BASIS_POINTS
        return accumulator if accumulator < self.max_accumulator else self.max_accumulator

    def kept(self, accumulator: int) -> int:
        """What of 10^9 the fee leaves; a fee is rounded up, so an amount x keeps x * kept // 10^9."""
        moved = accumulator * self.bin_step
        # Minus signs round up: the variable fee is a ceiling.
        rate = self.base_rate - (-self.variable_fee_control * moved * moved // 10**11)
        return PRECISION - (rate if rate < _MAX_RATE else _MAX_RATE)


class Regime(msgspec.Struct, frozen=True):
    """All that a pair's answers take from the time: equal regimes, equal answers."""

    # The volatility's reference and index_reference.
    references: tuple[int, int]
    # Of X and Y.
    transfer_fees: tuple[TransferFee, TransferFee]


def before_fee(net: int, kept: int) -> int:
    """The least amount of which a fee leaves so much."""
    return -(-net * PRECISION // kept)

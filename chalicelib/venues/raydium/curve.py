"""What a constant product pool pays in one direction.

As in github.com/raydium-io/raydium-cp-swap, programs/cp-swap/src/curve and instructions/swap_base_input.rs,
swap_base_output.rs.
"""

from fractions import Fraction
from math import sqrt

import msgspec

from chalicelib.domain.errors import InsufficientLiquidity, ZeroOutput
from chalicelib.domain.token import U64_MAX
from chalicelib.solana.mint import BASIS_POINTS, TransferFee

# Fee rates are in millionths.
MILLION = 10**6


class Flow(msgspec.Struct, frozen=True):
    """A swap from step to step, in base units of the input up to `net`, of the output from `swapped` on."""

    # By the trader; less the transfer fee; less the pool's fees on the input.
    paid: int
    arrived: int
    net: int
    # What the curve gives for `net`; less the pool's fee on the output; less the transfer fee.
    swapped: int
    sent: int
    received: int


class CpmmCurve:
    """A pool of one state and epoch, in one direction. Reserves are above 0."""

    __slots__ = (
        "_keep_in",
        "_keep_out",
        "_reserve_in",
        "_reserve_out",
        "_transfer_in",
        "_transfer_out",
        "capacity",
        "spot",
    )

    def __init__(
        self,
        *,
        reserve_in: int,
        reserve_out: int,
        # What the input's vault can still take.
        room: int,
        # Millionths of the input and of the output that go to fees.
        rate_in: int,
        rate_out: int,
        transfer_in: TransferFee,
        transfer_out: TransferFee,
    ) -> None:
        self._reserve_in = reserve_in
        self._reserve_out = reserve_out
        self._keep_in = MILLION - rate_in
        self._keep_out = MILLION - rate_out
        # None makes the usual token fast.
        self._transfer_in = transfer_in if transfer_in.of(U64_MAX) else None
        self._transfer_out = transfer_out if transfer_out.of(U64_MAX) else None
        # The most that leaves no more than the room.
        self.capacity = min(transfer_in.gross(room + 1) - 1, U64_MAX)
        kept = self._keep_in * self._keep_out * _kept(self._transfer_in, 0) * _kept(self._transfer_out, 0)
        self.spot = Fraction(kept * reserve_out, (MILLION * BASIS_POINTS) ** 2 * reserve_in)

    def amount_out(self, amount_in: int) -> int:
        """What an input pays. Raises ZeroOutput or InsufficientLiquidity."""
        return self.sell(amount_in).received

    def amount_in(self, amount_out: int) -> int:
        """The least input that pays at least so much. Raises ZeroOutput for 0, or InsufficientLiquidity."""
        return self.buy(amount_out).paid

    def sell(self, amount_in: int) -> Flow:
        """The swap of exactly so much input. Raises ZeroOutput or InsufficientLiquidity."""
        if amount_in > U64_MAX:
            raise InsufficientLiquidity("an amount has at most 64 bits")
        arrived = amount_in - self._transfer_in.of(amount_in) if self._transfer_in else amount_in
        # Fees are rounded up, so what is left is rounded down.
        net = arrived * self._keep_in // MILLION
        swapped = net * self._reserve_out // (self._reserve_in + net)
        sent = swapped * self._keep_out // MILLION
        received = sent - self._transfer_out.of(sent) if self._transfer_out else sent
        if received <= 0:
            raise ZeroOutput(f"{amount_in} pays nothing")
        if amount_in > self.capacity:
            raise InsufficientLiquidity(f"the pool takes at most {self.capacity}, not {amount_in}")
        return Flow(amount_in, arrived, net, swapped, sent, received)

    def buy(self, amount_out: int) -> Flow:
        """The swap that pays exactly so much, for the least input. Raises as `amount_in` does."""
        if amount_out <= 0:
            raise ZeroOutput("nothing is wanted")
        sent = self._transfer_out.gross(amount_out) if self._transfer_out else amount_out
        swapped = -(-sent * MILLION // self._keep_out)
        if swapped >= self._reserve_out:
            raise InsufficientLiquidity(f"the pool has {self._reserve_out}, not more than {swapped}")
        net = -(-self._reserve_in * swapped // (self._reserve_out - swapped))
        arrived = -(-net * MILLION // self._keep_in)
        paid = self._transfer_in.gross(arrived) if self._transfer_in else arrived
        if paid > self.capacity:
            raise InsufficientLiquidity(f"the pool takes at most {self.capacity}, not {paid}")
        return Flow(paid, arrived, net, swapped, sent, amount_out)

    def input_at(self, price: float) -> int:
        """About the largest input whose last unit still pays `price`, output for input; 0 where none does."""
        # Beyond its maximum a transfer fee takes nothing of a further unit, so the largest input is sought as if both
        # were there. The input only shrinks from then on, and with it the fees, so at most two steps follow.
        kept = (BASIS_POINTS, BASIS_POINTS)
        while True:
            net = self._net_at(price, kept[0] * kept[1])
            arrived = net * MILLION // self._keep_in
            paid = self._transfer_in.gross(arrived) if self._transfer_in else arrived
            sent = net * self._reserve_out // (self._reserve_in + net) * self._keep_out // MILLION
            now = _kept(self._transfer_in, paid), _kept(self._transfer_out, sent)
            if now == kept:
                return min(paid, self.capacity)
            kept = now

    def _net_at(self, price: float, kept: int) -> int:
        """The net input at which a further unit pays `price`, where transfers leave `kept` (basis points, squared)."""
        scale = self._keep_in * self._keep_out * kept / (MILLION * BASIS_POINTS) ** 2
        root = sqrt(self._reserve_in * self._reserve_out * scale / price) if price > 0 else U64_MAX
        return max(0, int(min(root, U64_MAX)) - self._reserve_in)


def _kept(fee: TransferFee | None, amount: int) -> int:
    """The basis points that arrive of a further unit beside this amount."""
    return BASIS_POINTS if fee is None or fee.of(amount) == fee.maximum else BASIS_POINTS - fee.basis_points

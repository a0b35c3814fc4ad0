"""What a pair pays in one direction, from a table of its bins that grows as far as it is asked for."""

from bisect import bisect_left, bisect_right
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from chalicelib.domain.errors import InsufficientLiquidity, PoolRefused, ReserveShort, ZeroOutput
from chalicelib.domain.token import U64_MAX
from chalicelib.solana.mint import BASIS_POINTS, TransferFee
from chalicelib.venues.meteora.bins import Pair, Snapshot, bins_ahead
from chalicelib.venues.meteora.fees import PRECISION, Regime, before_fee
from chalicelib.venues.meteora.price import ONE, needed, paid
from chalicelib.venues.meteora.walk import takes_fee_of_input


class _Row(NamedTuple):
    """A layer of a bin. Inputs are those that arrive in the pool, `net` of the pool's fee where it is taken of them."""

    # The input, and what it sends, before this bin.
    start: int
    sent: int
    # What of 10^9 the fee leaves.
    kept: int
    price: int
    # Net input and output of the bin's layers before this one.
    net: int
    out: int
    # What the layer sells, and the net input that takes it whole.
    sells: int
    need: int


class DlmmCurve:
    """The answers of `walk` to the last unit, by bisection. Made for one state of a pair and one regime.

    Raises InsufficientLiquidity where there is nothing to buy, or IncompleteState where that is not known.
    """

    def __init__(self, pair: Pair, snapshot: Snapshot, regime: Regime, zero_for_one: bool) -> None:
        self._rules, self._references = pair.fees, regime.references
        self._zero_for_one = zero_for_one
        self._fee_on_input = takes_fee_of_input(pair, zero_for_one)
        self._transfer_in, self._transfer_out = regime.transfer_fees if zero_for_one else regime.transfer_fees[::-1]
        self._reserve = snapshot.reserves[zero_for_one]
        # What the input's reserve can still take.
        self._room = U64_MAX - snapshot.reserves[not zero_for_one]
        self._ahead = bins_ahead(pair, snapshot, zero_for_one)
        # Why there are no more bins.
        self._end: PoolRefused | None = None
        self._rows: list[_Row] = []
        # For each row the largest input that it answers for, and all that is sent when it is taken whole.
        self._ends: list[int] = []
        self._sent: list[int] = []
        # The input at which the next bin starts.
        self._start = 0
        # Rows that pay more than all that follow: their marginal prices, negated, and their indexes.
        self._best: list[float] = []
        self._best_rows: list[int] = []
        if (end := self._grow()) is not None:
            raise end

    def amount_out(self, amount_in: int) -> int:
        """What an input pays. Raises ZeroOutput, InsufficientLiquidity or IncompleteState."""
        if amount_in > U64_MAX:
            raise InsufficientLiquidity("an amount has at most 64 bits")
        arrives = amount_in - self._transfer_in.of(amount_in)
        if arrives <= 0:
            raise ZeroOutput("nothing arrives in the pool")
        index = bisect_left(self._ends, arrives)
        if index == len(self._ends):
            index = self._grown_to(self._ends, arrives)
        start, sent, kept, price, net_before, out, sells, need = self._rows[index]
        net = arrives - start
        if self._fee_on_input:
            net = net * kept // PRECISION
        net -= net_before
        out += sells if net >= need else paid(net, price, self._zero_for_one)
        sent += out if self._fee_on_input else out * kept // PRECISION
        received = sent - self._transfer_out.of(sent)
        if received <= 0:
            raise ZeroOutput("the input pays less than one unit")
        if arrives > self._room:
            raise InsufficientLiquidity("a reserve has at most 64 bits")
        if sent > self._reserve:
            raise ReserveShort("the pool's reserve holds less than its bins promise")
        return received

    def amount_in(self, amount_out: int) -> int:
        """The least input that pays at least so much, above 0. Raises ZeroOutput for 0, or as `amount_out`."""
        if amount_out <= 0:
            raise ZeroOutput("nothing is bought")
        amount_in = self._transfer_in.gross(self._arriving(self._transfer_out.gross(amount_out)))
        # Raises where the pool refuses that.
        self.amount_out(amount_in)
        return amount_in

    def input_at(self, price: float) -> int:
        """About the largest input whose last unit still pays `price`, output for input; 0 where none does.

        It ends with the last bin that pays as much: a fee that falls toward the volatility's reference can make a bin
        pay more than those before it, and these are then part of the input too.
        """
        while self._may_pay(price) and self._grow() is None:
            pass
        count = bisect_right(self._best, -price)
        if not count:
            return 0
        index = self._best_rows[count - 1]
        if self._sent[index] > self._reserve:
            return self.capacity
        return min(self._transfer_in.gross(min(self._taken_whole(index), self._room)), U64_MAX)

    @cached_property
    def spot(self) -> Fraction:
        """Output for one unit of input, after fees, at size zero."""
        first = self._rows[0]
        rate = Fraction(first.price, ONE) if self._zero_for_one else Fraction(ONE, first.price)
        return rate * Fraction(first.kept, PRECISION) * _share(self._transfer_in, 0) * _share(self._transfer_out, 0)

    @cached_property
    def capacity(self) -> int:
        """The largest input that it takes."""
        while self._grow() is None:
            pass
        arrives = self._ends[-1]
        if self._sent[-1] > self._reserve:
            arrives = self._arriving(self._reserve + 1) - 1
        return min(self._transfer_in.gross(min(arrives, self._room) + 1) - 1, U64_MAX)

    def _arriving(self, sent: int) -> int:
        """The least input, as it arrives, for which the pool sends so much."""
        index = self._grown_to(self._sent, sent)
        row = self._rows[index]
        out = sent - row.sent
        if not self._fee_on_input:
            out = before_fee(out, row.kept)
        net = row.net + needed(out - row.out, row.price, self._zero_for_one)
        arrives = row.start + (before_fee(net, row.kept) if self._fee_on_input else net)
        # What rounding left over of an input belongs to the row before.
        return max(arrives, self._ends[index - 1] + 1) if index else arrives

    def _taken_whole(self, index: int) -> int:
        """The least input, as it arrives, that takes a row whole."""
        row = self._rows[index]
        net = row.net + row.need
        return row.start + (before_fee(net, row.kept) if self._fee_on_input else net)

    def _grown_to(self, column: list[int], value: int) -> int:
        """The first row whose entry in a column is not less. Raises what ends the table before."""
        while column[-1] < value:
            if (end := self._grow()) is not None:
                raise end.with_traceback(None)
        return bisect_left(column, value)

    def _grow(self) -> PoolRefused | None:
        """Add the rows of the next bin; or say why there is none."""
        if self._end is not None:
            return self._end
        try:
            bin_id, found, layers = next(self._ahead)
        except PoolRefused as end:
            self._end = end.with_traceback(None)
            return self._end
        kept = self._rules.kept(self._rules.accumulated(self._references, bin_id))
        sent_before = self._sent[-1] if self._sent else 0
        net = out = 0
        for sells, need in layers:
            self._rows.append(_Row(self._start, sent_before, kept, found.price, net, out, sells, need))
            net, out = net + need, out + sells
            largest = ((net + 1) * PRECISION - 1) // kept if self._fee_on_input else net
            self._ends.append(self._start + largest)
            self._sent.append(sent_before + (out if self._fee_on_input else out * kept // PRECISION))
        self._rank(len(self._rows) - 1)
        self._start = self._taken_whole(len(self._rows) - 1)
        return None

    def _rank(self, index: int) -> None:
        """Note a bin's last row by its marginal price, and forget those that pay no more."""
        row = self._rows[index]
        share_in = _share(self._transfer_in, self._taken_whole(index))
        share_out = _share(self._transfer_out, self._sent[index])
        negated = -self._rate(row) * row.kept / PRECISION * float(share_in * share_out)
        while self._best and self._best[-1] >= negated:
            self._best.pop()
            self._best_rows.pop()
        self._best.append(negated)
        self._best_rows.append(index)

    def _rate(self, row: _Row) -> float:
        """Output for input at a row's price, fees aside."""
        return row.price / ONE if self._zero_for_one else ONE / row.price

    def _may_pay(self, price: float) -> bool:
        """Whether bins behind the table can pay so much: their prices are worse, their fee is at least the base fee."""
        return self._rate(self._rows[-1]) * self._rules.kept(0) / PRECISION >= price


def _share(fee: TransferFee, amount: int) -> Fraction:
    """What of one more unit a transfer fee leaves: all, once the fee has reached its maximum."""
    return Fraction(1) if fee.of(amount) >= fee.maximum else Fraction(BASIS_POINTS - fee.basis_points, BASIS_POINTS)

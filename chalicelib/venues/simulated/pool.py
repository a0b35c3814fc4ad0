"""A simulated pool: it pays one price for whatever amount."""

from decimal import Decimal
from fractions import Fraction

from chalicelib.domain.errors import InsufficientLiquidity, PoolRefused, ZeroOutput
from chalicelib.domain.token import U64_MAX
from chalicelib.solana.clock import Clock
from chalicelib.venues.pool import Fill


class FlatCurve:
    """A price that does not depend on the amount; `depth` is shown, and holds nobody back."""

    capacity = U64_MAX

    def __init__(self, price: Decimal, depth: int) -> None:
        # Output for one unit of input, after fees.
        self.spot = Fraction(price)
        self._numerator, self._denominator = self.spot.numerator, self.spot.denominator
        self._depth = depth

    def amount_out(self, amount_in: int) -> int:
        """What an input pays. Raises ZeroOutput or InsufficientLiquidity."""
        if amount_in > self.capacity:
            raise InsufficientLiquidity(f"amounts have at most 64 bits, not {amount_in}")
        amount_out = amount_in * self._numerator // self._denominator
        if amount_out <= 0:
            raise ZeroOutput("the output would round to zero")
        return amount_out

    def amount_in(self, amount_out: int) -> int:
        """The least input that pays at least so much. Raises ZeroOutput or InsufficientLiquidity."""
        if amount_out <= 0:
            raise ZeroOutput("nothing is wanted")
        amount_in = -(-amount_out * self._denominator // self._numerator)
        if amount_in > self.capacity:
            raise InsufficientLiquidity(f"amounts have at most 64 bits, not {amount_in}")
        return amount_in

    def input_at(self, price: float) -> int:
        """How much it is said to take at its price; 0 above."""
        return self._depth if price * self._denominator <= self._numerator else 0


class SimulatedPool:
    """A pool that sells token 1 for token 0 and nothing else.

    `rate` is base units of token 1 for one of token 0, before the fee, which is a share of the input; `depth` is base
    units of token 0.
    """

    def __init__(
        self, *, address: str, venue: str, mints: tuple[str, str], rate: Decimal, fee: Decimal, depth: int
    ) -> None:
        self.address = address
        self.venue = venue
        self.mints = mints
        self._fee = fee
        self._curve = FlatCurve(rate * (1 - fee), depth)

    def curve(self, zero_for_one: bool, clock: Clock) -> FlatCurve:
        """What it pays."""
        if not zero_for_one:
            raise PoolRefused(f"{self.venue} sells {self.mints[1]} only")
        return self._curve

    def fill(self, amount_in: int, zero_for_one: bool, clock: Clock) -> Fill:
        """What selling exactly so much comes to. Raises PoolRefused."""
        amount_out = self.curve(zero_for_one, clock).amount_out(amount_in)
        return Fill(amount_in=amount_in, amount_out=amount_out, fee_in=int(amount_in * self._fee), fee_out=0)

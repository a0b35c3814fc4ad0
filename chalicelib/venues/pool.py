"""What a router and a paper trade need of a pool, whatever its program.

A pool trades two tokens, 0 and 1; `zero_for_one` is a swap of token 0 into token 1. Amounts are integers of base
units: what the trader pays in all and what the trader receives, the transfer fees of Token-2022 taken into account.
"""

from collections.abc import Hashable
from fractions import Fraction
from typing import Protocol, Self

import msgspec

from chalicelib.solana.clock import Clock


class Curve(Protocol):
    """What a pool pays in one direction, at one state and time. Good until it trades or its fees change with time."""

    @property
    def spot(self) -> Fraction:
        """Output for one unit of input, after fees, at size zero."""
        ...

    @property
    def capacity(self) -> int:
        """The largest input that it takes."""
        ...

    def amount_out(self, amount_in: int) -> int:
        """What an input pays. Raises ZeroOutput, InsufficientLiquidity or IncompleteState."""
        ...

    def amount_in(self, amount_out: int) -> int:
        """The least input that pays at least so much, above 0. Raises PoolRefused likewise."""
        ...

    def input_at(self, price: float) -> int:
        """About the largest input whose last unit still pays `price`, output for input; 0 where none does."""
        ...


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A swap as a pool executes it."""

    amount_in: int
    amount_out: int
    # The pool's trading fees, each in base units of the token that it is taken in.
    fee_in: int
    fee_out: int
    # What of the given input the pool left with the trader.
    unspent: int = 0


class Priced(Protocol):
    """What there is to know of every pool."""

    @property
    def address(self) -> str:
        """Its own."""
        ...

    @property
    def venue(self) -> str:
        """The name of its venue."""
        ...

    @property
    def mints(self) -> tuple[str, str]:
        """Token 0 and token 1."""
        ...

    def curve(self, zero_for_one: bool, clock: Clock) -> Curve:
        """What it pays. Raises PoolClosed, or InsufficientLiquidity where it is empty."""
        ...


class Quoting(Priced, Protocol):
    """What a router sees of a pool."""

    def fill(self, amount_in: int, zero_for_one: bool, clock: Clock) -> Fill:
        """What selling exactly so much comes to. Raises PoolRefused."""
        ...


class Pool(Priced, Protocol):
    """A pool in one state. Its methods are pure: a swap returns the pool as it is afterwards."""

    @property
    def decimals(self) -> tuple[int, int]:
        """Of token 0 and of token 1."""
        ...

    def regime(self, clock: Clock) -> Hashable:
        """What of the time its curves depend on: they are good while this is the same. Raises PoolClosed."""
        ...

    def swap(self, amount_in: int, zero_for_one: bool, clock: Clock) -> tuple[Fill, Self]:
        """Sell exactly so much; also the pool afterwards. Raises PoolRefused."""
        ...

    def swap_out(self, amount_out: int, zero_for_one: bool, clock: Clock) -> tuple[Fill, Self]:
        """Buy so much, for the least input; also the pool afterwards. Raises PoolRefused."""
        ...

    def state(self) -> bytes:
        """What swaps have changed since the accounts were read."""
        ...

    def resumed(self, state: bytes) -> Self:
        """The pool of the same accounts in such a state."""
        ...

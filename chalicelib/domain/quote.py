"""Routes: what is chosen among quotes, leg by leg, and what an execution is held to."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, Context, Decimal

import msgspec

from chalicelib.domain.token import Token

_DISPLAYED = Context(prec=12, rounding=ROUND_CEILING)


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One pool's swap. Amounts in base units; `hop` is 1, or 2 behind the middle token."""

    pool: str
    venue: str
    # Keys of tokens.
    mint_in: str
    mint_out: str
    amount_in: int
    amount_out: int
    hop: int
    # The pool's trading fees, in each of the tokens.
    fee_in: int = 0
    fee_out: int = 0


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue, or several together, would do now. Amounts in base units, net of the fee."""

    venue: str
    amount_in: int
    amount_out: int
    # Share of the input, 0.0025 = 0.25 %.
    fee: Decimal
    # How much of token_in could be sold at about this price, in whole tokens.
    liquidity: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The way that executes, the best single pool beside it, and why. Amounts in base units."""

    # In the order in which they execute: one transaction, all of them or none.
    legs: tuple[Leg, ...]
    # Of two hops: the token that the first pays.
    middle: Token | None
    chosen: Quote
    # None where no other pool could do it alone.
    other: Quote | None
    decision: str
    # What an execution must pay at least, and may cost at most.
    min_amount_out: int
    max_amount_in: int
    # 1 - (output / input) / (best price after fees at size zero).
    price_impact: float
    # What the best single pool alone would pay, or cost where an output is wanted; None where none can.
    best_single: int | None

    def objection(self, amount_in: int, amount_out: int) -> str | None:
        """Why an execution with these amounts must not be; None where it may."""
        if amount_out < self.min_amount_out:
            return f"slippage exceeded: {amount_out} is less than the minimum of {self.min_amount_out} base units"
        if amount_in > self.max_amount_in:
            return f"slippage exceeded: {amount_in} is more than the maximum of {self.max_amount_in} base units"
        return None


def fee_share(legs: Sequence[Leg]) -> Decimal:
    """The share of the input that fees take on the way, to six decimals."""
    kept, whole = 1, 1
    for hop in {leg.hop for leg in legs}:
        paid = received = fee_in = fee_out = 0
        for leg in legs:
            if leg.hop == hop:
                paid, received = paid + leg.amount_in, received + leg.amount_out
                fee_in, fee_out = fee_in + leg.fee_in, fee_out + leg.fee_out
        kept *= (paid - fee_in) * received
        whole *= paid * (received + fee_out)
    return Decimal(round((whole - kept) / whole * 10**6)).scaleb(-6)


def price(token_in: Token, token_out: Token, amount_in: int, amount_out: int) -> float:
    """What one unit of token_out costs in token_in, fee included, rounded up; for display, so the lower the better."""
    paid = Decimal(amount_in).scaleb(-token_in.decimals)
    received = Decimal(amount_out).scaleb(-token_out.decimals)
    return float(_DISPLAYED.divide(paid, received))

"""Quotes of venues and the route that is chosen from them."""

from decimal import Decimal

import msgspec

from chalicelib.domain.token import Token


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What one venue would pay now. Amounts in base units, net of the fee."""

    venue: str
    amount_in: int
    amount_out: int
    # Share of the input, 0.0025 = 0.25 %.
    fee: Decimal
    # How much of token_in the venue could take at about this price, in whole tokens.
    liquidity: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The venue that executes, the best of the others, and why."""

    chosen: Quote
    # None where only one venue answered.
    other: Quote | None
    decision: str
    # The least output, in base units, that an execution may pay.
    min_amount_out: int


def price(token_in: Token, token_out: Token, amount_in: int, amount_out: int) -> float:
    """What one unit of token_out costs in token_in, fee included; for display, so the lower the better."""
    paid = Decimal(amount_in).scaleb(-token_in.decimals)
    received = Decimal(amount_out).scaleb(-token_out.decimals)
    return float(f"{paid / received:.12g}")

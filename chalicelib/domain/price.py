"""Prices as clients give them: tokenIn for one tokenOut, in whole tokens; compared in integers only."""

from decimal import Decimal

from chalicelib.domain.token import Token


def least_output(price: Decimal, amount_in: int, token_in: Token, token_out: Token) -> int:
    """The least base units of token_out for which an input costs at most `price`."""
    most, whole = price.as_integer_ratio()
    least: int = -(-amount_in * 10**token_out.decimals * whole // (most * 10**token_in.decimals))
    return max(1, least)


def most_input(price: Decimal, amount_out: int, token_in: Token, token_out: Token) -> int:
    """The most base units of token_in at which an output costs at most `price`."""
    most, whole = price.as_integer_ratio()
    highest: int = most * amount_out * 10**token_in.decimals // (10**token_out.decimals * whole)
    return highest

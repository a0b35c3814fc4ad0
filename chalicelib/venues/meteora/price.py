"""Prices of bins: base units of Y for one of X, in Q64.64. A swap sells X for Y (`zero_for_one`) or Y for X."""

from chalicelib.domain.errors import MalformedAccount

ONE = 1 << 64
_LARGEST = 2**128 - 1


def price_of(bin_id: int, bin_step: int) -> int:
    """The price of a bin, (1 + bin_step / 10^4)^bin_id as the program rounds it. Raises MalformedAccount at 0."""
    # The program multiplies numbers below one, and inverts the result.
    base = _LARGEST // (ONE + (bin_step << 64) // 10_000)
    exponent, result = abs(bin_id), ONE
    while exponent:
        if exponent & 1:
            result = result * base >> 64
        base = base * base >> 64
        exponent >>= 1
    if not result:
        raise MalformedAccount(f"bin {bin_id} of step {bin_step} has no price")
    return _LARGEST // result if bin_id > 0 else result


def paid(net: int, price: int, zero_for_one: bool) -> int:
    """What so much input buys at a price, fees aside."""
    return net * price >> 64 if zero_for_one else (net << 64) // price


def needed(amount_out: int, price: int, zero_for_one: bool) -> int:
    """The least input that buys so much at a price, fees aside."""
    if zero_for_one:
        return -(-(amount_out << 64) // price)
    return -(-amount_out * price >> 64)

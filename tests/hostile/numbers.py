"""Bodies of POSTs with amounts, bounds and slippages that are none."""

from chalicelib.domain.errors import Fault
from tests.hostile.posts import JSON_TYPE, WRONG_TYPES, Body, as_is, order, purchase, with_field

AMOUNTS_TOGETHER = [
    *as_is(
        Fault.TWO_AMOUNTS,
        {
            "both amounts": order(amountOut="450"),
            "both amounts, one wrong": order(amountOut="[]"),
            "both amounts, one 0": purchase(amount="0"),
        },
    ),
    *as_is(
        Fault.INVALID_MIN_AMOUNT_OUT,
        {
            "a minimum of what is fixed": purchase(minAmountOut='"450000000"'),
            "both bounds of a purchase": purchase(minAmountOut='"1"', maxAmountIn='"1"'),
        },
    ),
    Body("a maximum of what is fixed", order(maxAmountIn='"3000000000"'), JSON_TYPE, Fault.INVALID_MAX_AMOUNT_IN),
]

_BAD_BASE_UNITS = WRONG_TYPES | {
    "a number": "442572077",
    "a huge number": "1e400",
    "empty": '""',
    "zero": '"0"',
    "a leading zero": '"0442572077"',
    "negative": '"-1"',
    "signed": '"+1"',
    "a decimal": '"442.572077"',
    "an exponent": '"1e3"',
    "a space": '"1 "',
    "a line break": '"1\\n"',
    "hex": '"0x10"',
    "grouped": '"442_572_077"',
    "fullwidth digits": '"５"',
    "Arabic digits": '"٣"',
    "40 digits": f'"{"1" * 40}"',
    "10,000 digits": f'"{"1" * 10_000}"',
}

_HUGE_EXPONENTS = {"huge exponent": "1e400", "exponent of 60 digits": "1e" + "9" * 60}
_TINY_EXPONENTS = {"tiny exponent": "1e-400", "negative exponent of 60 digits": "1e-" + "9" * 60}

# Refused as an amount and as a slippage alike.
_BAD_DECIMALS = WRONG_TYPES | {
    "negative": "-3",
    "negative fraction": "-0.1",
    "minus zero": "-0",
    "10,000 digits": "1" * 10_000,
    "10,000 decimals": "0." + "1" * 10_000,
    "10,000 zeros": "0." + "0" * 10_000,
    "'NaN'": '"NaN"',
    "'Infinity'": '"Infinity"',
    "'inf'": '"inf"',
    "a word": '"three"',
    "a space": '" "',
    "leading space": '" 0.5"',
    "trailing space": '"0.5 "',
    "trailing line break": '"0.5\\n"',
    "a space within": '"0. 5"',
    "exponent in a string": '"5e-1"',
    "plus in a string": '"+0.5"',
    "minus in a string": '"-0.5"',
    "hex in a string": '"0x0"',
    "leading zeros in a string": '"00.5"',
    "no whole part in a string": '".5"',
    "no fraction in a string": '"0."',
    "comma": '"0,5"',
    "grouped": '"0.000_1"',
    "percent": '"1%"',
    "fullwidth digits": '"０.５"',
    "Arabic digits": '"٠.٥"',
    "superscript": '"0.²"',
    "a fraction sign": '"½"',
    "10,000 digits in a string": f'"{"1" * 10_000}"',
}

_ZEROS = {"zero": "0", "zero.zero": "0.00", "'0'": '"0.0"', "zero with a huge exponent": "0e400000"}

NUMBERS = [
    *with_field(Fault.INVALID_AMOUNT, "amount", _BAD_DECIMALS | _ZEROS),
    *with_field(Fault.INVALID_AMOUNT, "amountOut", _BAD_DECIMALS | _ZEROS, purchase),
    *with_field(Fault.AMOUNT_TOO_PRECISE, "amountOut", {"seven decimals": "0.0000001"} | _TINY_EXPONENTS, purchase),
    *with_field(
        Fault.AMOUNT_TOO_LARGE, "amountOut", {"u64 and one": "18446744073709.551616"} | _HUGE_EXPONENTS, purchase
    ),
    *with_field(Fault.INVALID_MIN_AMOUNT_OUT, "minAmountOut", _BAD_BASE_UNITS),
    *with_field(Fault.INVALID_MAX_AMOUNT_IN, "maxAmountIn", _BAD_BASE_UNITS, purchase),
    *with_field(
        Fault.AMOUNT_TOO_PRECISE,
        "amount",
        {
            "ten decimals of SOL": "1.0000000001",
            "ten decimals in a string": '"1.0000000001"',
            "less than a lamport": "1e-10",
            "far less than a lamport": "1e-64",
        }
        | _TINY_EXPONENTS,
    ),
    Body(
        "amount: seven decimals of USDC",
        order(tokenIn='"USDC"', tokenOut='"SOL"', amount="0.0000001"),
        JSON_TYPE,
        Fault.AMOUNT_TOO_PRECISE,
    ),
    *with_field(
        Fault.AMOUNT_TOO_LARGE,
        "amount",
        {
            "u64 and one": "18446744073.709551616",
            "u64 and one in a string": '"18446744073.709551616"',
            "by its exponent": "1e64",
            "of 60 digits": "9" * 60,
        }
        | _HUGE_EXPONENTS,
    ),
    *with_field(
        Fault.INVALID_SLIPPAGE,
        "slippageTolerance",
        _BAD_DECIMALS
        | _HUGE_EXPONENTS
        | _TINY_EXPONENTS
        | {
            "one": "1",
            "one.zero": "1.0",
            "'1'": '"1"',
            "above one": "1.5",
            "two percent as 2": "2",
            "by its exponent": "1e64",
            "25 decimals": "0." + "0" * 24 + "1",
            "empty": '""',
        },
    ),
]

"""Decimal numbers of clients: text until their length is known to be small, and never through a float."""

import re

from chalicelib.domain.strict_json import Number

MAX_NUMBER_LENGTH = 64
# JSON's own grammar without the sign; [0-9] because \d takes the digits of every script.
_DECIMAL = re.compile(r"(?P<whole>0|[1-9][0-9]*)(?:\.(?P<fraction>[0-9]+))?(?:[eE](?P<power>[+-]?[0-9]+))?")


def decimal_parts(value: object) -> tuple[int, int] | None:
    """(mantissa, exponent) of a number or plain decimal string, one pair for all its spellings; None for the rest."""
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str) or len(text) > MAX_NUMBER_LENGTH:
        return None
    found = _DECIMAL.fullmatch(text)
    if found is None or (isinstance(value, str) and found["power"]):
        return None
    digits = found["whole"] + (found["fraction"] or "")
    significant = digits.rstrip("0")
    if not significant:
        return 0, 0
    # Both have at most 64 digits by now.
    power = int(found["power"] or 0)
    return int(significant), power - len(found["fraction"] or "") + len(digits) - len(significant)

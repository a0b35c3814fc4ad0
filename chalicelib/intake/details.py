"""The fields of an order type, from a POST's JSON to the text that is stored with the order."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from chalicelib.domain.errors import ClientError, Fault
from chalicelib.domain.event import iso
from chalicelib.domain.order_types import TYPES
from chalicelib.domain.order_types.base import EXPIRES_AT, GTC, GTD, TIME_IN_FORCE, Field, Kind, OrderType
from chalicelib.domain.strict_json import Number, quoted
from chalicelib.intake.numbers import MAX_NUMBER_LENGTH, decimal_parts

ORDER_TYPE = "orderType"
# Prices of any two tokens lie far within, and arithmetic on them stays cheap.
PRICE_POWERS = range(-40, 41)
_CAPITAL = re.compile(r"(?=[A-Z])")


def order_type(fields: Mapping[str, object]) -> OrderType:
    """The type that an order asks for; the market's where it says nothing."""
    value = fields.get(ORDER_TYPE)
    found = TYPES.get("market" if value is None else value) if value is None or isinstance(value, str) else None
    if found is None:
        raise ClientError(Fault.INVALID_ORDER_TYPE, f"{ORDER_TYPE} must be one of {', '.join(TYPES)}")
    return found


def details(fields: Mapping[str, object], kind: OrderType, now: datetime) -> dict[str, str]:
    """The type's own fields, checked. Raises ClientError."""
    given = {
        field.name: parse_field(field, value, now)
        for field in kind.fields
        if (value := fields.get(field.name)) is not None
    }
    for field in kind.fields:
        if field.required and field.name not in given:
            raise ClientError(Fault.MISSING_FIELDS, f"{field.name} required for {ORDER_TYPE} {kind.name}")
    if (given.get(TIME_IN_FORCE, GTC) == GTD) != (EXPIRES_AT.name in given):
        raise ClientError(
            invalid(EXPIRES_AT.name), f"{EXPIRES_AT.name} goes with {TIME_IN_FORCE} {GTD}, and {GTD} needs it"
        )
    return given


def parse_field(field: Field, value: object, now: datetime) -> str:
    """One field's value as it is stored. Raises ClientError."""
    return _PARSERS[field.kind](field, value, now)


def invalid(name: str) -> str:
    """The machine word for a field that is not what it should be."""
    return "invalid_" + _CAPITAL.sub("_", name).lower()


def _price(field: Field, value: object, _: datetime) -> str:
    parts = decimal_parts(value)
    if parts is None or parts[0] == 0 or parts[1] not in PRICE_POWERS:
        raise ClientError(
            invalid(field.name),
            f"{field.name} must be a price above 0, tokenIn for one tokenOut: a JSON number, or a plain decimal string "
            f'such as "0.0066", of at most {MAX_NUMBER_LENGTH} characters',
        )
    return f"{Decimal((0, tuple(map(int, str(parts[0]))), parts[1])):f}"


def _moment(field: Field, value: object, now: datetime) -> str:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        # Also what UTC has no year for is none.
        moment = moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment <= now:
        raise ClientError(
            invalid(field.name),
            f'{field.name} must be a moment to come, in ISO-8601 with Z or an offset, such as "{iso(now)}"',
        )
    return iso(moment)


def _choice(field: Field, value: object, _: datetime) -> str:
    if not isinstance(value, str) or value not in field.choices:
        said = f", not {quoted(value)}" if isinstance(value, str) else ""
        raise ClientError(invalid(field.name), f"{field.name} must be one of {', '.join(field.choices)}{said}")
    return value


def _whole(field: Field, value: object, _: datetime) -> str:
    parts = decimal_parts(value) if isinstance(value, Number) else None
    # A fraction has a negative power, and a larger one than the bound's digits is too much.
    whole = parts is not None and 0 <= parts[1] <= len(str(field.most))
    number = parts[0] * 10 ** parts[1] if parts and whole else -1
    if not field.least <= number <= field.most:
        message = f"{field.name} must be a whole number from {field.least} to {field.most}"
        raise ClientError(invalid(field.name), message)
    return str(number)


_PARSERS: dict[Kind, Callable[[Field, object, datetime], str]] = {
    Kind.PRICE: _price,
    Kind.MOMENT: _moment,
    Kind.CHOICE: _choice,
    Kind.WHOLE: _whole,
}

"""From a POST to its key and the terms it asks for, or to a `ClientError` that names the field at fault.

The codes are those of `chalicelib.domain.errors.Fault`. Numbers stay text until their length is known to be small,
no power of ten is taken before its exponent is, and none passes through a float.
"""

import re
from datetime import datetime
from decimal import Decimal

import msgspec

from chalicelib.domain.errors import ClientError, Fault, UnknownToken, UnsupportedMediaType
from chalicelib.domain.order import Terms
from chalicelib.domain.strict_json import parse, quoted, refuse_unknown
from chalicelib.domain.token import U64_MAX, Registry, Token
from chalicelib.intake.details import ORDER_TYPE, details, order_type
from chalicelib.intake.numbers import MAX_NUMBER_LENGTH, decimal_parts
from chalicelib.venues.base import Catalogue

BODY_LIMIT = 16 * 1024
MAX_DIGITS = len(str(U64_MAX))
DEFAULT_SLIPPAGE = Decimal("0.01")
# Every double between 0.000001 and 1 prints with fewer, and 1 - s stays exact in a default decimal context.
MAX_SLIPPAGE_DECIMALS = 24
MAX_KEY_LENGTH = 255
MAX_NAME_LENGTH = 64

_TOKENS = ("tokenIn", "tokenOut")
_AMOUNTS = ("amount", "amountOut")
_FIELDS = (*_TOKENS, *_AMOUNTS, "slippageTolerance", "minAmountOut", "maxAmountIn", "clientOrderId", ORDER_TYPE)
_ABSENT = (None, "")
_JSON_TYPE = re.compile(r"(?:application|text)/json|application/[a-z0-9!#$&^_.+-]+\+json")
# A bound may be more than a u64: the tolerance of a large amount makes one so.
_BASE_UNITS = re.compile(r"[1-9][0-9]{0,38}")
_VISIBLE_ASCII = re.compile(r"[!-~]+")


def idempotency_key(header: str | None) -> str | None:
    """The key that an order is posted under; None where the header is not there."""
    if header is None or (len(header) <= MAX_KEY_LENGTH and _VISIBLE_ASCII.fullmatch(header)):
        return header
    raise ClientError(
        Fault.INVALID_IDEMPOTENCY_KEY,
        f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters, all of them visible ASCII",
    )


def client_order_id(value: object) -> str | None:
    """The client's own name for an order; None where it gives none."""
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= MAX_NAME_LENGTH and _VISIBLE_ASCII.fullmatch(value):
        return value
    raise ClientError(
        Fault.INVALID_CLIENT_ORDER_ID,
        f"clientOrderId must be a string of 1 to {MAX_NAME_LENGTH} characters, all of them visible ASCII",
    )


class Asked(msgspec.Struct, frozen=True):
    """What the body of a POST says."""

    terms: Terms
    client_order_id: str | None


async def asked(body: bytes, content_type: str | None, market: Catalogue, now: datetime) -> Asked:
    """What the body of a POST asks for. Raises Unavailable where its tokens can't be looked up."""
    _check_content_type(content_type)
    fields = parse(body, BODY_LIMIT)
    try:
        wanted = _terms(fields, market.tokens, now)
    except UnknownToken as error:
        # A pool may have come since that trades them.
        wanted = _terms(fields, await market.refreshed(error.tokens), now)
    return Asked(wanted, client_order_id(fields.get("clientOrderId")))


def terms(body: bytes, content_type: str | None, tokens: Registry, now: datetime) -> Terms:
    """The terms that the body of a POST asks for, among known tokens."""
    _check_content_type(content_type)
    return _terms(parse(body, BODY_LIMIT), tokens, now)


def _terms(fields: dict[str, object], tokens: Registry, now: datetime) -> Terms:
    amounts = [name for name in _AMOUNTS if fields.get(name) not in _ABSENT]
    if not amounts or any(fields.get(name) in _ABSENT for name in _TOKENS):
        raise ClientError(Fault.MISSING_FIELDS, "tokenIn, tokenOut, amount required")
    kind = order_type(fields)
    refuse_unknown(fields, (*_FIELDS, *[field.name for field in kind.fields]))
    if len(amounts) > 1:
        raise ClientError(
            Fault.TWO_AMOUNTS, "amount and amountOut exclude each other: what to sell of tokenIn, or to buy of tokenOut"
        )
    token_in = _token(fields, "tokenIn", tokens, Fault.INVALID_TOKEN_IN)
    token_out = _token(fields, "tokenOut", tokens, Fault.INVALID_TOKEN_OUT)
    if token_in == token_out:
        raise ClientError(Fault.SAME_TOKEN, f"tokenIn and tokenOut are the same token, {token_in.name}")
    sold = amounts == ["amount"]
    return Terms(
        token_in=token_in,
        token_out=token_out,
        amount=_base_units(fields, "amount", token_in) if sold else 0,
        amount_out=0 if sold else _base_units(fields, "amountOut", token_out),
        slippage_tolerance=_slippage(fields.get("slippageTolerance")),
        min_amount_out=client_bound(fields, "minAmountOut", "amount", Fault.INVALID_MIN_AMOUNT_OUT),
        max_amount_in=client_bound(fields, "maxAmountIn", "amountOut", Fault.INVALID_MAX_AMOUNT_IN),
        order_type=kind.name,
        details=details(fields, kind, now),
    )


def _check_content_type(content_type: str | None) -> None:
    """Refuse a body declared as something else; one without a declaration is taken for JSON."""
    essence = (content_type or "").partition(";")[0].strip().lower()
    if essence and not _JSON_TYPE.fullmatch(essence):
        raise UnsupportedMediaType(
            Fault.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be application/json, not {quoted(essence)}"
        )


def _token(fields: dict[str, object], name: str, tokens: Registry, malformed: Fault) -> Token:
    value = fields[name]
    found = tokens.find(value) if isinstance(value, str) else None
    if found is None:
        raise ClientError(
            malformed, f"{name} must be a symbol such as SOL, or a base58 mint of 32 bytes (32 to 44 characters)"
        )
    if not found:
        raise UnknownToken(
            Fault.UNKNOWN_TOKEN,
            f"{name} is no token that this market knows: {value}; GET /api/tokens lists them",
            [each for each in map(fields.get, _TOKENS) if isinstance(each, str) and tokens.find(each) == []],
        )
    if len(found) > 1:
        mints = ", ".join(token.mint for token in found)
        raise ClientError(Fault.AMBIGUOUS_TOKEN, f"{name} is the symbol of several mints, give one of them: {mints}")
    return found[0]


def _base_units(fields: dict[str, object], name: str, token: Token) -> int:
    mantissa, exponent = decimal_parts(fields[name]) or (0, 0)
    if mantissa == 0:
        raise ClientError(
            Fault.INVALID_AMOUNT,
            f"{name} must be greater than 0: a JSON number, or a plain decimal string such as "
            f'"1.5", of at most {MAX_NUMBER_LENGTH} characters',
        )
    shift = exponent + token.decimals
    # The mantissa ends in no zero, so any shift to the right would lose a digit.
    if shift < 0:
        raise ClientError(
            Fault.AMOUNT_TOO_PRECISE, f"{name} must have at most {token.decimals} decimals, as {token.name} has"
        )
    # Bounded, since an exponent may be as long as the text: ten to that many digits is too large already.
    units: int = mantissa * 10 ** min(shift, MAX_DIGITS)
    if units > U64_MAX:
        most = Decimal((0, tuple(map(int, str(U64_MAX))), -token.decimals))
        raise ClientError(Fault.AMOUNT_TOO_LARGE, f"{name} must be at most {most:f} {token.name}")
    return units


def client_bound(fields: dict[str, object], name: str, amount: str, code: Fault) -> int:
    """What the client itself holds an execution to, for the amount that is fixed; 0 where it gives nothing."""
    value = fields.get(name)
    if value is None:
        return 0
    if fields.get(amount) in _ABSENT:
        raise ClientError(code, f"{name} goes with {amount}, which is not given")
    if not isinstance(value, str) or not _BASE_UNITS.fullmatch(value):
        raise ClientError(
            code, f'{name} must be base units, above 0, as quotes give them: a string of digits such as "442572077"'
        )
    return int(value)


def _slippage(value: object) -> Decimal:
    if value is None:
        return DEFAULT_SLIPPAGE
    parts = decimal_parts(value)
    # Above 0, the exponent alone makes it 10 and more.
    if parts is not None and -MAX_SLIPPAGE_DECIMALS <= parts[1] <= 0:
        slippage = Decimal(f"{parts[0]}E{parts[1]}")
        if slippage < 1:
            return slippage
    raise ClientError(
        Fault.INVALID_SLIPPAGE,
        "slippageTolerance must be at least 0 and less than 1 (0.02 = 2 %): a JSON number, or a plain decimal string, "
        f"of at most {MAX_SLIPPAGE_DECIMALS} decimals",
    )

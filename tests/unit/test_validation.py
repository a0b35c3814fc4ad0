"""From a POST's body to an order's terms."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.domain import token
from chalicelib.domain.errors import ClientError, Fault, UnsupportedMediaType
from chalicelib.domain.order import Terms
from chalicelib.domain.token import U64_MAX
from chalicelib.intake import validation
from chalicelib.intake.validation import BODY_LIMIT, MAX_SLIPPAGE_DECIMALS, idempotency_key
from tests.hostile import BODIES, JSON_TYPE, SOL_MINT, USDC_MINT, Body, order, purchase

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOL, USDC = token.KNOWN[0], token.KNOWN[1]


def terms(body: bytes, content_type: str | None, tokens: token.Registry = token.ANY) -> Terms:
    return validation.terms(body, content_type, tokens, NOW)


def refused(body: bytes, content_type: str | None = JSON_TYPE) -> ClientError:
    with pytest.raises(ClientError) as caught:
        terms(body, content_type)
    return caught.value


def test_the_example_order() -> None:
    body = b'{"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3.0, "slippageTolerance": 0.02}'
    assert terms(body, JSON_TYPE) == Terms(SOL, USDC, 3_000_000_000, Decimal("0.02"))


@pytest.mark.parametrize("text", ["", "null"])
def test_slippage_defaults_to_one_percent(text: str) -> None:
    assert terms(order(slippageTolerance=text), None).slippage_tolerance == Decimal("0.01")


@pytest.mark.parametrize(
    ("text", "slippage"),
    [
        ("0", "0"),
        ("0.0", "0"),
        ('"0"', "0"),
        ("0e400", "0"),
        ("0.02", "0.02"),
        ("2e-2", "0.02"),
        ('"0.020"', "0.02"),
        ("0.010000000000000009", "0.010000000000000009"),
        ("0.999999999999999999999999", "0.999999999999999999999999"),
    ],
)
def test_slippage_is_exact(text: str, slippage: str) -> None:
    assert str(terms(order(slippageTolerance=text), None).slippage_tolerance) == slippage


@pytest.mark.parametrize("spelling", ["3", "3.0", '"3"', '"3.0"', "3e0", "0.3e1", "30E-1", "3.000e+00", "3000e-3"])
def test_an_amount_has_one_meaning_in_every_spelling(spelling: str) -> None:
    assert terms(order(amount=spelling), None) == terms(order(), None)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0.000000001", 1),
        ("1e-9", 1),
        ("0.1", 100_000_000),
        ("0.30000000000000", 300_000_000),
        ('"1.50000000000000000000"', 1_500_000_000),
        ("18446744073.709551615", U64_MAX),
        ('"18446744073.7095516150"', U64_MAX),
    ],
)
def test_amounts_are_exact_base_units(text: str, units: int) -> None:
    assert terms(order(amount=text), None).amount == units


def test_decimals_are_those_of_token_in() -> None:
    usdc_in = order(tokenIn='"USDC"', tokenOut='"SOL"', amount="0.000001")
    assert terms(usdc_in, None).amount == 1
    error = refused(order(tokenIn='"USDC"', tokenOut='"SOL"', amount="0.0000001"))
    assert (error.code, str(error)) == ("amount_too_precise", "amount must have at most 6 decimals, as USDC has")


@pytest.mark.parametrize("text", ["1e30", "1e400", "1e" + "9" * 60])
def test_the_largest_amount_is_named(text: str) -> None:
    assert str(refused(order(amount=text))) == "amount must be at most 18446744073.709551615 SOL"


@pytest.mark.parametrize(("text", "found"), [("sol", SOL), ("Sol", SOL), (SOL_MINT, SOL)])
def test_tokens_by_symbol_in_any_case_or_by_mint(text: str, found: token.Token) -> None:
    assert terms(order(tokenIn=f'"{text}"'), None).token_in == found


@pytest.mark.parametrize("text", ["FAIL", "flaky", "FOO-1", "$WIF", "2" * 44])
def test_unknown_tokens_are_orders_too(text: str) -> None:
    found = terms(order(tokenOut=f'"{text}"'), None).token_out
    assert found.name == (text if len(text) == 44 else text.upper())


@pytest.mark.parametrize("missing", ["tokenIn", "tokenOut", "amount"])
@pytest.mark.parametrize("text", ["", "null", '""'])
def test_missing_fields_have_their_agreed_words(missing: str, text: str) -> None:
    error = refused(order(**{missing: text}))
    assert (error.code, str(error)) == ("missing_fields", "tokenIn, tokenOut, amount required")


@pytest.mark.parametrize("spelling", ["450", "450.0", '"450"', '"450.000000"', "4.5e2"])
def test_an_output_to_buy_is_exact_base_units_in_any_spelling(spelling: str) -> None:
    bought = Terms(SOL, USDC, 0, Decimal("0.02"), amount_out=450_000_000)
    assert terms(purchase(amountOut=spelling), None) == bought
    assert terms(purchase(amountOut=spelling, amount="null"), None) == bought
    assert terms(purchase(amountOut=spelling, amount='""'), None) == bought


@pytest.mark.parametrize("units", ["1", "442572077", str(2**64), "9" * 39])
def test_bounds_are_base_units(units: str) -> None:
    assert terms(order(minAmountOut=f'"{units}"'), None).min_amount_out == int(units)
    assert terms(purchase(maxAmountIn=f'"{units}"'), None).max_amount_in == int(units)


def test_bounds_that_are_null_are_not_given() -> None:
    assert terms(order(amountOut="null", minAmountOut="null", maxAmountIn="null"), None) == terms(order(), None)
    assert terms(purchase(minAmountOut="null", maxAmountIn="null"), None) == terms(purchase(), None)


def test_bounds_and_wanted_outputs_make_other_orders() -> None:
    bodies = [order(), order(minAmountOut='"1"'), order(minAmountOut='"2"'), purchase(), purchase(maxAmountIn='"1"')]
    found = [terms(body, None) for body in bodies]
    assert len({each.digest() for each in found}) == len(bodies)
    for each in found:
        assert Terms.read(msgspec.json.encode(each)) == each


def test_both_amounts_are_named() -> None:
    error = refused(order(amountOut="450"))
    assert error.code == "two_amounts"
    assert "amount and amountOut" in str(error)


def test_a_bound_beside_the_other_amount_is_named() -> None:
    assert str(refused(purchase(minAmountOut='"1"'))) == "minAmountOut goes with amount, which is not given"
    assert str(refused(order(maxAmountIn='"1"'))) == "maxAmountIn goes with amountOut, which is not given"


def test_unknown_fields_are_named() -> None:
    error = refused(order(side='"buy"', price="1"))
    assert error.code == "unknown_field"
    assert '"side", "price"' in str(error)


def test_the_same_token_is_named() -> None:
    error = refused(order(tokenIn=f'"{USDC_MINT}"', tokenOut='"usdc"'))
    assert (error.code, str(error)) == ("same_token", "tokenIn and tokenOut are the same token, USDC")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8; x=y",
        " application/json ",
        "application/vnd.orders.v1+json",
        "text/json",
    ],
)
def test_json_by_any_of_its_names_or_none(content_type: str | None) -> None:
    assert terms(order(), content_type).amount == 3_000_000_000


def test_another_media_type_is_named() -> None:
    error = refused(order(), "text/html; charset=utf-8")
    assert isinstance(error, UnsupportedMediaType)
    assert error.code == "unsupported_media_type"
    assert "application/json" in str(error)
    assert '"text/html"' in str(error)


def test_the_body_limit() -> None:
    body = order()
    assert terms(body + b" " * (BODY_LIMIT - len(body)), None)
    assert refused(body + b" " * (BODY_LIMIT - len(body) + 1)).code == "too_large"


def test_there_are_enough_hostile_bodies_under_distinct_names() -> None:
    assert len(BODIES) >= 80
    assert len({hostile.name for hostile in BODIES}) == len(BODIES)


@pytest.mark.parametrize("hostile", BODIES, ids=lambda hostile: hostile.name)
def test_hostile_bodies_are_refused(hostile: Body) -> None:
    error = refused(hostile.body, hostile.content_type)
    assert error.code == hostile.code
    assert len(str(error)) < 300
    assert str(error).isascii()


@pytest.mark.parametrize("hostile", BODIES, ids=lambda hostile: hostile.name)
def test_an_edge_that_replaces_bad_bytes_changes_no_code(hostile: Body) -> None:
    replaced = hostile.body.decode(errors="replace").encode()
    assert refused(replaced, hostile.content_type).code == hostile.code


@pytest.mark.parametrize("field", ["tokenIn", "tokenOut", "amount", "slippageTolerance", "minAmountOut"])
def test_a_wrong_type_names_its_field(field: str) -> None:
    assert str(refused(order(**{field: "[]"}))).startswith(field)


@pytest.mark.parametrize("field", ["tokenIn", "tokenOut", "amountOut", "slippageTolerance", "maxAmountIn"])
def test_a_wrong_type_of_a_purchase_names_its_field(field: str) -> None:
    assert str(refused(purchase(**{field: "[]"}))).startswith(field)


@given(st.text(alphabet=st.characters(), max_size=300) | st.text(alphabet="~!az", max_size=300))
def test_a_key_is_kept_as_it_is_or_refused(header: str) -> None:
    well_formed = 1 <= len(header) <= 255 and all("!" <= letter <= "~" for letter in header)
    try:
        assert idempotency_key(header) == header
        assert well_formed
    except ClientError as error:
        assert not well_formed
        assert error.code == "invalid_idempotency_key"


_TOKENS = st.sampled_from([known.name for known in token.KNOWN] + ["FAIL", "FOO"])


def _spellings(units: int, decimals: int) -> list[str]:
    """Ways to write an amount of base units."""
    plain = f"{Decimal(units).scaleb(-decimals):f}"
    padded = plain + ("000" if "." in plain else ".000")
    return [plain, f'"{plain}"', padded, f'"{padded}"', f"{units}e-{decimals}", f"{plain}E0", f"{plain}e+00"]


@given(st.integers(1, U64_MAX), _TOKENS, _TOKENS, st.data())
def test_any_amount_survives_any_spelling(units: int, token_in: str, token_out: str, data: st.DataObject) -> None:
    assume(token_in != token_out)
    found = token.find(token_in)
    assert found
    text = data.draw(st.sampled_from(_spellings(units, found.decimals)))
    order_terms = terms(order(tokenIn=f'"{token_in}"', tokenOut=f'"{token_out}"', amount=text), None)
    assert order_terms.amount == units
    assert msgspec.json.decode(msgspec.json.encode(order_terms), type=Terms) == order_terms


# The two tokens, base units of the first, and slippage in units of its last decimal.
Wanted = tuple[token.Token, token.Token, int, int]
_NUMBERS = st.integers(1, U64_MAX) | st.sampled_from([1, 2, 10, 20, 10**9, 3 * 10**9])
_SLIPPAGES = st.integers(0, 10**MAX_SLIPPAGE_DECIMALS - 1) | st.sampled_from([0, 1, 10**21, 10**22, 2 * 10**22])
_TRADED = st.sampled_from([*token.KNOWN[:4], token.Token("FOO", 9), token.Token("2" * 44, 9, "2" * 44)])
_WANTED = st.tuples(_TRADED, _TRADED, _NUMBERS, _SLIPPAGES).filter(lambda wanted: wanted[0] != wanted[1])
_DEFAULT_SLIPPAGE_UNITS = 10**22


def _spelled(data: st.DataObject, wanted: Wanted) -> bytes:
    """A body that asks for an order in one of its spellings."""
    names = []
    for each in wanted[:2]:
        symbols = [] if each.name == each.mint else [each.name, each.name.lower(), each.name.capitalize()]
        names.append(json.dumps(data.draw(st.sampled_from(symbols + [each.mint] * bool(each.mint)))))
    omitted = ["", "null"] if wanted[3] == _DEFAULT_SLIPPAGE_UNITS else []
    return order(
        tokenIn=names[0],
        tokenOut=names[1],
        amount=data.draw(st.sampled_from(_spellings(wanted[2], wanted[0].decimals))),
        slippageTolerance=data.draw(st.sampled_from(omitted + _spellings(wanted[3], MAX_SLIPPAGE_DECIMALS))),
    )


@given(_WANTED, st.data())
def test_the_same_order_has_one_digest_in_any_spelling(wanted: Wanted, data: st.DataObject) -> None:
    first, second = (terms(_spelled(data, wanted), None) for _ in range(2))
    assert first.digest() == second.digest()


@given(_WANTED, _WANTED, st.integers(0, 3), st.data())
def test_orders_that_differ_in_one_part_have_different_digests(
    one: Wanted, more: Wanted, part: int, data: st.DataObject
) -> None:
    token_in, token_out, units, slippage = (more[at] if at == part else one[at] for at in range(4))
    other: Any = (token_in, token_out, units, slippage)
    assume(other != one and token_in != token_out)
    assert terms(_spelled(data, one), None).digest() != terms(_spelled(data, other), None).digest()


@given(st.floats(0, 1, exclude_max=True))
def test_any_slippage_a_script_may_print_is_exact_or_refused(value: float) -> None:
    text = repr(value)
    try:
        assert terms(order(slippageTolerance=text), None).slippage_tolerance == Decimal(text)
    except ClientError as error:
        assert error.code == "invalid_slippage"
        assert value < 1e-6


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_NAMES = ["tokenIn", "tokenOut", "amount", "amountOut", "slippageTolerance", "minAmountOut", "maxAmountIn", "extra"]
_FIELDS = st.sampled_from(_NAMES)


def _only_client_errors(body: bytes, content_type: str | None) -> None:
    try:
        accepted = terms(body, content_type)
    except ClientError as error:
        assert error.code in set(Fault)
        assert str(error).isascii()
        return
    assert bool(accepted.amount) != bool(accepted.amount_out)
    assert 0 < accepted.amount + accepted.amount_out <= U64_MAX
    assert not (accepted.min_amount_out and accepted.amount_out)
    assert not (accepted.max_amount_in and accepted.amount)
    assert 0 <= accepted.slippage_tolerance < 1
    assert accepted.token_in != accepted.token_out


@given(st.binary(), st.none() | st.text(alphabet=st.characters()))
def test_any_bytes_are_accepted_or_refused(body: bytes, content_type: str | None) -> None:
    _only_client_errors(body, content_type)


@given(_JSON | st.dictionaries(_FIELDS, _JSON | st.sampled_from(["SOL", "USDC", "1.5", 3, 0.5])))
def test_any_json_is_accepted_or_refused(value: object) -> None:
    _only_client_errors(json.dumps(value).encode(), JSON_TYPE)


@given(st.integers(0, len(order())), st.integers(0, 8), st.binary(max_size=8))
def test_any_damage_to_an_order_is_accepted_or_refused(at: int, cut: int, inserted: bytes) -> None:
    body = order()
    _only_client_errors(body[:at] + inserted + body[at + cut :], JSON_TYPE)


@given(
    st.sampled_from([order, purchase]),
    _FIELDS,
    st.text(alphabet="0123456789.eE+-", min_size=1, max_size=12),
    st.booleans(),
)
def test_any_numeral_is_accepted_or_refused(
    post: Callable[..., bytes], field: str, numeral: str, as_string: bool
) -> None:
    _only_client_errors(post(**{field: f'"{numeral}"' if as_string else numeral}), JSON_TYPE)

"""Order types: what their prices allow, what they wait for, and where an evaluation without a fill leads."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Terms
from chalicelib.domain.order_types import TYPES
from chalicelib.domain.price import least_output, most_input
from chalicelib.domain.token import U64_MAX, Token

amounts = st.integers(1, U64_MAX)
tokens = st.builds(Token, name=st.just("T"), decimals=st.integers(0, 12))
prices = st.decimals(min_value="0.000000001", max_value="1000000000", allow_nan=False, places=9).filter(bool)


def holds(price: Decimal, amount_in: int, amount_out: int, token_in: Token, token_out: Token) -> bool:
    """Whether an output costs at most a price, by its definition."""
    most, whole = price.as_integer_ratio()
    return amount_in * 10**token_out.decimals * whole <= most * amount_out * 10**token_in.decimals


def order(order_type: str, amount: int = 3 * 10**9, amount_out: int = 0, **details: str) -> Terms:
    sold, bought = Token("SOL", 9), Token("USDC", 6)
    return Terms(sold, bought, amount, Decimal("0.01"), amount_out=amount_out, order_type=order_type, details=details)


@given(prices, amounts, tokens, tokens)
def test_the_least_output_is_the_least_that_a_price_allows(
    price: Decimal, amount_in: int, token_in: Token, token_out: Token
) -> None:
    least = least_output(price, amount_in, token_in, token_out)
    assert holds(price, amount_in, least, token_in, token_out)
    assert least == 1 or not holds(price, amount_in, least - 1, token_in, token_out)


@given(prices, amounts, tokens, tokens)
def test_the_most_input_is_the_most_that_a_price_allows(
    price: Decimal, amount_out: int, token_in: Token, token_out: Token
) -> None:
    most = most_input(price, amount_out, token_in, token_out)
    assert holds(price, most, amount_out, token_in, token_out)
    assert not holds(price, most + 1, amount_out, token_in, token_out)


@pytest.mark.parametrize("name", ["limit", "stop", "takeProfit"])
def test_a_limit_price_bounds_what_is_fixed_last(name: str) -> None:
    kind = TYPES[name]
    assert kind.bound(order(name, limitPrice="0.006")) == 500_000_000
    assert kind.bound(order(name, amount=0, amount_out=500_000_000, limitPrice="0.006")) == 3 * 10**9
    assert kind.bound(order(name)) is None


@pytest.mark.parametrize(
    ("name", "reference", "fires"),
    [
        ("limit", "0.0061", False),
        ("limit", "0.006", True),
        ("limit", "0.0059", True),
        ("takeProfit", "0.0061", False),
        ("takeProfit", "0.006", True),
        ("stop", "0.0059", False),
        ("stop", "0.006", True),
        ("stop", "0.0061", True),
    ],
)
def test_what_fires_an_order(name: str, reference: str, fires: bool) -> None:
    watch = TYPES[name].watch(order(name, limitPrice="0.006", triggerPrice="0.006"))
    assert watch is not None
    assert watch.fires_at(Decimal(reference)) == fires


def test_a_limit_that_failed_at_its_size_waits_for_the_reference_it_needs() -> None:
    limit = order("limit", limitPrice="0.006")
    needed = TYPES["limit"].watch(limit, 0.01)
    assert needed is not None
    assert (needed.rising, needed.price) == (False, Decimal("0.00594"))
    # Rounding of base units is no impact, and one that loses everything leaves nothing to wait for.
    assert TYPES["limit"].watch(limit, 1e-9) == TYPES["limit"].watch(limit)
    assert TYPES["limit"].watch(limit, -0.1) == TYPES["limit"].watch(limit)
    assert TYPES["limit"].watch(limit, 2.0).price == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "policy", "leads_to"),
    [
        ("market", None, None),
        ("limit", None, Status.OPEN),
        ("limit", "GTC", Status.OPEN),
        ("limit", "GTD", Status.OPEN),
        ("limit", "IOC", Status.EXPIRED),
        ("limit", "FOK", Status.EXPIRED),
        ("stop", None, Status.OPEN),
        ("takeProfit", "GTD", Status.OPEN),
    ],
)
def test_where_an_evaluation_without_a_fill_leads(name: str, policy: str | None, leads_to: Status | None) -> None:
    details = {} if policy is None else {"timeInForce": policy}
    assert TYPES[name].unfilled(order(name, **details)) == leads_to


def test_each_type_is_listed_under_its_name_and_describes_its_fields() -> None:
    assert all(name == kind.name and kind.about for name, kind in TYPES.items())
    assert all(field.about for kind in TYPES.values() for field in kind.fields)

"""Quotes: what an order would get, and orders that hold to one."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from chalicelib.domain.token import ANY
from chalicelib.handlers import rest
from chalicelib.intake.validation import terms
from tests.hostile import BODIES
from tests.integration.rig import SOL_TO_USDC, Request, Rig

PURCHASE = {"tokenIn": "SOL", "tokenOut": "USDC", "amountOut": 450}


def asked(body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    reply = rest.quote(Request(json.dumps(body).encode()))
    assert reply.status == status, reply.body
    found: dict[str, Any] = json.loads(reply.body)
    return found


def building(rig: Rig, order_id: str) -> dict[str, Any]:
    """The route of an order's first attempt."""
    found: dict[str, Any] = next(event["meta"]["route"] for event in rig.show(order_id)["events"] if event["seq"] == 3)
    return found


def test_a_quote_is_the_route_that_a_frame_has_and_stores_nothing(rig: Rig) -> None:
    quote = asked(SOL_TO_USDC)
    route = quote["route"]
    assert set(quote) == {"route", "minAmountOut"}
    assert (route["amountIn"], route["minAmountOut"]) == ("3000000000", quote["minAmountOut"])
    assert int(quote["minAmountOut"]) < int(route["amountOut"]) == int(route["chosen"]["amountOut"])
    assert rig.sql("SELECT count(*) FROM orders") == [(0,)]
    assert rig.messages("orders") == 0
    order_id = rig.post()
    rig.settle(order_id)
    assert set(route) == set(building(rig, order_id))


def test_a_quote_for_an_output_is_the_input_that_it_costs(rig: Rig) -> None:
    quote = asked(PURCHASE | {"slippageTolerance": "0.1"})
    route = quote["route"]
    assert set(quote) == {"route", "maxAmountIn"}
    assert int(route["amountOut"]) >= 450_000_000
    assert int(quote["maxAmountIn"]) == int(route["amountIn"]) * 11 // 10


@pytest.mark.parametrize(("body", "bound"), [(SOL_TO_USDC, "minAmountOut"), (PURCHASE, "maxAmountIn")])
def test_an_order_with_a_quotes_bound_is_held_to_it(rig: Rig, body: dict[str, Any], bound: str) -> None:
    given = asked(body)[bound]
    # Far from what the market would give, so that it is the quote's and no other.
    loose = str(int(given) // 2 if bound == "minAmountOut" else int(given) * 2)
    order_id = json.loads(rest.execute(Request(json.dumps(body | {bound: loose}).encode())).body)["orderId"]
    rig.settle(order_id)
    assert building(rig, order_id)[bound] == loose
    assert rig.show(order_id)[bound] == loose


@pytest.mark.parametrize(
    ("body", "bound"), [(SOL_TO_USDC, {"minAmountOut": "9" * 30}), (PURCHASE, {"maxAmountIn": "1"})]
)
def test_a_bound_out_of_reach_is_unmet_and_tells_both_numbers(
    rig: Rig, body: dict[str, Any], bound: dict[str, str]
) -> None:
    quoted = asked(body)["route"]["amountOut" if "minAmountOut" in bound else "amountIn"]
    answer = asked(body | bound, 422)
    assert answer["code"] == "bound_unmet"
    assert next(iter(bound.values())) in answer["error"]
    assert any(word.isdigit() and len(word) == len(quoted) for word in answer["error"].split())


@pytest.mark.parametrize(
    "body", [SOL_TO_USDC | {"amount": "0.000000001"}, PURCHASE | {"amountOut": 18_446_744_073_709}]
)
def test_what_no_venue_can_do_is_no_route_with_the_reason(rig: Rig, body: dict[str, Any]) -> None:
    answer = asked(body, 422)
    assert (answer["code"], set(answer)) == ("no_route", {"error", "code"})
    assert answer["error"].startswith("no route: ")


def test_each_hostile_body_is_refused_by_the_same_name_as_an_order(rig: Rig) -> None:
    for hostile in BODIES:
        reply = rest.quote(Request(hostile.body, content_type=hostile.content_type))
        answer = json.loads(reply.body)
        assert (reply.status, answer["code"]) == (hostile.status, hostile.code), hostile.name
        assert set(answer) == {"error", "code"}, hostile.name


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = {
    "tokenIn": st.sampled_from(["SOL", "USDC", "BONK", "WBTC", "FAIL", "FOO", "2" * 44]),
    "tokenOut": st.sampled_from(["SOL", "USDC", "BONK", "WBTC", "FLAKY", "FOO", "2" * 44]),
    "amount": st.integers(1, 2**64).map(lambda units: f"{Decimal(units).scaleb(-5):f}"),
    "slippageTolerance": st.sampled_from([0, "0", 0.5, "0.999999999999999999999999"]),
}
_BOUNDS = st.integers(1, 2**70).map(str)
_SALES = st.fixed_dictionaries(_FIELDS, optional={"minAmountOut": _BOUNDS})
_PURCHASES = st.fixed_dictionaries(
    {("amountOut" if name == "amount" else name): drawn for name, drawn in _FIELDS.items()},
    optional={"maxAmountIn": _BOUNDS},
)
_on_one_rig = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_on_one_rig
@given(st.data())
def test_no_json_makes_the_engine_fail(rig: Rig, data: st.DataObject) -> None:
    assert rig.queues
    body = data.draw(_SALES | _PURCHASES)
    damaged = body | data.draw(st.dictionaries(st.sampled_from(list(body)), _JSON, min_size=1))
    for each in (damaged, data.draw(_JSON)):
        reply = rest.quote(Request(json.dumps(each).encode()))
        assert reply.status in (200, 400, 422), reply.body


@_on_one_rig
@given(_SALES | _PURCHASES)
def test_any_order_has_a_quote_that_can_be_ordered_or_no_route(rig: Rig, body: dict[str, Any]) -> None:
    assume(body["tokenIn"] != body["tokenOut"])
    reply = rest.quote(Request(json.dumps(body).encode()))
    answer = json.loads(reply.body)
    if reply.status == 200:
        bound = {name: value for name, value in answer.items() if name != "route"}
        assert terms(json.dumps(body | bound).encode(), None, ANY, datetime.now(UTC))
    else:
        assert (reply.status, answer["code"]) in [
            (422, "no_route"),
            (422, "bound_unmet"),
            (400, "amount_too_large"),
        ]

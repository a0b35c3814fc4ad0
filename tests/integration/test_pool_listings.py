"""The pool market as REST shows it: its tokens, its pools, and quotes of them."""

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.handlers import rest
from chalicelib.venues.pools import catalogue
from chalicelib.venues.raydium.pool import CpmmPool
from tests.integration.asked import install
from tests.integration.rig import SOL_TO_USDC, Request, Rig
from tests.vectors import cpmm
from tests.vectors.__main__ import VECTORS

CASES = [case for case in msgspec.json.decode((VECTORS / "raydium_cpmm.json").read_bytes()) if "accounts" in case]
POOLS: list[CpmmPool] = [cpmm.from_accounts(case["accounts"]) for case in CASES]
# Each trades two tokens of its own, which the engine's file does not name.
TRADED = POOLS[-1]


@pytest.fixture
def market(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A container whose market is a directory of recorded pools."""
    for case in CASES:
        for pubkey, document in case["accounts"].items():
            account = msgspec.structs.replace(cpmm.account(pubkey, document), slot=7)
            (tmp_path / f"{pubkey}.json").write_bytes(account.to_json())
    monkeypatch.setenv("MARKET", "pools")
    monkeypatch.setenv("POOLS_DIRECTORY", str(tmp_path))
    return rig


def body(**fields: Any) -> bytes:
    mint_in, mint_out = TRADED.mints
    return json.dumps({"tokenIn": mint_in, "tokenOut": mint_out, "amount": "0.5"} | fields).encode()


def listed(name: str, **query: str) -> dict[str, Any]:
    reply = rest.pools(Request(query=query)) if name == "pools" else rest.tokens(Request())
    assert reply.status == 200, reply.body
    found: dict[str, Any] = json.loads(reply.body)
    return found


def test_tokens_are_those_of_the_file_and_then_those_of_pools(market: Rig) -> None:
    assert market.queues
    tokens = listed("tokens")["tokens"]
    named = [token for token in tokens if token["symbol"]]
    assert {"symbol": "USDC", "mint": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "decimals": 6} in named
    assert tokens[: len(named)] == named
    traded = {mint: decimals for pool in POOLS for mint, decimals in zip(pool.mints, pool.decimals, strict=True)}
    others = [(token["mint"], token["decimals"]) for token in tokens[len(named) :]]
    assert others == sorted(others)
    assert dict(others) == traded
    assert listed("tokens")["tokens"] == tokens


def test_pools_are_listed_by_address_in_pages(market: Rig) -> None:
    everything = listed("pools")["pools"]
    assert {pool["address"] for pool in everything} == {pool.address for pool in POOLS}
    (one,) = [pool for pool in everything if pool["address"] == TRADED.address]
    age = one.pop("ageSeconds")
    assert age >= 0
    assert one == {
        "address": TRADED.address,
        "venue": "Raydium",
        "tokens": [{"symbol": None, "mint": mint} for mint in TRADED.mints],
        "slot": 7,
        "version": 1,
        "live": False,
    }
    for limit in (1, 5, len(POOLS) - 1, len(POOLS)):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = listed("pools", limit=str(limit), **cursor)
            assert len(page["pools"]) <= limit
            seen += [pool["address"] for pool in page["pools"]]
            if page["nextCursor"] is None:
                break
            cursor = {"cursor": page["nextCursor"]}
        assert seen == [pool["address"] for pool in everything]
    assert market.sql("SELECT count(*) FROM pools") == [(len(POOLS),)]


def test_a_known_token_is_shown_by_its_symbol(market: Rig) -> None:
    listed("pools")
    market.sql("UPDATE pools SET mint_0 = 'So11111111111111111111111111111111111111112'")
    assert listed("pools", limit="1")["pools"][0]["tokens"][0]["symbol"] == "SOL"


def test_a_pools_tokens_are_found_by_their_mints_with_the_chains_decimals(market: Rig) -> None:
    order_id = json.loads(rest.execute(Request(body())).body)["orderId"]
    assert market.show(order_id)["tokenIn"] == TRADED.mints[0]
    assert market.row(order_id)["payload"]["amount"] == 5 * 10 ** (TRADED.decimals[0] - 1)
    quote = json.loads(rest.quote(Request(body())).body)
    assert quote["route"]["legs"][0]["pool"] == TRADED.address


@pytest.mark.parametrize(
    ("fields", "named"), [({"tokenIn": "FOO"}, "tokenIn"), ({"tokenOut": "2" * 44}, "tokenOut"), (SOL_TO_USDC, None)]
)
def test_an_unknown_token_is_refused_by_name(market: Rig, fields: dict[str, str], named: str | None) -> None:
    for reply in (rest.execute(Request(body(**fields))), rest.quote(Request(body(**fields)))):
        answer = json.loads(reply.body)
        if named:
            assert (reply.status, answer["code"]) == (400, "unknown_token")
            assert answer["error"].startswith(named)
    # A token of the file is known, whether a pool trades it or not.
    assert (reply.status, answer["code"]) == ((400, "unknown_token") if named else (422, "no_route"))
    assert market.sql("SELECT count(*) FROM orders") == [(0 if named else 1,)]


def test_tokens_are_looked_up_once_and_an_order_of_known_ones_is_one_statement(
    market: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "REFRESH_SECONDS", math.inf)
    asked = install()
    assert rest.execute(Request(json.dumps(SOL_TO_USDC).encode())).status == 200
    assert asked.taken() == (["accept"], [])
    assert rest.execute(Request(body())).status == 200
    assert asked.taken() == (["keep", "mints", "accept"], [])
    for fields in ({}, SOL_TO_USDC, {"tokenIn": "FOO"}, {"tokenOut": "2" * 44}):
        rest.execute(Request(body(**fields)))
    assert asked.taken() == (["accept"] * 2, [])
    assert market.sql("SELECT count(*) FROM orders") == [(4,)]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 2**64 - 1), st.booleans(), st.sampled_from(["amount", "amountOut"]))
def test_any_amount_has_a_quote_or_no_route(market: Rig, units: int, forward: bool, field: str) -> None:
    side = forward == (field == "amountOut")
    amount = f"{Decimal(units).scaleb(-TRADED.decimals[side]):f}"
    mint_in, mint_out = TRADED.mints if forward else TRADED.mints[::-1]
    asked = {"tokenIn": mint_in, "tokenOut": mint_out, field: amount}
    reply = rest.quote(Request(json.dumps(asked).encode()))
    answer = json.loads(reply.body)
    if reply.status == 200:
        (leg,) = answer["route"]["legs"]
        assert (leg["tokenIn"], leg["tokenOut"]) == (mint_in, mint_out)
        assert int(answer["route"]["amountOut" if field == "amountOut" else "amountIn"]) >= units
    else:
        assert (reply.status, answer["code"]) == (422, "no_route"), answer
    assert market.queues

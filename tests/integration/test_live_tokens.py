"""Orders of tokens that only the chain knows."""

import asyncio
import json
import math

import pytest
from aiohttp import web

from chalicelib.domain import base58
from chalicelib.handlers import rest
from chalicelib.solana import address
from chalicelib.solana.account import Account
from chalicelib.solana.rpc import MOST_REPLY
from chalicelib.venues.pools import catalogue
from tests.integration.asked import install
from tests.integration.live import RAYDIUM
from tests.integration.node import Node, answer
from tests.integration.rig import SOL_TO_USDC, Request, Rig

MINT, OTHER = (base58.encode(bytes([number]) * 32) for number in (7, 8))


def post(token_in: str, token_out: str = "USDC", amount: str = "0.5") -> tuple[int, dict[str, str]]:
    reply = rest.execute(Request(json.dumps({"tokenIn": token_in, "tokenOut": token_out, "amount": amount}).encode()))
    return reply.status, json.loads(reply.body)


def put(chain: Node, pubkey: str, decimals: int) -> None:
    data = b"\0" * 44 + bytes([decimals, 1]) + b"\0" * 36
    chain.accounts[pubkey] = Account(pubkey, address.TOKEN_PROGRAM, data)


def test_a_mint_of_the_chain_is_known_by_its_own_decimals(chain: Node, rig: Rig) -> None:
    put(chain, MINT, 3)
    put(chain, OTHER, 0)
    asked = install()
    status, body = post(MINT, OTHER)
    assert status == 200
    assert rig.row(body["orderId"])["payload"]["amount"] == 500
    assert asked.taken() == (["mints", "accept"], [])
    assert [set(params[0]) for params in chain.called("getMultipleAccounts")] == [{MINT, OTHER}]
    # From then on nobody is asked, nor do others see what was asked for.
    assert post(OTHER, MINT, "2")[0] == 200
    assert asked.taken() == (["accept"], [])
    assert chain.calls == []
    assert MINT not in rest.tokens(Request()).body
    reply = rest.quote(Request(json.dumps({"tokenIn": MINT, "tokenOut": "SOL", "amount": 1}).encode()))
    assert (reply.status, json.loads(reply.body)["code"]) == (422, "no_route")


def test_a_mint_of_any_size_is_looked_up(chain: Node, rig: Rig) -> None:
    put(chain, MINT, 3)
    extended = chain.accounts[MINT].data + b"\0" * 83 + b"\1" + b"\0" * MOST_REPLY
    chain.change(MINT, data=extended, owner=address.TOKEN_2022_PROGRAM)
    assert post(MINT)[0] == 200


def test_an_order_of_known_tokens_is_one_statement_and_no_call(
    chain: Node, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "REFRESH_SECONDS", math.inf)
    asked = install()
    for _ in range(2):
        assert rest.execute(Request(json.dumps(SOL_TO_USDC).encode())).status == 200
    assert asked.taken() == (["accept", "accept"], [])
    assert chain.calls == []


def test_a_token_that_the_chain_has_no_mint_of_is_refused(chain: Node, rig: Rig) -> None:
    vault = address_of_a_vault(chain)
    for token in (MINT, RAYDIUM[0], vault, address.SYSVARS):
        for _ in range(2):
            status, body = post(token)
            assert (status, body["code"]) == (400, "unknown_token")
            assert body["error"].startswith("tokenIn")
        assert len(chain.called("getMultipleAccounts")) == 1
    assert post("FOO")[1]["code"] == "unknown_token"
    assert chain.calls == []
    assert rig.sql("SELECT 1 FROM orders") == []


def address_of_a_vault(chain: Node) -> str:
    return next(each.pubkey for each in chain.accounts.values() if len(each.data) == 165)


@pytest.mark.parametrize("fault", ["broken", "silent", "unreadable", "many"])
def test_a_node_that_cannot_say_is_a_reason_to_post_again(chain: Node, rig: Rig, fault: str) -> None:
    put(chain, MINT, 3)
    if fault == "silent":
        chain.gates["getMultipleAccounts"] = asyncio.Event()
    elif fault == "broken":
        chain.faults = [lambda *_: web.Response(status=502)]
    elif fault == "unreadable":
        chain.faults = [lambda *_: web.Response(text="{")]
    else:
        chain.faults = [lambda *_: answer({"context": {"slot": 1}, "value": [None, None]})]
    for handler in (rest.execute, rest.quote):
        reply = handler(Request(json.dumps({"tokenIn": MINT, "tokenOut": "USDC", "amount": 1}).encode()))
        assert (reply.status, json.loads(reply.body)["code"]) == (503, "unavailable")
        assert "Retry-After" in reply.headers
    assert rig.sql("SELECT 1 FROM orders") == []
    # Known tokens do not suffer.
    assert post("SOL")[0] == 200
    chain.faults, chain.gates = [], {}
    assert post(MINT)[0] == 200

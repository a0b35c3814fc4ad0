"""A node's RPC: what is asked, and what becomes of each kind of answer."""

import asyncio
import json
from base64 import b64encode
from typing import Any

import pytest

from chalicelib.domain import base58
from chalicelib.domain.errors import ConfigurationError, RpcUnavailable
from chalicelib.solana.address import TOKEN_PROGRAM
from chalicelib.solana.rpc import MOST_REPLY, Rpc, Window
from tests.integration.service import reply, serving

ONE, OTHER = base58.encode(b"\1" * 32), base58.encode(b"\2" * 32)
KEY = "0123456789abcdef"
EMPTY: dict[str, Any] = {"context": {"slot": 7}, "value": [None]}


def answer(result: Any, status: int = 200, headers: str = "") -> bytes:
    return reply(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode(), status, headers)


def refusal(code: int, message: str = "no", status: int = 200) -> bytes:
    return reply(json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}).encode(), status)


def contents(data: bytes = b"data", **changes: Any) -> dict[str, Any]:
    encoded = [b64encode(data).decode(), "base64"]
    return {
        "data": encoded,
        "executable": False,
        "lamports": 1,
        "owner": TOKEN_PROGRAM,
        "rentEpoch": 2**64 - 1,
    } | changes


def soon(seconds: float = 20) -> float:
    return asyncio.get_running_loop().time() + seconds


DONE = answer(EMPTY)


async def test_accounts_come_with_their_slot_and_those_that_are_not_there_as_none() -> None:
    result = {"context": {"slot": 7, "apiVersion": "2.0"}, "value": [contents(), None]}
    async with serving(answer(result)) as (service, address):
        rpc = Rpc(f"http://{address}/v2/{KEY}/?api-key={KEY}&x=%20y")
        slot, found = await rpc.accounts([ONE, OTHER], soon(), least_slot=5, window=Window(2, 3))
        await rpc.accounts([ONE, OTHER], soon())
    account = found[ONE]
    assert account is not None
    assert (slot, account.pubkey, account.owner, account.data, account.slot) == (7, ONE, TOKEN_PROGRAM, b"data", 7)
    assert found[OTHER] is None
    first, second = (json.loads(each.body) for each in service.received)
    common = {"encoding": "base64", "commitment": "confirmed"}
    window = {"offset": 2, "length": 3}
    assert first["method"] == "getMultipleAccounts"
    assert first["params"] == [[ONE, OTHER], common | {"minContextSlot": 5, "dataSlice": window}]
    assert second["params"] == [[ONE, OTHER], common]
    # The URL is sent as it was given, over one connection.
    assert {each.path for each in service.received} == {f"/v2/{KEY}/?api-key={KEY}&x=%20y"}
    assert (service.received[0].headers["host"], service.connections) == (address, 1)


async def test_a_programs_accounts_are_asked_for_by_size_and_parts() -> None:
    async with serving(answer([{"pubkey": ONE, "account": contents(b"part")}])) as (service, address):
        found = await Rpc(f"http://{address}").program_accounts(
            TOKEN_PROGRAM, soon(), size=637, parts={0: "abc", 168: ONE}, window=Window(72, 64)
        )
    assert [(each.pubkey, each.data) for each in found] == [(ONE, b"part")]
    asked = json.loads(service.received[0].body)
    assert (service.received[0].path, asked["method"], asked["params"][0]) == ("/", "getProgramAccounts", TOKEN_PROGRAM)
    assert asked["params"][1]["filters"] == [
        {"dataSize": 637},
        {"memcmp": {"offset": 0, "bytes": "abc"}},
        {"memcmp": {"offset": 168, "bytes": ONE}},
    ]
    assert asked["params"][1]["dataSlice"] == {"offset": 72, "length": 64}


@pytest.mark.parametrize(
    "fault",
    [
        b"",
        reply(b"<html>oops</html>", 500),
        reply(b"", 503, "Retry-After: 0\r\n"),
        reply(b"", 503, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"),
        reply(b"", 429),
        reply(b"", 429, "Retry-After: 1\r\n"),
        reply(b"", 429, "Retry-After: soon\r\n"),
        reply(b"", 429, "Retry-After: -1\r\n"),
        refusal(-32005, "node is behind", 429),
        refusal(-32016, "minimum context slot has not been reached"),
        reply(b"no JSON"),
        reply(b'{"jsonrpc":"2.0","id":1,"result":{"context":{"slot":7},"val'),
        reply(b"", 200, "Transfer-Encoding: chunked\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n%s\r\n" % (b" " * 0x10000) * 65,
        reply(b"[" * 100_000),
        reply(b"\xff\xfe{}"),
        reply(b"{}"),
        answer(None),
        answer({"context": {"slot": -1}, "value": [None]}),
        answer({"context": {"slot": 2**80}, "value": [None]}),
        answer({"context": {"slot": 7}, "value": [contents() | {"data": ["AA", "base58"]}]}),
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MOST_REPLY + 1) + b" " * (MOST_REPLY + 1),
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
async def test_what_may_pass_is_tried_again(fault: bytes) -> None:
    async with serving(fault, DONE) as (service, address):
        assert await Rpc(f"http://{address}").accounts([ONE], soon()) == (7, {ONE: None})
    assert len(service.received) == 2


async def test_an_endpoint_that_says_nothing_is_tried_again_before_the_time_is_over() -> None:
    async with serving(None, DONE) as (service, address):
        assert await Rpc(f"http://{address}").accounts([ONE], soon(2)) == (7, {ONE: None})
    assert len(service.received) == 2
    async with serving(None) as (service, address):
        with pytest.raises(RpcUnavailable, match=r"^Solana RPC: getMultipleAccounts: no reply in 0\.\d+ s$"):
            await Rpc(f"http://{address}").accounts([ONE], soon(0.3))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(reply(b"", 502), "status 502"), (refusal(-32005, "behind by 9 slots"), "error -32005 behind by 9 slots")],
)
async def test_what_does_not_pass_is_told_after_some_tries(fault: bytes, reason: str) -> None:
    async with serving(fault) as (service, address):
        with pytest.raises(RpcUnavailable, match=f"^Solana RPC: getMultipleAccounts: {reason}$"):
            await Rpc(f"http://{address}").accounts([ONE], soon())
    assert len(service.received) == 4


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (reply(b"", 403), "status 403"),
        (reply(b"", 301, "Location: http://elsewhere/\r\n"), "status 301"),
        (reply(b"", 308, "Location: /\r\n"), "status 308"),
        (refusal(-32602, f"bad key {KEY} in /v2/{KEY}"), "error -32602 bad key … in …"),
        (answer({"context": {"slot": 7}, "value": []}), "0 accounts came for 1"),
        (answer({"context": {"slot": 7}, "value": [contents(owner="nobody")]}), "what came back is no account: .*"),
        (
            answer({"context": {"slot": 7}, "value": [contents() | {"data": ["!", "base64"]}]}),
            "what came back is no account: .*",
        ),
    ],
)
async def test_what_cannot_pass_is_told_at_once_without_the_urls_keys(fault: bytes, reason: str) -> None:
    async with serving(fault) as (service, address):
        with pytest.raises(RpcUnavailable, match=f"^Solana RPC: {reason}$") as told:
            await Rpc(f"http://{address}/v2/{KEY}").accounts([ONE], soon())
    assert KEY not in str(told.value)
    assert len(service.received) == 1


@pytest.mark.parametrize("asks", ["3600", "Sun, 01 Jan 2090 00:00:00 GMT", "9" * 400])
async def test_a_node_that_asks_to_be_left_alone_is_left_alone(asks: str) -> None:
    async with serving(reply(b"", 429, f"Retry-After: {asks}\r\n"), DONE) as (service, address):
        rpc = Rpc(f"http://{address}")
        for _ in range(3):
            with pytest.raises(RpcUnavailable, match=r"^Solana RPC: it asked not to be called for 60 s$"):
                await rpc.accounts([ONE], soon())
        assert len(service.received) == 1


async def test_nobody_there_is_told_without_the_address() -> None:
    async with serving(DONE) as (_, address):
        pass
    with pytest.raises(RpcUnavailable, match=r"^Solana RPC: getMultipleAccounts: ") as told:
        await Rpc(f"http://{address}/{KEY}").accounts([ONE], soon())
    assert KEY not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/0123456789abcdef",
        "http://",
        "http://host:port/0123456789abcdef",
        "http://host/0123 456789abcdef",
        "http://host/?key=0123456789abcdefü",
        "https://user:0123456789abcdef@host/",
    ],
)
def test_a_url_that_cannot_be_asked_is_refused_untold(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^SOLANA_RPC_URL: ") as told:
        Rpc(url)
    assert "abcdef" not in str(told.value)

"""Accounts on a deployed stack that requires keys: by the operator's command, HTTP and WebSocket alone."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from infrastructure.package import ROOT
from local.stack import Endpoints, Plan, Stack
from tests.e2e.client import EXAMPLE, Client, Socket

UNKNOWN = "00000000-0000-7000-8000-000000000000"
HAPPY = ["pending", "routing", "building", "submitted", "confirmed"]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A stack that requires keys, and lets an account post five orders at once."""
    parameters = {"Auth": "required", "AccountOrdersPerSecond": "1", "AccountBurst": "5"}
    with Stack(Plan.ephemeral(tmp_path_factory.mktemp("secured"), parameters)) as stack:
        yield stack.endpoints


def operate(endpoints: Endpoints, *arguments: str) -> Any:
    """The operator's command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "operations", "keys", *arguments, "--json"],
        env=os.environ | {"DATABASE_URL": endpoints.database_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def alice(secured: Endpoints) -> dict[str, str]:
    return bearer(operate(secured, "create", "alice")["key"])


@pytest.fixture(scope="module")
def bob(secured: Endpoints) -> dict[str, str]:
    return bearer(operate(secured, "create", "bob", "--label", "the other one")["key"])


class Caller(Client):
    """A client that gives a key."""

    def __init__(self, session: aiohttp.ClientSession, endpoints: Endpoints) -> None:
        super().__init__(session, endpoints)

    async def ticket(self) -> str:
        async with self.session.post(f"{self.endpoints.url}/api/stream-tickets") as reply:
            body = await reply.json()
            assert reply.status == 201, body
            return str(body["ticket"])


async def refused(session: aiohttp.ClientSession, endpoints: Endpoints, **given: Any) -> int:
    """The status that a socket's handshake is refused with."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await session.ws_connect(endpoints.websocket_url, **given)
    return refusal.value.status


async def test_an_account_places_and_follows_orders_that_nobody_else_finds(
    secured: Endpoints, alice: dict[str, str], bob: dict[str, str]
) -> None:
    async with aiohttp.ClientSession(headers=alice) as hers, aiohttp.ClientSession(headers=bob) as his:
        one, other = Caller(hers, secured), Caller(his, secured)
        order_id = await one.post(clientOrderId="first")
        frames = await one.stream(order_id)
        assert [frame["status"] for frame in frames] == HAPPY
        assert (await one.show(order_id))["clientOrderId"] == "first"
        found = await one.get("/api/orders?clientOrderId=first")
        assert [order["orderId"] for order in found[1]["orders"]] == [order_id]
        unknown = await other.get(f"/api/orders/{UNKNOWN}")
        status, body = await other.get(f"/api/orders/{order_id}")
        assert (status, body["error"].replace(order_id, UNKNOWN), body["code"]) == (
            404,
            unknown[1]["error"],
            "unknown_order",
        )
        for query in ("", "?clientOrderId=first", "?status=confirmed"):
            assert (await other.get(f"/api/orders{query}"))[1]["orders"] == []
        async with other.socket() as socket:
            for asked in (order_id, UNKNOWN):
                await socket.send({"orderId": asked})
                frame = await socket.receive()
                assert frame == {"error": f"no order has the id {asked}", "code": "unknown_order"}


async def test_a_ticket_opens_one_socket(secured: Endpoints, alice: dict[str, str]) -> None:
    async with aiohttp.ClientSession(headers=alice) as hers, aiohttp.ClientSession() as browser:
        one = Caller(hers, secured)
        order_id, ticket = await one.post(), await one.ticket()
        url = f"{secured.websocket_url}?ticket={ticket}&orderId={order_id}"
        answers = await asyncio.gather(*(browser.ws_connect(url) for _ in range(3)), return_exceptions=True)
        sockets = [each for each in answers if isinstance(each, aiohttp.ClientWebSocketResponse)]
        statuses = [each.status for each in answers if isinstance(each, aiohttp.WSServerHandshakeError)]
        assert (len(sockets), statuses) == (1, [401, 401])
        frames = await Socket(sockets[0]).stream(order_id)
        assert [frame["status"] for frame in frames] == HAPPY
        await sockets[0].close()


async def test_who_gives_no_valid_key_is_told_so_at_every_door(secured: Endpoints, alice: dict[str, str]) -> None:
    wrong = alice["Authorization"][:-1] + ("1" if alice["Authorization"][-1] != "1" else "2")
    hostile = ["", "Bearer", "Bearer x", wrong, wrong + ", " + wrong, "Bearer " + "x" * 3000, "Bearer ké", "Basic eA=="]
    told = set()
    async with aiohttp.ClientSession() as session:
        for headers in ({}, *({"Authorization": each} for each in hostile)):
            async with session.post(f"{secured.url}/api/orders/execute", json=EXAMPLE, headers=headers) as reply:
                told.add((reply.status, await reply.text()))
            assert await refused(session, secured, headers=headers) == 401
        assert await refused(session, secured, params={"ticket": "1" * 44}) == 401
        several = [("Authorization", wrong), ("Authorization", "Bearer x")]
        async with session.get(f"{secured.url}/api/orders", headers=several) as reply:
            told.add((reply.status, await reply.text()))
        assert await refused(session, secured, headers=several) == 401
        for path in ("/api/health", "/"):
            async with session.get(f"{secured.url}{path}") as reply:
                assert reply.status == 200
    ((status, body),) = told
    assert (status, json.loads(body)["code"]) == (401, "unauthorized")


async def test_who_posts_too_fast_is_told_when_to_come_again(secured: Endpoints, bob: dict[str, str]) -> None:
    async with aiohttp.ClientSession(headers=bob) as his:

        async def post() -> tuple[int, str | None]:
            async with his.post(f"{secured.url}/api/orders/execute", json=EXAMPLE) as reply:
                return reply.status, reply.headers.get("Retry-After")

        answers = await asyncio.gather(*(post() for _ in range(30)))
        accepted = answers.count((200, None))
        assert 5 <= accepted < 30
        assert set(answers) == {(200, None), (429, "1")}


async def test_a_revoked_key_is_refused_by_sockets_at_once(secured: Endpoints) -> None:
    key = operate(secured, "create", "carol")
    async with aiohttp.ClientSession(headers=bearer(key["key"])) as session:
        async with Caller(session, secured).socket():
            pass
        operate(secured, "revoke", key["prefix"])
        assert await refused(session, secured) == 401
    days = operate(secured, "audit", key["prefix"])["days"]
    assert sum(day["uses"] for day in days) >= 1

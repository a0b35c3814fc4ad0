"""The front door before an upstream that says what it received."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from socket import SHUT_RDWR
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import WSMsgType, web
from yarl import URL

from infrastructure.package import ROOT
from local import front_door
from local.aws import free_port
from local.front_door import CALLS_AT_ONCE, LARGEST_BODY, LARGEST_FRAME, FrontDoor, Upstream
from local.gateway import Gateway

PATHS = {"/": {"get": {}}, "/api/orders/execute": {"post": {}}, "/api/orders/{order_id}": {"get": {}}}
EXECUTE = "/api/orders/execute"


@dataclass
class Emulator:
    """Stands for the emulator: answers with what came, and holds, fails or closes when asked to."""

    received: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    # Whether whoever gives no key is refused.
    keys: bool = False
    under_way: int = 0
    most: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    closed_with: asyncio.Queue[int | None] = field(default_factory=asyncio.Queue)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/rest{path:.*}", self.rest)
        application.router.add_get("/socket", self.socket)
        return application

    async def rest(self, request: web.Request) -> web.Response:
        self.received.append(request)
        self.bodies.append(await request.read())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await (self.released.wait() if "hold" in request.query else asyncio.sleep(0.02))
        self.under_way -= 1
        if self.keys and "Authorization" not in request.headers:
            return web.json_response({"code": "unauthorized"}, status=401, headers={"WWW-Authenticate": "Bearer"})
        if "fail" in request.query:
            kind = {"x-amzn-ErrorType": "InternalServerErrorException"}
            return web.json_response({"message": "Internal server error"}, status=502, headers=kind)
        if "crash" in request.query:
            return web.json_response({"message": "Worker process died"}, status=502)
        if "drop" in request.query and request.transport:
            request.transport.abort()
        return web.json_response({"path": request.path}, status=418, headers={"X-Engine": "yes"})

    async def socket(self, request: web.Request) -> web.StreamResponse:
        if "refuse" in request.query:
            return web.Response(status=int(request.query["refuse"]))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json(
            {"query": request.rel_url.raw_query_string, "client": ", ".join(request.headers.getall("X-Client", []))}
        )
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            elif message.data.startswith("close "):
                await socket.close(code=int(message.data.removeprefix("close ")))
            else:
                await socket.send_str(message.data)
        self.closed_with.put_nowait(socket.close_code)
        return socket


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    resources = json.loads((ROOT / "infrastructure" / "resources.json").read_text())["Resources"]
    resources["RestAPI"]["Properties"]["DefinitionBody"] = {"paths": PATHS}
    return Gateway({"Resources": resources})


@contextlib.asynccontextmanager
async def served(application: web.Application) -> AsyncIterator[URL]:
    """Serves as `web.run_app` does; a test server would cancel a handler when its client goes."""
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield URL.build(scheme="http", host="127.0.0.1", port=runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture
async def seen() -> Emulator:
    return Emulator()


@contextlib.asynccontextmanager
async def entered(gateway: Gateway, seen: Emulator, **bounds: int) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a front door before the emulator."""
    async with served(seen.application()) as url:
        door = FrontDoor(Upstream(str(url / "rest"), str(url / "socket")), gateway, **bounds)
        async with served(door.application()) as own, aiohttp.ClientSession(own) as session:
            yield session


@pytest_asyncio.fixture
async def client(gateway: Gateway, seen: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with entered(gateway, seen) as session:
        yield session


@pytest_asyncio.fixture
async def client_of_nothing(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    away = f"http://127.0.0.1:{free_port()}"
    door = FrontDoor(Upstream(away, away), gateway)
    async with served(door.application()) as own, aiohttp.ClientSession(own) as session:
        yield session


async def told(reply: aiohttp.ClientResponse) -> tuple[int, Any]:
    assert reply.content_type == "application/json"
    return reply.status, await reply.json()


# REST.


async def test_a_request_passes_unchanged(client: aiohttp.ClientSession, seen: Emulator) -> None:
    body = b'{"tokenIn": "\xff\x00"}'
    url = URL(f"{EXECUTE}?a=%20x&a=2&b=%2F", encoded=True)
    headers = {"Content-Type": "text/odd; x=y", "X-Own": "kept", "User-Agent": "mine", "Idempotency-Key": "a-key"}
    async with client.post(url, data=body, headers=headers) as reply:
        assert reply.status == 418
        assert reply.headers["X-Engine"] == "yes"
        assert await reply.json() == {"path": f"/rest{EXECUTE}"}
    (request,) = seen.received
    assert request.raw_path == f"/rest{EXECUTE}?a=%20x&a=2&b=%2F"
    assert {name: request.headers[name] for name in headers} == headers
    assert seen.bodies == [body]


async def test_a_body_without_a_type_gets_none(client: aiohttp.ClientSession, seen: Emulator) -> None:
    async with client.post(EXECUTE, data=b"{}", skip_auto_headers=("Content-Type",)) as reply:
        await reply.read()
    assert "Content-Type" not in seen.received[0].headers


@pytest.mark.parametrize("more", [b"", b"Upgrade: websocket\r\n"], ids=["call", "socket"])
async def test_a_header_that_is_not_utf8_is_refused(client: aiohttp.ClientSession, seen: Emulator, more: bytes) -> None:
    door = client._base_url
    assert door
    # No client library sends such a header.
    reader, writer = await asyncio.open_connection(door.host, door.port)
    start = f"POST {EXECUTE} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n".encode()
    writer.write(start + more + b"Idempotency-Key: k\xe9-1\r\n\r\n")
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body) == {"error": "a header is not UTF-8", "code": "bad_request"}
    assert seen.received == []


async def test_a_header_beyond_ascii_passes_unchanged(client: aiohttp.ClientSession, seen: Emulator) -> None:
    async with client.post(EXECUTE, headers={"Idempotency-Key": "ké-1"}) as reply:
        assert reply.status == 418
    assert seen.received[0].headers["Idempotency-Key"] == "ké-1"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", EXECUTE),
        ("DELETE", EXECUTE),
        ("POST", "/"),
        ("GET", "/api/orders/one/two"),
        ("GET", "/api/orders/"),
        ("OPTIONS", "/api/orders/1"),
    ],
)
async def test_what_no_function_answers_is_not_found(
    client: aiohttp.ClientSession, seen: Emulator, method: str, path: str
) -> None:
    async with client.request(method, path) as reply:
        assert await told(reply) == (404, {"error": "no such path or method", "code": "not_found"})
    assert seen.received == []


@pytest.mark.parametrize("path", ["/", "/api/orders/a%2Fb", "/api/orders/1?x=1"])
async def test_a_path_of_the_template_passes(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(URL(path, encoded=True)) as reply:
        assert reply.status == 418


async def test_a_body_that_is_too_large_is_refused(client: aiohttp.ClientSession, seen: Emulator) -> None:
    async with client.post(EXECUTE, data=b" " * (LARGEST_BODY + 1)) as reply:
        assert await told(reply) == (413, {"error": "the body is too large", "code": "too_large"})
    async with client.post(EXECUTE, data=b" " * LARGEST_BODY) as reply:
        assert reply.status == 418
    assert [len(body) for body in seen.bodies] == [LARGEST_BODY]


@pytest.mark.parametrize("how", ["fail", "crash"])
async def test_a_failed_function_is_answered_as_the_template_says(client: aiohttp.ClientSession, how: str) -> None:
    async with client.post(EXECUTE, params={how: "1"}) as reply:
        assert await told(reply) == (502, {"error": "the engine failed to answer", "code": "internal"})


async def test_an_answer_that_is_lost_leaves_the_outcome_open(client: aiohttp.ClientSession) -> None:
    async with client.post(EXECUTE, params={"drop": "1"}) as reply:
        status, body = await told(reply)
    assert (status, body["code"]) == (504, "outcome_unknown")


async def test_an_emulator_that_is_away_makes_it_unavailable(client_of_nothing: aiohttp.ClientSession) -> None:
    async with client_of_nothing.post(EXECUTE) as reply:
        status, body = await told(reply)
    assert (status, body["code"], reply.headers["Retry-After"]) == (503, "unavailable", "2")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client_of_nothing.ws_connect(EXECUTE)
    assert refusal.value.status == 503


async def test_few_calls_travel_at_once_and_all_arrive(client: aiohttp.ClientSession, seen: Emulator) -> None:
    async def call() -> int:
        async with client.post(EXECUTE) as reply:
            return reply.status

    assert await asyncio.gather(*(call() for _ in range(20))) == [418] * 20
    assert seen.most == CALLS_AT_ONCE


async def test_calls_beyond_those_that_may_wait_are_told_to_come_again(gateway: Gateway, seen: Emulator) -> None:
    async with entered(gateway, seen, most_waiting=3) as client:

        async def post() -> tuple[int, str | None]:
            async with client.post(f"{EXECUTE}?hold") as reply:
                return reply.status, reply.headers.get("Retry-After")

        posts = [asyncio.create_task(post()) for _ in range(CALLS_AT_ONCE + 3 + 2)]
        async with asyncio.timeout(10):
            refused = [await post for post in itertools.islice(asyncio.as_completed(posts), 2)]
        seen.released.set()
        assert refused == [(429, "2")] * 2
        assert sorted([await post for post in posts])[:-2] == [(418, None)] * (CALLS_AT_ONCE + 3)
        assert await post() == (418, None)


# Sockets.


async def test_frames_pass_both_ways(client: aiohttp.ClientSession) -> None:
    headers = [("X-Client", "mine"), ("X-Client", "too")]
    async with client.ws_connect(f"{EXECUTE}?orderId=1&x=%20", headers=headers) as socket:
        assert await socket.receive_json() == {"query": "orderId=1&x=%20", "client": "mine, too"}
        await socket.send_str("text ✓")
        assert (await socket.receive()).data == "text ✓"
        await socket.send_bytes(b"\x00\xff")
        assert (await socket.receive()).data == b"\x00\xff"


async def test_a_ping_is_answered(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect(EXECUTE, autoping=False) as socket:
        await socket.receive()
        await socket.ping(b"there?")
        pong = await socket.receive()
        assert (pong.type, bytes(pong.data)) == (WSMsgType.PONG, b"there?")


async def test_the_clients_close_code_passes(client: aiohttp.ClientSession, seen: Emulator) -> None:
    socket = await client.ws_connect(EXECUTE)
    await socket.close(code=4001)
    assert await asyncio.wait_for(seen.closed_with.get(), 5) == 4001


async def test_the_engines_close_code_passes(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect(EXECUTE) as socket:
        await socket.receive()
        await socket.send_str("close 4002")
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 4002)


async def test_a_client_that_vanishes_is_disconnected(client: aiohttp.ClientSession, seen: Emulator) -> None:
    socket = await client.ws_connect(EXECUTE)
    socket.get_extra_info("socket").shutdown(SHUT_RDWR)
    assert await asyncio.wait_for(seen.closed_with.get(), 5) == front_door.GOING_AWAY


@pytest.mark.parametrize("status", [403, 500, 502, 503])
async def test_a_connect_that_the_engine_could_not_serve_is_unavailable(
    client: aiohttp.ClientSession, status: int
) -> None:
    # The client's own handshake does not show the body of a refusal.
    async with client.get(EXECUTE, params={"refuse": status}, headers={"Upgrade": "websocket"}) as reply:
        refused, body = await told(reply)
    assert (refused, body["code"], reply.headers["Retry-After"]) == (503, "unavailable", "2")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client.ws_connect(f"{EXECUTE}?refuse={status}")
    assert refusal.value.status == 503


@pytest.mark.parametrize("status", [401, 403])
async def test_a_connect_without_a_key_is_refused_as_the_engine_refuses_a_call(
    client: aiohttp.ClientSession, seen: Emulator, status: int
) -> None:
    seen.keys = True
    async with client.get(EXECUTE, params={"refuse": status}, headers={"Upgrade": "websocket"}) as reply:
        assert await told(reply) == (401, {"code": "unauthorized"})
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client.ws_connect(f"{EXECUTE}?refuse={status}")
    assert refusal.value.status == 401


async def test_a_connect_that_is_refused_with_a_key_that_is_valid_may_come_again(
    client: aiohttp.ClientSession, seen: Emulator
) -> None:
    seen.keys = True
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client.ws_connect(f"{EXECUTE}?refuse=403", headers={"Authorization": "Bearer valid"})
    assert refusal.value.status == 503
    assert seen.received[-1].headers["Authorization"] == "Bearer valid"


async def test_any_other_refused_connect_keeps_its_status(client: aiohttp.ClientSession) -> None:
    async with client.get(EXECUTE, params={"refuse": 431}, headers={"Upgrade": "websocket"}) as reply:
        assert await told(reply) == (431, {"error": "the connection was refused", "code": "bad_request"})


async def test_a_socket_anywhere_else_is_not_found(client: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client.ws_connect("/api/orders/1")
    assert refusal.value.status == 404


async def test_a_frame_of_the_limit_passes(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect(EXECUTE) as socket:
        await socket.receive()
        await socket.send_str("x" * LARGEST_FRAME)
        assert len((await socket.receive()).data) == LARGEST_FRAME


async def test_a_frame_above_the_limit_closes_the_socket(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect(EXECUTE) as socket:
        await socket.receive()
        await socket.send_str("x" * (LARGEST_FRAME + 1))
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)


async def test_answers_from_the_engine_may_be_larger(client: aiohttp.ClientSession) -> None:
    async with client.ws_connect(EXECUTE) as socket:
        await socket.receive()
        for _ in range(3):
            await socket.send_str("x" * 30_000)
        assert [len((await socket.receive()).data) for _ in range(3)] == [30_000] * 3

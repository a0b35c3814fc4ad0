"""The engine on one local port: REST and the WebSocket on the same path, as API Gateway would answer.

`python -m local.front_door` forwards both to the emulator, and adds what the emulator leaves out: the gateway's own
responses, limits on bodies and frames, and a bound on concurrent calls.
"""

import argparse
import asyncio
import json
import logging
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    TCPConnector,
    WSMsgType,
    WSServerHandshakeError,
    web,
)
from multidict import CIMultiDict
from yarl import URL

from local.gateway import SERVER_ERROR, TYPES, Answer, Gateway

log = logging.getLogger("front_door")

HOST = "127.0.0.1"
SOCKET_PATH = "/api/orders/execute"
# API Gateway's limits.
LARGEST_BODY = 10 * 1024 * 1024
LARGEST_FRAME = 32 * 1024
LONGEST_CALL = ClientTimeout(total=29)
# The emulator starts a process for each concurrent call of a function.
CALLS_AT_ONCE = 4
# Calls that wait for their turn; whoever comes after them is told to come again, as the gateway's throttling does.
MOST_WAITING = 500
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
)
# What the HTTP library writes by itself, and the name of the host, by which the emulator would route.
REWRITTEN = HOP_BY_HOP | {"upgrade", "host", "content-length", "expect", "date", "server"}
# Asks for a key and costs little.
ASKED_FOR_WHO = "/api/orders?limit=1"
GOING_AWAY = 1001
# Close codes that say that there was none; they can't be sent.
UNSENDABLE = {None: GOING_AWAY, 1005: 1000, 1006: GOING_AWAY, 1015: GOING_AWAY}


@dataclass(frozen=True)
class Upstream:
    """Where the emulator serves the two APIs, stages included."""

    rest: str
    websocket: str


# How long a request's body may take to arrive.
BODY_SECONDS = 29.0
BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
REQUEST_TIMEOUT = 408
BAD_GATEWAY = 502


class FrontDoor:
    """Forwards requests and sockets to the emulator."""

    def __init__(self, upstream: Upstream, gateway: Gateway, most_waiting: int = MOST_WAITING) -> None:
        self._upstream = upstream
        self._gateway = gateway
        self._most_open_calls = CALLS_AT_ONCE + most_waiting
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)
        self._open_calls = 0
        self._sockets: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()
        self._session: ClientSession

    def application(self) -> web.Application:
        """The server's application, to be run."""
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._serve)
        application.cleanup_ctx.append(self._connect)
        application.on_shutdown.append(self._close_sockets)
        return application

    async def _connect(self, _: web.Application) -> AsyncIterator[None]:
        connector = TCPConnector(limit=0)
        async with ClientSession(connector=connector, auto_decompress=False, timeout=LONGEST_CALL) as self._session:
            yield

    async def _close_sockets(self, _: web.Application) -> None:
        await asyncio.gather(*(socket.close(code=GOING_AWAY) for socket in set(self._sockets)))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if not all(map(_is_text, request.headers.values())):
            return _response(self._gateway.answer("BAD_HEADER", "a header is not UTF-8", BAD_REQUEST))
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._socket(request)
            return await self._call(request)
        except web.HTTPRequestEntityTooLarge:
            return _response(self._gateway.answer("REQUEST_TOO_LARGE"))
        except ClientConnectorError:
            return _response(self._gateway.answer("INTEGRATION_FAILURE"))
        except (ClientError, TimeoutError) as error:
            # It was sent; whether it was done is not known.
            log.warning("no answer to %s %s: %r", request.method, request.path, error)
            return _response(self._gateway.answer("INTEGRATION_TIMEOUT"))

    async def _call(self, request: web.Request) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        if not self._gateway.routes(request.method, path):
            return _response(self._gateway.answer("MISSING_AUTHENTICATION_TOKEN"))
        if self._open_calls >= self._most_open_calls:
            return _response(self._gateway.answer("THROTTLED"))
        self._open_calls += 1
        try:
            return await self._forward(request, path, query)
        finally:
            self._open_calls -= 1

    async def _forward(self, request: web.Request, path: str, query: str) -> web.Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
        except web.RequestPayloadError:
            return _response(self._gateway.answer("BAD_REQUEST_BODY", "the body cannot be decoded", BAD_REQUEST))
        except TimeoutError:
            return _response(self._gateway.answer("BAD_REQUEST_BODY", "the body did not arrive", REQUEST_TIMEOUT))
        url = URL(f"{self._upstream.rest}{path}?{query}" if query else f"{self._upstream.rest}{path}", encoded=True)
        async with (
            self._calls,
            self._session.request(
                request.method,
                url,
                data=body or None,
                headers=_kept(request.headers),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                allow_redirects=False,
            ) as reply,
        ):
            content = await reply.read()
        kind = reply.headers.get("x-amzn-ErrorType", "")
        # The engine never says that; the emulator does, in its own words, where a function crashed.
        if kind or reply.status == BAD_GATEWAY:
            log.warning("%s %s: %s %s", request.method, path, reply.status, content[:500])
            return _response(self._gateway.answer(TYPES.get(kind, kind), _message(content), reply.status))
        return web.Response(status=reply.status, headers=_kept(reply.headers), body=content)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path != SOCKET_PATH:
            return _response(self._gateway.answer("MISSING_AUTHENTICATION_TOKEN"))
        url = URL(f"{self._upstream.websocket}?{query}" if query else self._upstream.websocket, encoded=True)
        headers = CIMultiDict(
            (name, value) for name, value in _kept(request.headers).items() if not _of_handshake(name)
        )
        try:
            api = await self._session.ws_connect(url, headers=headers, max_msg_size=0)
        except WSServerHandshakeError as refusal:
            log.warning("%s refused: %s", path, refusal.status)
            if refusal.status in (UNAUTHORIZED, FORBIDDEN) and (unauthorized := await self._unauthorized(headers)):
                return unauthorized
            # Else it is what the engine can't serve now, or one socket too many.
            if refusal.status == FORBIDDEN or refusal.status >= SERVER_ERROR:
                return _response(self._gateway.answer("INTEGRATION_FAILURE"))
            return _response(self._gateway.answer("refused", "the connection was refused", refusal.status))
        # The library counts a message's frames together, and refuses from this many bytes on.
        client = web.WebSocketResponse(max_msg_size=LARGEST_FRAME + 1, compress=False)
        try:
            await client.prepare(request)
            self._sockets.add(client)
            await _join(client, api)
        finally:
            await api.close()
        return client

    async def _unauthorized(self, headers: CIMultiDict[str]) -> web.Response | None:
        """The engine's refusal of whoever sends these headers; None where it lets them in, or can't tell.

        The emulator makes 403 of all that $connect answers, so another function is asked. That one lets nobody in by a
        ticket, so whoever came with one is told to get another.
        """
        url = URL(f"{self._upstream.rest}{ASKED_FOR_WHO}", encoded=True)
        async with self._calls, self._session.get(url, headers=headers) as reply:
            body = await reply.read()
        if reply.status != UNAUTHORIZED:
            return None
        return web.Response(status=reply.status, headers=_kept(reply.headers), body=body)


async def _join(client: web.WebSocketResponse, api: ClientWebSocketResponse) -> None:
    """Carries messages both ways until one side closes; the other gets the same close code."""
    inward = asyncio.create_task(_carry(client, api))
    outward = asyncio.create_task(_carry(api, client))
    await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
    if outward.done():
        await client.close(code=_sendable(api.close_code))
    else:
        await api.close(code=_sendable(client.close_code))
    for task in (inward, outward):
        task.cancel()
    await asyncio.gather(inward, outward, return_exceptions=True)


async def _carry(
    source: web.WebSocketResponse | ClientWebSocketResponse, sink: web.WebSocketResponse | ClientWebSocketResponse
) -> None:
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        else:
            return


def _sendable(code: int | None) -> int:
    return UNSENDABLE.get(code) or code or GOING_AWAY


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in REWRITTEN)


def _is_text(value: str) -> bool:
    """Whether a header came as UTF-8: the HTTP library drops what did not, and would make one key of two."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _of_handshake(name: str) -> bool:
    return name.lower().startswith("sec-websocket-")


def _message(content: bytes) -> str:
    try:
        parsed = json.loads(content)
    except ValueError:
        return ""
    return str(parsed.get("message", "")) if isinstance(parsed, dict) else ""


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, text=answer.body, headers=answer.headers, content_type="application/json")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.front_door", description="Serves the engine on one port.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rest", required=True, help="URL of the emulator's REST API, stage included")
    parser.add_argument("--websocket", required=True, help="URL of the emulator's WebSocket API, stage included")
    parser.add_argument("--template", type=Path, required=True, help="the packaged template")
    parser.add_argument("--most-waiting", type=int, default=MOST_WAITING, help="calls that may wait for their turn")
    return parser.parse_args()


async def _application(arguments: argparse.Namespace) -> web.Application:
    template: dict[str, Any] = json.loads(arguments.template.read_text())
    upstream = Upstream(arguments.rest, arguments.websocket)
    return FrontDoor(upstream, Gateway(template), arguments.most_waiting).application()


def main() -> None:
    """Serves until it is told to end."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # No line for the library to print: whoever started this says where it serves.
    web.run_app(_application(arguments), host=HOST, port=arguments.port, print=lambda *_: None, shutdown_timeout=2)


if __name__ == "__main__":
    main()

"""Starts each function's first process before anybody waits for it, and so also sees that each can start."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from infrastructure.clients import client

# Functions of queues, by the stack's outputs; no records is a batch that has nothing to do.
QUEUE_FUNCTIONS = ("WorkerName", "DeliverName", "DeadLetterName")
PATIENCE = ClientTimeout(total=30)


class WarmError(Exception):
    """A function could not start."""


async def warm(endpoint: str, websocket_url: str, outputs: Mapping[str, str]) -> None:
    """Invokes the functions of queues with empty batches, and opens, asks and closes one socket."""
    invoked = (asyncio.to_thread(_invoke, endpoint, outputs[name]) for name in QUEUE_FUNCTIONS)
    await asyncio.gather(_converse(websocket_url), *invoked)


def _invoke(endpoint: str, function: str) -> None:
    reply: dict[str, Any] = client("lambda", endpoint).invoke(
        FunctionName=function, Payload=json.dumps({"Records": []}).encode()
    )
    if "FunctionError" in reply:
        raise WarmError(f"{function} can't start: {reply['Payload'].read().decode(errors='replace')[:2000]}")


async def _converse(websocket_url: str) -> None:
    async with ClientSession(timeout=PATIENCE) as session, session.ws_connect(websocket_url) as socket:
        await socket.send_json({})
        # Any frame will do; it is an error frame that names what is missing.
        await socket.receive(timeout=PATIENCE.total)

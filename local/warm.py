"""Starts each function's first process before anybody waits for it, and so also sees that each can start."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession, ClientTimeout, WSServerHandshakeError

from infrastructure.clients import client

# Functions of queues, by the stack's outputs; no records is a batch that has nothing to do.
QUEUE_FUNCTIONS = ("WorkerName", "DeliverName", "DeadLetterName")
NO_RECORDS: dict[str, Any] = {"Records": []}
# What the schedule's rule hands to the sweep.
SCHEDULED: dict[str, Any] = {
    "version": "0",
    "id": "00000000-0000-0000-0000-000000000000",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "000000000000",
    "time": "2026-01-01T00:00:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {},
}
PATIENCE = ClientTimeout(total=30)
UNAUTHORIZED = 401


class WarmError(Exception):
    """A function could not start, or failed."""


async def warm(endpoint: str, websocket_url: str, outputs: Mapping[str, str]) -> None:
    """Invokes the functions of queues with empty batches, opens, asks and closes a socket, sweeps, begins the watch."""
    invoked = (asyncio.to_thread(invoke, endpoint, outputs[name], NO_RECORDS) for name in QUEUE_FUNCTIONS)
    await asyncio.gather(_converse(websocket_url), *invoked)
    await asyncio.to_thread(invoke, endpoint, outputs["SweepName"], SCHEDULED)
    # It watches until its schedule first comes, a minute from now.
    await asyncio.to_thread(begin, endpoint, outputs["WatchName"], SCHEDULED)


def invoke(endpoint: str, function: str, event: Mapping[str, Any]) -> None:
    """Invokes a function and waits for its end; raises WarmError if it fails."""
    reply: dict[str, Any] = client("lambda", endpoint).invoke(FunctionName=function, Payload=json.dumps(event).encode())
    if "FunctionError" in reply:
        raise WarmError(f"{function} failed: {reply['Payload'].read().decode(errors='replace')[:2000]}")


def begin(endpoint: str, function: str, event: Mapping[str, Any]) -> None:
    """Invokes a function and leaves it at its work."""
    client("lambda", endpoint).invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())


async def _converse(websocket_url: str) -> None:
    async with ClientSession(timeout=PATIENCE) as session:
        try:
            async with session.ws_connect(websocket_url) as socket:
                await socket.send_json({})
                # Any frame will do; it is an error frame that names what is missing.
                await socket.receive(timeout=PATIENCE.total)
        except WSServerHandshakeError as refusal:
            # Where a key is required, only the function that refuses is warm.
            if refusal.status != UNAUTHORIZED:
                raise

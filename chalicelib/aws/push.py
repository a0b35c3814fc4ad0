"""Pushes to sockets through API Gateway's management API."""

import asyncio
from urllib.parse import quote

from chalicelib.aws.client import SignedClient
from chalicelib.aws.identity import Identity
from chalicelib.domain.errors import ConfigurationError, ConnectionGone, NoReply, PushError

HEADERS = {"content-type": "application/json"}
HTTP_OK = 200
HTTP_GONE = 410


class Push:
    """PostToConnection, never tried again: the account's rate is shared with the POSTs.

    Calls in the name of `identity`, or of one of its own.
    """

    def __init__(self, endpoint: str, identity: Identity | None = None) -> None:
        self._endpoint = endpoint
        self._client = SignedClient("execute-api", lambda: endpoint, identity or Identity())

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        """Send one frame. Raises ConnectionGone on 410, PushError on any other failure or after `seconds`."""
        if not self._endpoint:
            raise PushError("push: PUSH_ENDPOINT is not set")
        if seconds <= 0:
            raise PushError("push: no time left")
        # Ids hold characters such as = that must be escaped.
        path = f"/@connections/{quote(connection_id, safe='')}"
        try:
            async with asyncio.timeout(seconds):
                reply = await self._client.post(path, HEADERS, data)
        except TimeoutError as error:
            raise PushError(f"push: not done in {seconds:.1f} s") from error
        except (ConfigurationError, NoReply) as error:
            raise PushError(f"push: {error}") from error
        if reply.status == HTTP_GONE:
            raise ConnectionGone(f"socket {connection_id} is gone")
        if reply.status != HTTP_OK:
            raise PushError(f"push: status {reply.status}")

    async def close(self) -> None:
        """End the connections that idle."""
        await self._client.close()

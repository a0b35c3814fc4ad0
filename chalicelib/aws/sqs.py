"""The SQS service: its JSON protocol, and when to try again."""

import asyncio
import os
from typing import Any, TypeVar

import msgspec

from chalicelib.aws.client import SignedClient
from chalicelib.aws.identity import Identity
from chalicelib.domain.clock import SystemEntropy, fraction
from chalicelib.domain.errors import ConfigurationError, NoReply, QueueError
from chalicelib.net.http import UNREADABLE, Reply

TRIES = 2
MOST_PAUSE_SECONDS = 0.1
CONNECT_SECONDS = 1
REPLY_SECONDS = 2
HTTP_OK, HTTP_TOO_MANY, HTTP_FAULT = 200, 429, 500

T = TypeVar("T")


class _Refusal(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    message: str = ""


class Sqs:
    """SQS at AWS_ENDPOINT_URL_SQS, at AWS_ENDPOINT_URL or in the region, found on first use.

    Called in the name of `identity`, or of one of its own.
    """

    def __init__(self, identity: Identity | None = None) -> None:
        self._identity = identity or Identity()
        self._client = SignedClient("sqs", self._endpoint, self._identity)

    def check(self) -> None:
        """Raises ConfigurationError where no call could be made with the settings."""
        self._identity.check()
        _ = self._client.endpoint

    async def call(self, operation: str, request: dict[str, Any], reply: type[T]) -> T:
        """One operation. Raises QueueError, after a second try where that may help."""
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{operation}"}
        body = msgspec.json.encode(request)
        for left in reversed(range(TRIES)):
            try:
                answer = await self._client.post(
                    "/", headers, body, connect_seconds=CONNECT_SECONDS, reply_seconds=REPLY_SECONDS
                )
            except ConfigurationError as error:
                raise QueueError(f"queue: {operation}: {error}") from error
            except NoReply as error:
                if not left:
                    raise QueueError(f"queue: {operation}: {error}") from error
            else:
                if answer.status == HTTP_OK:
                    break
                refusal = _refusal(answer)
                if not (left and _passing(answer.status, refusal)):
                    raise QueueError(f"queue: {operation}: {refusal}")
            await asyncio.sleep(MOST_PAUSE_SECONDS * fraction(SystemEntropy()))
        try:
            return msgspec.json.decode(answer.body, type=reply)
        except UNREADABLE as error:
            raise QueueError(f"queue: {operation}: the reply can't be read: {error}") from error

    async def close(self) -> None:
        """End the connections that idle."""
        await self._client.close()

    def _endpoint(self) -> str:
        named = os.environ.get("AWS_ENDPOINT_URL_SQS") or os.environ.get("AWS_ENDPOINT_URL")
        region = self._identity.region
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return named or f"https://sqs.{region}.{suffix}"


def _refusal(answer: Reply) -> str:
    """Why, in the service's words where it says so."""
    try:
        found = msgspec.json.decode(answer.body, type=_Refusal)
    except UNREADABLE:
        found = _Refusal()
    # The type has a namespace before it.
    return f"{found.type.rpartition('#')[2] or f'status {answer.status}'} {found.message}".strip()


def _passing(status: int, refusal: str) -> bool:
    return status >= HTTP_FAULT or status == HTTP_TOO_MANY or "Throttl" in refusal.partition(" ")[0]

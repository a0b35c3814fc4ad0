"""SQS queues: sending, delaying, handing back."""

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import ConfigurationError, QueueError
from chalicelib.domain.message import Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MOST_IN_A_BATCH = 10
MOST_DELAY = 900
_CONFIG = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})


class Sqs:
    """The SQS client, made on first use."""

    @cached_property
    def client(self) -> "SQSClient":
        """The SDK's client; safe to share between threads."""
        return boto3.client("sqs", config=_CONFIG)

    def check(self) -> None:
        """Raises ConfigurationError where the SDK can do nothing with its settings."""
        try:
            # The SDK itself looks at the port only when it connects.
            _ = urlsplit(self.client.meta.endpoint_url).port
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"AWS settings: {error}") from error


class Queue:
    """One queue, known by name or URL. `report` is told why it took no messages."""

    def __init__(self, sqs: Sqs, name_or_url: str, report: Callable[[str, QueueError], None]) -> None:
        self._sqs = sqs
        self._name_or_url = name_or_url
        self._report = report

    async def send(self, messages: Sequence[Message]) -> list[Message]:
        """Send messages; returns those that the queue did not take."""
        refused: list[Message] = []
        for start in range(0, len(messages), MOST_IN_A_BATCH):
            try:
                refused += await asyncio.to_thread(self._send_batch, messages[start : start + MOST_IN_A_BATCH])
            except QueueError as error:
                # The rest would wait as long, for the same answer.
                self._report("messages not sent", error)
                return [*refused, *messages[start:]]
        return refused

    async def hand_back(self, receipts: Sequence[tuple[str, int]]) -> None:
        """Let received messages (receipt handle, whole seconds) be seen again after a time of their own.

        One that cannot be changed comes back after the queue's own visibility timeout.
        """
        for start in range(0, len(receipts), MOST_IN_A_BATCH):
            await asyncio.to_thread(self._hand_back_batch, receipts[start : start + MOST_IN_A_BATCH])

    async def backlog(self) -> int:
        """About how many messages wait. Raises QueueError."""
        return await asyncio.to_thread(self._backlog)

    @cached_property
    def _url(self) -> str:
        if "://" in self._name_or_url:
            return self._name_or_url
        return self._sqs.client.get_queue_url(QueueName=self._name_or_url)["QueueUrl"]

    def _send_batch(self, messages: Sequence[Message]) -> list[Message]:
        entries: list[Any] = [
            {"Id": str(index), "MessageBody": message.body, "DelaySeconds": min(message.delay, MOST_DELAY)}
            for index, message in enumerate(messages)
        ]
        try:
            reply = self._sqs.client.send_message_batch(QueueUrl=self._url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise QueueError(f"queue: {error}") from error
        return [messages[int(failure["Id"])] for failure in reply.get("Failed", ())]

    def _hand_back_batch(self, receipts: Sequence[tuple[str, int]]) -> None:
        entries: list[Any] = [
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for index, (handle, seconds) in enumerate(receipts)
        ]
        try:
            self._sqs.client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise QueueError(f"queue: {error}") from error

    def _backlog(self) -> int:
        try:
            reply = self._sqs.client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        except (BotoCoreError, ClientError) as error:
            raise QueueError(f"queue: {error}") from error
        return int(reply["Attributes"]["ApproximateNumberOfMessages"])

"""SQS queues: sending, delaying, handing back."""

from collections.abc import Callable, Sequence

import msgspec

from chalicelib.aws.sqs import Sqs
from chalicelib.domain.errors import QueueError
from chalicelib.domain.message import Message

MOST_IN_A_BATCH = 10
MOST_DELAY = 900


class _Url(msgspec.Struct, rename="pascal"):
    queue_url: str


class _Entry(msgspec.Struct, rename="pascal"):
    id: str


class _Batch(msgspec.Struct, rename="pascal"):
    failed: list[_Entry] = []


class _Counts(msgspec.Struct, rename="pascal"):
    approximate_number_of_messages: str


class _Attributes(msgspec.Struct, rename="pascal"):
    attributes: _Counts


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
                refused += await self._send_batch(messages[start : start + MOST_IN_A_BATCH])
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
            await self._hand_back_batch(receipts[start : start + MOST_IN_A_BATCH])

    async def backlog(self) -> int:
        """About how many messages wait. Raises QueueError."""
        asked = {"QueueUrl": await self._url(), "AttributeNames": ["ApproximateNumberOfMessages"]}
        found = await self._sqs.call("GetQueueAttributes", asked, _Attributes)
        try:
            return int(found.attributes.approximate_number_of_messages)
        except ValueError as error:
            raise QueueError(f"queue: GetQueueAttributes: {error}") from error

    async def _url(self) -> str:
        if "://" not in self._name_or_url:
            # Names are looked up once.
            found = await self._sqs.call("GetQueueUrl", {"QueueName": self._name_or_url}, _Url)
            self._name_or_url = found.queue_url
        return self._name_or_url

    async def _send_batch(self, messages: Sequence[Message]) -> list[Message]:
        sent = {str(index): message for index, message in enumerate(messages)}
        entries = [
            {"Id": index, "MessageBody": message.body, "DelaySeconds": min(message.delay, MOST_DELAY)}
            for index, message in sent.items()
        ]
        asked = {"QueueUrl": await self._url(), "Entries": entries}
        reply = await self._sqs.call("SendMessageBatch", asked, _Batch)
        try:
            return [sent[failure.id] for failure in reply.failed]
        except KeyError as error:
            raise QueueError(f"queue: SendMessageBatch: the reply names an entry {error}") from error

    async def _hand_back_batch(self, receipts: Sequence[tuple[str, int]]) -> None:
        entries = [
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for index, (handle, seconds) in enumerate(receipts)
        ]
        asked = {"QueueUrl": await self._url(), "Entries": entries}
        await self._sqs.call("ChangeMessageVisibilityBatch", asked, _Batch)

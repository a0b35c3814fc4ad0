"""A queue whose service cannot be reached, or takes some messages and not others."""

from typing import Any, cast

import msgspec

from chalicelib.aws.queues import Queue
from chalicelib.aws.sqs import Sqs
from chalicelib.domain.errors import QueueError
from chalicelib.domain.message import Message

MESSAGES = [Message(str(number)) for number in range(25)]
DENIED = QueueError("queue: SendMessageBatch: AccessDenied not authorized")
AWAY = QueueError("queue: SendMessageBatch: http://nowhere")


class Service:
    """Stands in for SQS: answers each batch as it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def call(self, operation: str, _: Any, reply: Any) -> Any:
        assert operation == "SendMessageBatch"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return msgspec.convert({"Failed": [{"Id": str(number)} for number in answer]}, reply)


async def send(*answers: Any) -> tuple[list[Message], list[str], Service]:
    """Send in three batches; returns what was refused, what was reported, and the service."""
    service, reports = Service(*answers), []

    def report(what: str, error: QueueError) -> None:
        reports.append(f"{what}: {error}")

    queue = Queue(cast("Sqs", service), "http://queue", report)
    return await queue.send(MESSAGES), reports, service


async def test_single_messages_that_are_not_taken_do_not_keep_back_the_others() -> None:
    refused, reports, _ = await send([3], [], [0, 4])
    assert refused == [MESSAGES[3], MESSAGES[20], MESSAGES[24]]
    assert reports == []


async def test_a_queue_that_cannot_be_reached_is_waited_for_once_and_says_why() -> None:
    for error, reason in ((DENIED, "AccessDenied"), (AWAY, "http://nowhere")):
        refused, reports, service = await send([3], error, [])
        assert refused == [MESSAGES[3], *MESSAGES[10:]]
        assert len(service.answers) == 1
        assert len(reports) == 1
        assert reason in reports[0]

"""A queue whose service cannot be reached, or takes some messages and not others."""

from typing import Any, cast

from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.aws.queues import Queue, Sqs
from chalicelib.domain.errors import QueueError
from chalicelib.domain.message import Message

MESSAGES = [Message(str(number)) for number in range(25)]
DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "SendMessageBatch")
AWAY = EndpointConnectionError(endpoint_url="http://nowhere")


class Service:
    """Stands in for the SDK and its client: answers each batch as it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.client = self
        self.answers = list(answers)

    def send_message_batch(self, **_: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"Failed": [{"Id": str(number)} for number in answer]}


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

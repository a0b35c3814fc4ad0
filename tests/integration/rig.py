"""One container of the engine, called as Lambda calls it, with real Postgres and SQS behind it."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from mypy_boto3_sqs import SQSClient

from chalicelib.handlers import queue, rest, schedule, websocket
from tests.integration.gateway import Gateway

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
SOL_TO_USDC = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3.0, "slippageTolerance": 0.02}


class Context:
    """What Lambda tells a function about its invocation."""

    def __init__(self, seconds: float = 10) -> None:
        self._deadline = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._deadline - time.monotonic()) * 1000)


class Request:
    """A request as the framework hands it over."""

    def __init__(
        self, body: bytes = b"", content_type: str | None = "application/json", query: dict[str, str] | None = None
    ) -> None:
        self.raw_body = body
        self.headers = {"content-type": content_type} if content_type else {}
        self.query_params = query


class Rig:
    """Drives the handlers, and plays the event source mappings between queues and functions."""

    def __init__(self, database_url: str, sqs: SQSClient, queues: dict[str, str], gateway: Gateway) -> None:
        self.database_url = database_url
        self.sqs = sqs
        self.queues = queues
        self.gateway = gateway

    def post(self, **fields: Any) -> str:
        """Place an order; returns its id."""
        reply = rest.execute(Request(json.dumps(SOL_TO_USDC | fields).encode()))
        assert reply.status == 200, reply.body
        order_id: str = json.loads(reply.body)["orderId"]
        return order_id

    def show(self, order_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(rest.order(order_id).body)
        return shown

    def connect(self, order_id: str | None = None) -> str:
        """Open a socket; returns its connection id."""
        connection_id = f"c{uuid.uuid4().hex[:10]}="
        query = {"orderId": order_id} if order_id else None
        assert self.socket_event("CONNECT", connection_id, query=query) == {"statusCode": 200}
        return connection_id

    def send(self, connection_id: str, frame: Any) -> None:
        """A frame from the client."""
        body = frame if isinstance(frame, str) else json.dumps(frame)
        assert self.socket_event("MESSAGE", connection_id, body=body) == {"statusCode": 200}

    def bind(self, order_id: str) -> str:
        """A socket that follows an order."""
        connection_id = self.connect()
        self.send(connection_id, {"orderId": order_id})
        return connection_id

    def socket_event(
        self, kind: str, connection_id: str, *, query: dict[str, str] | None = None, body: str | None = None
    ) -> dict[str, Any]:
        return websocket.handle(
            {
                "requestContext": {"connectionId": connection_id, "eventType": kind},
                "queryStringParameters": query,
                "body": body,
            }
        )

    def frames(self, connection_id: str) -> list[dict[str, Any]]:
        return self.gateway.frames[connection_id]

    def statuses(self, connection_id: str) -> list[str]:
        return [frame["status"] for frame in self.frames(connection_id)]

    def poll(self, name: str, handler: Handler, most: int = 10) -> int:
        """One round of an event source mapping: receive, invoke, delete what did not fail."""
        url = self.queues[name]
        received = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=most, MessageSystemAttributeNames=["All"]
        ).get("Messages", [])
        if not received:
            return 0
        records = [
            {"messageId": one["MessageId"], "receiptHandle": one["ReceiptHandle"], "body": one["Body"]}
            for one in received
        ]
        failed = {item["itemIdentifier"] for item in handler({"Records": records}, Context())["batchItemFailures"]}
        for one in received:
            if one["MessageId"] not in failed:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return len(received)

    def work(self) -> int:
        return self.poll("orders", queue.orders)

    def deliver(self) -> int:
        return self.poll("deliveries", queue.deliveries)

    def bury(self) -> int:
        return self.poll("dead-letters", queue.dead_letters, most=1)

    def sweep(self) -> None:
        schedule.sweep()

    def until(self, condition: Callable[[], Any], seconds: float = 20) -> None:
        """Run the mappings until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition was not reached"
            if not self.work() + self.deliver() + self.bury():
                time.sleep(0.02)

    def finish(self, order_id: str) -> dict[str, Any]:
        """Run until an order is terminal."""
        self.until(lambda: self.show(order_id)["status"] in ("confirmed", "failed"))
        return self.show(order_id)

    def sql(self, statement: str, *params: Any) -> list[Any]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

"""One container of the engine, called as Lambda calls it, with real Postgres and SQS behind it."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from mypy_boto3_sqs import SQSClient

from chalicelib import settings
from chalicelib.bootstrap import Engine, real
from chalicelib.domain.lifecycle import TERMINAL
from chalicelib.handlers import queue, rest, schedule, websocket
from tests.event_log import checked
from tests.integration.gateway import Gateway

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
SOL_TO_USDC = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3.0, "slippageTolerance": 0.02}


def eventually(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until a condition holds that comes about by itself."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not reached"
        time.sleep(0.01)


class Context:
    """What Lambda tells a function about its invocation."""

    def __init__(self, seconds: float = 10) -> None:
        self._deadline = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._deadline - time.monotonic()) * 1000)


class Request:
    """A request as the framework hands it over."""

    def __init__(
        self,
        body: bytes = b"",
        *,
        content_type: str | None = "application/json",
        query: dict[str, str] | None = None,
        key: str | None = None,
        authorization: str | None = None,
        if_match: str | None = None,
    ) -> None:
        self.raw_body = body
        headers = {
            "content-type": content_type,
            "idempotency-key": key,
            "authorization": authorization,
            "if-match": if_match,
        }
        self.headers = {name: value for name, value in headers.items() if value is not None}
        self.query_params = query


class Rig:
    """Drives the handlers, and plays the event source mappings between queues and functions."""

    def __init__(self, database_url: str, sqs: SQSClient, queues: dict[str, str], gateway: Gateway) -> None:
        self.database_url = database_url
        self.sqs = sqs
        self.queues = queues
        self.gateway = gateway
        self._ahead = 0.0
        self._containers: list[Engine] = []

    def container(self, **changes: Any) -> Engine:
        """Another container beside the one that the handlers use."""
        given = msgspec.structs.replace(settings.read(), **changes)
        built = Engine(given, real(given))
        self._containers.append(built)
        return built

    def close(self) -> None:
        for built in self._containers:
            if built.loop.thread.is_alive():
                built.close()

    def advance(self, seconds: float) -> None:
        """Move the database's time; it is the one that decides leases, due times and validity."""
        self._ahead += seconds
        self.sql(
            "CREATE OR REPLACE FUNCTION engine_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE "
            f"RETURN statement_timestamp() + interval '{self._ahead} seconds'"
        )

    def invoke(self, *bodies: str, handler: Handler = queue.orders, seconds: float = 10) -> list[str]:
        """Call a function with messages, whatever its queue holds; returns the bodies that must come back."""
        records = [{"messageId": f"m{at}", "receiptHandle": "none", "body": body} for at, body in enumerate(bodies)]
        failed = handler({"Records": records}, Context(seconds))["batchItemFailures"]
        return [bodies[int(item["itemIdentifier"][1:])] for item in failed]

    def deliver_to(self, connection_id: str) -> None:
        """A delivery to a socket is due, whatever the queue holds."""
        body = json.dumps({"connectionId": connection_id})
        assert self.invoke(body, handler=queue.deliveries) == []

    def settle(self, order_id: str) -> dict[str, Any]:
        """Take an order to its end without its queue, the database's time moving past each pause."""
        for _ in range(30):
            shown = self.show(order_id)
            if shown["status"] in TERMINAL:
                return shown
            self.invoke(order_id)
            self.advance(16)
        raise AssertionError(f"order {order_id} does not end: {shown}")

    def messages(self, name: str) -> int:
        """How many messages a queue holds, waiting, delayed or in flight."""
        kinds = ("", "NotVisible", "Delayed")
        names: Any = [f"ApproximateNumberOfMessages{kind}" for kind in kinds]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queues[name], AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))

    def bodies(self, name: str) -> list[str]:
        """What a queue would hand out now; takes it."""
        found = self.sqs.receive_message(QueueUrl=self.queues[name], MaxNumberOfMessages=10).get("Messages", [])
        for one in found:
            self.sqs.delete_message(QueueUrl=self.queues[name], ReceiptHandle=one["ReceiptHandle"])
        return [one["Body"] for one in found]

    def row(self, order_id: str) -> dict[str, Any]:
        """The order as the database holds it."""
        found: dict[str, Any] = self.sql("SELECT to_jsonb(o) FROM orders o WHERE id = %s", order_id)[0][0]
        return found

    def swaps(self, order_id: str) -> list[str]:
        """The outcomes of an order's transactions on the simulated chain."""
        return [row[0] for row in self.sql("SELECT outcome FROM simulated_swaps WHERE order_id = %s", order_id)]

    def check_log(self, order_id: str) -> list[str]:
        """The statuses of an order's log, which must be whole, legal, and agree with the order and the ledger."""
        shown, row = self.show(order_id), self.row(order_id)
        events = shown["events"]
        statuses = checked([(event["seq"], event["status"]) for event in events])
        assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)
        assert row["last_seq"] == len(events)
        assert row["status"] == statuses[-1]
        assert self.swaps(order_id).count("succeeded") == (statuses[-1] == "confirmed")
        if statuses[-1] in TERMINAL:
            assert row["outcome"] == row["status"]
            assert row["open_tx"] is None
            assert not self.sql("SELECT 1 FROM submissions WHERE order_id = %s AND outcome IS NULL", order_id)
        return [str(status) for status in statuses]

    def post(self, **fields: Any) -> str:
        """Place an order; returns its id."""
        reply = rest.execute(Request(json.dumps(SOL_TO_USDC | fields).encode()))
        assert reply.status == 200, reply.body
        order_id: str = json.loads(reply.body)["orderId"]
        return order_id

    def show(self, order_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(rest.order(Request(), order_id).body)
        return shown

    def connect(self, order_id: str | None = None, **query: str) -> str:
        """Open a socket; returns its connection id."""
        connection_id = f"c{uuid.uuid4().hex[:10]}="
        if order_id:
            query["orderId"] = order_id
        assert self.socket_event("CONNECT", connection_id, query=query or None) == {"statusCode": 200}
        return connection_id

    def connecting(self, connection_id: str, headers: dict[str, str], query: dict[str, str]) -> int:
        """The status that a connect with these headers is answered with."""
        answered = self.socket_event("CONNECT", connection_id, query=query or None, headers=headers)
        status: int = answered["statusCode"]
        return status

    def send(self, connection_id: str, frame: Any) -> None:
        """A frame from the client."""
        body = frame if isinstance(frame, str) else json.dumps(frame)
        assert self.socket_event("MESSAGE", connection_id, body=body) == {"statusCode": 200}

    def bind(self, order_id: str, **more: Any) -> str:
        """A socket that follows an order."""
        connection_id = self.connect()
        self.send(connection_id, {"orderId": order_id} | more)
        return connection_id

    def socket_event(
        self,
        kind: str,
        connection_id: str,
        *,
        query: dict[str, str] | None = None,
        body: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        return websocket.handle(
            {
                "requestContext": {"connectionId": connection_id, "eventType": kind},
                "queryStringParameters": query,
                "body": body,
                **more,
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

    def watch(self) -> None:
        """One tick of the market watch."""
        schedule.watch(Context(8))

    def alone(self) -> bool:
        """Whether no session of the engine is left; the rig's own end a moment after it closed them."""
        return not self.sql(
            "SELECT 1 FROM pg_stat_activity "
            "WHERE datname = current_database() AND starts_with(application_name, 'order-engine')"
        )

    def until(self, condition: Callable[[], Any], seconds: float = 20) -> None:
        """Run the mappings until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition was not reached"
            if not self.work() + self.deliver() + self.bury():
                time.sleep(0.02)

    def finish(self, order_id: str) -> dict[str, Any]:
        """Run until an order is terminal."""
        self.until(lambda: self.show(order_id)["status"] in TERMINAL)
        return self.show(order_id)

    def sql(self, statement: str, *params: Any) -> list[Any]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

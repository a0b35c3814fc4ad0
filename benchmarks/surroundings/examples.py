"""What invokes the engine: the README's order, and the events of the gateway, of queues and of the schedule."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

ORDER = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3.0, "slippageTolerance": 0.02}
BODY = json.dumps(ORDER)
JSON_HEADERS = {"content-type": "application/json"}
PATH = "/api/orders/execute"
STAGE = "api"
SENT_HEADERS = {
    "Accept": "*/*",
    "Content-Type": "application/json",
    "Host": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
    "User-Agent": "curl/8.5.0",
    "X-Amzn-Trace-Id": "Root=1-67000000-000000000000000000000000",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
}
FUNCTION_SECONDS = 10.0
# Of no order.
NO_ORDER = "00000000-0000-7000-8000-000000000000"


class Context:
    """What Lambda tells a function about an invocation that has just begun."""

    function_name = "benchmark"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:benchmark"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def __init__(self) -> None:
        self._end = time.monotonic() + FUNCTION_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        """What is left of it."""
        return int((self._end - time.monotonic()) * 1000)


class Request(msgspec.Struct):
    """A request as the framework hands it to a handler."""

    raw_body: bytes = b""
    headers: Mapping[str, str] = msgspec.field(default_factory=lambda: JSON_HEADERS)
    query_params: Mapping[str, str] | None = None


def post() -> dict[str, Any]:
    """A POST of the order, as a REST API's proxy integration sends it."""
    return {
        "resource": PATH,
        "path": PATH,
        "httpMethod": "POST",
        "headers": SENT_HEADERS,
        "multiValueHeaders": {name: [value] for name, value in SENT_HEADERS.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "a1b2c3d4e5",
            "httpMethod": "POST",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "curl/8.5.0"},
            "path": f"/{STAGE}{PATH}",
            "protocol": "HTTP/1.1",
            "requestId": "11111111-1111-4111-8111-111111111111",
            "resourceId": "abc123",
            "resourcePath": PATH,
            "stage": STAGE,
        },
        "body": BODY,
        "isBase64Encoded": False,
    }


def socket_event(kind: str, connection_id: str, body: str | None = None) -> dict[str, Any]:
    """The event of the WebSocket API for CONNECT, MESSAGE or DISCONNECT."""
    context = {"connectionId": connection_id, "eventType": kind, "domainName": "sockets", "apiId": "a", "stage": STAGE}
    return {"requestContext": context, "queryStringParameters": None, "body": body}


def messages(bodies: Sequence[str]) -> dict[str, Any]:
    """The event of a queue's mapping; a message is known and handed back by its body."""
    return {"Records": [_record(body) for body in bodies]}


def tick() -> dict[str, Any]:
    """The event of a schedule."""
    names = ("version", "account", "region", "detail-type", "source", "time", "id")
    return dict.fromkeys(names, "") | {"detail": {}, "resources": []}


def _record(body: str) -> dict[str, Any]:
    return {
        "messageId": body,
        "receiptHandle": body,
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1732500000000",
            "SenderId": "AROAEXAMPLE:engine",
            "ApproximateFirstReceiveTimestamp": "1732500000100",
        },
        "messageAttributes": {},
        "md5OfBody": "00000000000000000000000000000000",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:orders",
        "awsRegion": "us-east-1",
    }

"""What a container is invoked with: events as API Gateway and SQS send them, and the orders that they are about."""

import asyncio
import json
from typing import Any

from chalicelib.domain.clock import SystemClock, SystemEntropy, uuid7
from chalicelib.intake.validation import terms
from chalicelib.store.database import Database, connect
from chalicelib.store.orders import Orders
from chalicelib.store.streams import Streams

PATH = "/api/orders/execute"
BODY = json.dumps({"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3.0, "slippageTolerance": 0.02})
HEADERS = {
    "Accept": "*/*",
    "Content-Type": "application/json",
    "Host": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
    "User-Agent": "curl/8.5.0",
    "X-Amzn-Trace-Id": "Root=1-67000000-000000000000000000000000",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
}
BATCH = 10
ACCEPTED = 200


def post() -> dict[str, Any]:
    """A POST of the README's example order, as a REST API's proxy integration sends it."""
    return {
        "resource": PATH,
        "path": PATH,
        "httpMethod": "POST",
        "headers": HEADERS,
        "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "a1b2c3d4e5",
            "httpMethod": "POST",
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "curl/8.5.0"},
            "path": f"/api{PATH}",
            "protocol": "HTTP/1.1",
            "requestId": "11111111-1111-4111-8111-111111111111",
            "resourceId": "abc123",
            "resourcePath": PATH,
            "stage": "api",
        },
        "body": BODY,
        "isBase64Encoded": False,
    }


def batch(database_url: str, *, followed: bool) -> dict[str, Any]:
    """Ten orders that were just accepted, as SQS hands them to the worker; `followed` by an open socket."""
    ids = asyncio.run(_accept(database_url, followed))
    return {"Records": [_record(order_id) for order_id in ids]}


async def _accept(database_url: str, followed: bool) -> list[str]:
    clock, entropy = SystemClock(), SystemEntropy()
    database = Database(database_url, clock, connect, pooler=False, name="benchmarks")
    orders, streams = Orders(database, clock, entropy), Streams(database)
    wanted, ids = terms(BODY.encode(), "application/json"), [uuid7(clock, entropy) for _ in range(BATCH)]
    try:
        for order_id in ids:
            await orders.accept(order_id, wanted, clock.now(), None)
        if followed:
            socket = f"{ids[0]}="
            await streams.connect(socket, None)
            await streams.open(socket)
            for order_id in ids:
                # Its first frame went out when it was bound.
                await streams.bind(socket, order_id, 1, first=False)
    finally:
        await database.close()
    return list(map(str, ids))


def _record(order_id: str) -> dict[str, Any]:
    return {
        "messageId": order_id,
        "receiptHandle": f"receipt-{order_id}",
        "body": order_id,
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

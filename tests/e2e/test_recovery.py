"""What crashes and lost messages leave behind is found and finished, on the deployed stack."""

import uuid
from typing import Any

import boto3
import psycopg

from local.stack import Endpoints
from tests.e2e.client import Client, one, sweep, until


def aws(endpoints: Endpoints, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoints.aws_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


async def test_the_sweep_sends_an_order_whose_message_was_lost(
    client: Client, endpoints: Endpoints, database: psycopg.Connection
) -> None:
    lost = stored_without_message(database, await client.post())
    sweep(endpoints)
    assert (await client.finish(lost))["status"] == "confirmed"


async def test_a_dead_letter_of_a_living_order_is_sent_on_its_way(
    client: Client, endpoints: Endpoints, database: psycopg.Connection
) -> None:
    lost = stored_without_message(database, await client.post())
    aws(endpoints, "sqs").send_message(QueueUrl=endpoints.outputs["DeadLettersQueueUrl"], MessageBody=lost)
    assert (await client.finish(lost))["status"] == "confirmed"


async def test_a_dead_letter_of_an_order_that_keeps_crashing_fails_it(
    client: Client, endpoints: Endpoints, database: psycopg.Connection
) -> None:
    lost = stored_without_message(database, await client.post())
    database.execute("UPDATE orders SET crashes = 3 WHERE id = %s", (lost,))
    aws(endpoints, "sqs").send_message(QueueUrl=endpoints.outputs["DeadLettersQueueUrl"], MessageBody=lost)
    shown = await client.finish(lost)
    assert shown["status"] == "failed"
    assert "crashed" in shown["failureReason"]


async def test_the_sweep_serves_a_lagging_subscription(
    client: Client, endpoints: Endpoints, database: psycopg.Connection
) -> None:
    order_id = await client.post()
    async with client.bound(order_id) as socket:
        frames = await socket.stream(order_id)
        # Whoever pushed the last frame must have stored that first.
        stored = "SELECT last_seq = %s AND lease_until IS NULL FROM subscriptions WHERE order_id = %s"
        await until(one(database, stored, len(frames), order_id))
        database.execute("UPDATE subscriptions SET last_seq = 3 WHERE order_id = %s", (order_id,))
        sweep(endpoints)
        assert await socket.stream(order_id) == frames[3:]


async def test_a_socket_that_is_gone_is_forgotten_unless_it_is_still_opening(
    client: Client, endpoints: Endpoints, database: psycopg.Connection
) -> None:
    order_id = await client.post()
    await client.stream(order_id)
    socket = uuid.uuid4().hex
    database.execute(
        "INSERT INTO connections (id, connected_at, expires_at, open) VALUES (%s, now(), now() + interval '1 h', true)",
        (socket,),
    )
    database.execute("INSERT INTO subscriptions VALUES (%s, %s, 0)", (socket, order_id))
    sweep(endpoints)
    await until(one(database, "SELECT push_failures > 0 FROM connections WHERE id = %s", socket))
    database.execute("UPDATE connections SET connected_at = now() - interval '1 minute' WHERE id = %s", (socket,))
    await until(one(database, "SELECT count(*) = 0 FROM connections WHERE id = %s", socket))


def stored_without_message(database: psycopg.Connection, like: str) -> str:
    """An order as a crash between its insert and its message leaves it, an hour ago."""
    order_id = str(uuid.uuid4())
    database.execute(
        "INSERT INTO orders (id, payload, status, created_at, last_update, account, type, last_seq, enqueued_at)"
        " SELECT %s, payload, 'pending', hour, hour, account, type, 1, hour"
        " FROM orders, LATERAL (SELECT now() - interval '1 hour' AS hour) AS past WHERE id = %s",
        (order_id, like),
    )
    database.execute(
        "INSERT INTO order_events SELECT id, 1, status, '{\"bound\":true}', created_at FROM orders WHERE id = %s",
        (order_id,),
    )
    return order_id

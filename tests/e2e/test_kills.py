"""Processes killed by SIGKILL while orders run: every order ends, is executed once, and its followers miss no frame."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from local.stack import Endpoints
from tests.e2e.client import EXAMPLE, Client, one, sweep, until
from tests.e2e.following import Follower, check, following, posted, resumed
from tests.e2e.processes import functions, kill

# Each holds up one order's insert or first claim at one statement, for less than the server lets it take.
# `building` is written together with `submitted`, so a worker is at it while that statement runs.
STALLS = """
CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2.5); RETURN NEW; END';
CREATE TRIGGER stall_accept BEFORE INSERT ON orders FOR EACH ROW
    WHEN (NEW.payload->>'amount' = '3000000005') EXECUTE FUNCTION stall();
CREATE TRIGGER stall_claim BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (NEW.payload->>'amount' = '3000000001' AND OLD.claim_token = 0) EXECUTE FUNCTION stall();
CREATE TRIGGER stall_write_ahead BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (NEW.payload->>'amount' = '3000000002' AND NEW.attempts = 1 AND OLD.open_tx IS NULL
          AND NEW.open_tx IS NOT NULL) EXECUTE FUNCTION stall();
CREATE TRIGGER stall_send AFTER INSERT ON simulated_swaps FOR EACH ROW
    WHEN (NEW.amount_in = 3000000003) EXECUTE FUNCTION stall();
CREATE TRIGGER stall_outcome BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (NEW.payload->>'amount' = '3000000004' AND NEW.outcome IS NOT NULL) EXECUTE FUNCTION stall();
"""
UNSTALL = """
DROP TRIGGER stall_accept ON orders; DROP TRIGGER stall_claim ON orders; DROP TRIGGER stall_write_ahead ON orders;
DROP TRIGGER stall_send ON simulated_swaps; DROP TRIGGER stall_outcome ON orders; DROP FUNCTION stall();
"""
# Orders beside those.
CROWD = 15
# What the order's row says while its statement is held up, by the last digit of the order's amount.
HELD = {1: "pending", 2: "routing", 3: "submitted", 4: "submitted"}
STATEMENTS = "SELECT 1 FROM pg_stat_activity WHERE starts_with(application_name, 'order-engine') AND state = 'active'"
STATUS = "SELECT status FROM orders WHERE id = %s"
STALLED = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@pytest.fixture
def stalls(database: psycopg.Connection) -> Iterator[None]:
    database.execute(STALLS)
    yield
    database.execute(UNSTALL)


@pytest.mark.usefixtures("stalls")
async def test_workers_killed_in_each_status_lose_nothing(
    client: Client, endpoints: Endpoints, database: psycopg.Connection
) -> None:
    found = await posted(client, CROWD)
    async with following(found):
        for digit, status in HELD.items():
            order_id = await client.post(amount=f"3.00000000{digit}")
            found.append(Follower(client, order_id))
            await until(one(database, STALLED))
            kill(functions(endpoints, "Worker"))
            assert one(database, f"{STATUS} AND EXISTS ({STALLED})", order_id)() == status
            # The statement outlives the worker that sent it.
            await until(one(database, f"SELECT NOT EXISTS ({STALLED})"))
        found.append(await killed_while_quoting(client, endpoints, database))
    await resumed(found)
    ended = check(endpoints.database_url, found)
    assert {ended[each.order_id] for each in found[CROWD:]} == {"confirmed"}
    # Claimed again, sent nothing, was not sent again, was only published, was interrupted.
    assert [each.seen for each in found[CROWD:]] == [5, 9, 5, 5, 7]


async def killed_while_quoting(client: Client, endpoints: Endpoints, database: psycopg.Connection) -> Follower:
    """An order whose worker was killed between its routing event and its write-ahead."""
    async with asyncio.timeout(60):
        while True:
            order_id = await client.post()
            await until(one(database, "SELECT status <> 'pending' FROM orders WHERE id = %s", order_id), pause=0)
            frozen = functions(endpoints, "Worker")
            for process in frozen:
                process.suspend()
            await until(one(database, f"SELECT NOT EXISTS ({STATEMENTS})"))
            if one(database, STATUS, order_id)() == "routing":
                kill(frozen)
                return Follower(client, order_id)
            # It was too quick, and goes on.
            for process in frozen:
                process.resume()


@pytest.mark.usefixtures("stalls")
async def test_an_order_whose_post_was_killed_is_executed_once(
    client: Client, endpoints: Endpoints, database: psycopg.Connection
) -> None:
    url, body = f"{endpoints.url}/api/orders/execute", EXAMPLE | {"amount": "3.000000005"}
    posting = asyncio.create_task(client.session.post(url, json=body))
    await until(one(database, STALLED))
    kill(functions(endpoints, "APIHandler"))
    async with await posting as reply:
        said = await reply.json()
        assert (reply.status, said.keys(), said["code"]) == (502, {"error", "code"}, "internal")
    # The insert outlives the function, and nobody sent the message.
    stored = "SELECT id::text FROM orders WHERE payload->>'amount' = '3000000005'"
    await until(one(database, stored))
    order_id = one(database, stored)()
    database.execute("UPDATE orders SET enqueued_at = now() - interval '1 hour' WHERE id = %s", (order_id,))
    sweep(endpoints)
    follower = Follower(client, order_id)
    await resumed([follower])
    assert check(endpoints.database_url, [follower]) == {order_id: "confirmed"}
    assert (await client.finish(await client.post()))["status"] == "confirmed"

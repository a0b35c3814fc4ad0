"""Processes killed by SIGKILL while orders run: every order ends, is executed once, and its followers miss no frame."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from local.stack import Endpoints
from tests.e2e.client import EXAMPLE, PATIENCE, Client, one, sweep, until
from tests.e2e.following import Follower, check, following, posted, resumed
from tests.e2e.processes import functions, kill, standing_still

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
    async with following(found), asyncio.timeout(PATIENCE):
        killed = [await killed_at(digit, found, endpoints, database) for digit in HELD]
        killed.append(await killed_while_quoting(found, endpoints, database))
    await resumed(found)
    ended = check(endpoints.database_url, found)
    assert {ended[each.order_id] for each in killed} == {"confirmed"}
    # Claimed again, sent nothing, was not sent again, was only published, was interrupted.
    assert [each.seen for each in killed] == [5, 9, 5, 5, 7]


async def killed_at(digit: int, found: list[Follower], endpoints: Endpoints, database: psycopg.Connection) -> Follower:
    """An order whose worker was killed while its statement was held up."""
    while True:
        order = await another(found, amount=f"3.00000000{digit}")
        await until(one(database, STALLED), pause=0.02)
        # Looked for only now: one may have been started for this order. That can take longer than the statement.
        workers = functions(endpoints, "Worker")
        kill(workers)
        held = one(database, f"{STATUS} AND EXISTS ({STALLED})", order.order_id)()
        # The statement outlives the worker that sent it.
        await until(one(database, f"SELECT NOT EXISTS ({STALLED})"))
        if held:
            assert (held, bool(workers)) == (HELD[digit], True)
            return order


async def killed_while_quoting(found: list[Follower], endpoints: Endpoints, database: psycopg.Connection) -> Follower:
    """An order whose worker was killed between its routing event and its write-ahead."""
    while True:
        order = await another(found)
        await until(one(database, "SELECT status <> 'pending' FROM orders WHERE id = %s", order.order_id), pause=0)
        with standing_still(functions(endpoints, "Worker")) as workers:
            await until(one(database, f"SELECT NOT EXISTS ({STATEMENTS})"))
            # Others were too quick, and go on.
            if one(database, STATUS, order.order_id)() == "routing":
                kill(workers)
                return order


async def another(found: list[Follower], **fields: str) -> Follower:
    """One more order, to be followed like the others whatever becomes of it."""
    client = found[0].client
    found.append(Follower(client, await client.post(**fields)))
    return found[-1]


@pytest.mark.usefixtures("stalls")
async def test_an_order_whose_post_was_killed_is_executed_once(
    client: Client, endpoints: Endpoints, database: psycopg.Connection
) -> None:
    url, body = f"{endpoints.url}/api/orders/execute", EXAMPLE | {"amount": "3.000000005"}
    found: list[Follower] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            posting = asyncio.create_task(client.session.post(url, json=body))
            await until(one(database, STALLED), pause=0.02)
            kill(functions(endpoints, "APIHandler"))
            async with await posting as reply:
                said = await reply.json()
            if reply.status != 200:
                break
            # It had answered already.
            found.append(Follower(client, said["orderId"]))
    assert (reply.status, said.keys(), said["code"]) == (502, {"error", "code"}, "internal")
    # The insert outlives the function, and nobody sent the message.
    stored = "SELECT id::text FROM orders WHERE payload->>'amount' = '3000000005' AND id <> ALL(%s::uuid[])"
    ask = one(database, stored, [each.order_id for each in found])
    await until(ask)
    order_id = ask()
    database.execute("UPDATE orders SET enqueued_at = now() - interval '1 hour' WHERE id = %s", (order_id,))
    sweep(endpoints)
    found.append(Follower(client, order_id))
    await resumed(found)
    assert set(check(endpoints.database_url, found).values()) == {"confirmed"}
    assert (await client.finish(await client.post()))["status"] == "confirmed"

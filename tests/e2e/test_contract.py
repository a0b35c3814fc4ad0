"""The contract as a client sees it, on the deployed stack."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from tests.e2e.client import EXAMPLE, Client
from tests.hostile import BODIES, FRAMES

HAPPY = ["pending", "routing", "building", "submitted", "confirmed"]
TRY = ["routing", "building", "submitted"]


def statuses(frames: Sequence[dict[str, Any]]) -> list[str]:
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    return [frame["status"] for frame in frames]


async def test_an_order_streams_every_step(client: Client) -> None:
    frames = await client.stream(await client.post())
    assert statuses(frames) == HAPPY
    assert frames[0]["meta"] == {"bound": True}
    assert frames[1]["meta"] == {"step": "fetching quotes"}
    route = frames[2]["meta"]["route"]
    assert {route["chosen"]["dex"], route["other"]["dex"]} == {"Raydium", "Meteora"}
    assert route["chosen"]["price"] <= route["other"]["price"]
    assert frames[3]["meta"] == {"dex": route["chosen"]["dex"]}
    assert re.fullmatch(r"MOCKTX_[0-9a-f]{24}", frames[4]["meta"]["txHash"])
    assert isinstance(frames[4]["meta"]["executedPrice"], float)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", frame["ts"]) for frame in frames)


async def test_a_post_repeated_under_a_key_in_any_case_is_one_order(client: Client) -> None:
    url, key = f"{client.endpoints.url}/api/orders/execute", str(uuid4())
    answers = []
    for name, amount in (("Idempotency-Key", 3.0), ("IDEMPOTENCY-KEY", "3"), ("idempotency-key", 4)):
        async with client.session.post(url, json=EXAMPLE | {"amount": amount}, headers={name: key}) as reply:
            answers.append((reply.status, await reply.json()))
    first, second, other = answers
    assert first[0] == 200
    assert second == first
    assert (other[0], other[1]["code"]) == (409, "idempotency_key_reused")


async def test_every_way_of_binding_gives_the_whole_history(client: Client) -> None:
    order_id = await client.post()
    async with client.bound(order_id) as early, client.socket(f"?orderId={order_id}") as by_query:
        live, queried = await asyncio.gather(early.stream(order_id), by_query.stream(order_id))
        late = await client.stream(order_id)
        async with client.socket() as socket:
            await socket.send({"orderId": f"<{order_id}>"})
            bracketed = await socket.stream(order_id)
    assert statuses(live) == HAPPY
    assert live == queried == late == bracketed


async def test_a_stream_resumes_after_a_frame(client: Client) -> None:
    order_id = await client.post()
    frames = await client.stream(order_id)
    async with client.socket() as socket:
        await socket.send({"orderId": order_id, "afterSeq": 3})
        assert await socket.stream(order_id) == frames[3:]
        await socket.send({"orderId": order_id, "afterSeq": 6})
        assert (await socket.receive())["code"] == "invalid_after_seq"


async def test_a_flaky_order_is_retried_and_confirmed(client: Client) -> None:
    order_id = await client.post(tokenOut="FLAKY")
    frames = await client.stream(order_id)
    assert statuses(frames) == ["pending", *TRY, "pending", *TRY, "pending", *TRY, "confirmed"]
    retries = [frame["meta"] for frame in frames if "retryAttempt" in frame["meta"]]
    assert [(meta["retryAttempt"], meta["nextTryInMs"]) for meta in retries] == [(1, 500), (2, 1000)]
    assert (await client.show(order_id))["attempts"] == 3


async def test_an_order_that_cannot_succeed_fails_with_its_reason(client: Client) -> None:
    order_id = await client.post(tokenOut="FAIL")
    frames = await client.stream(order_id)
    assert statuses(frames) == ["pending", *TRY, "pending", *TRY, "pending", *TRY, "failed"]
    shown = await client.show(order_id)
    assert shown["attempts"] == 3
    assert shown["failureReason"] == frames[-1]["meta"]["reason"]
    assert [event["status"] for event in shown["events"]] == statuses(frames)


async def test_a_hundred_orders_at_once_all_confirm(client: Client) -> None:
    order_ids = await asyncio.gather(*(client.post() for _ in range(100)))
    streams = await asyncio.gather(*map(client.stream, order_ids))
    assert [statuses(frames) for frames in streams] == [HAPPY] * 100


async def test_hostile_bodies_are_refused_by_name(client: Client) -> None:
    url = f"{client.endpoints.url}/api/orders/execute"
    for case in BODIES:
        headers = {"content-type": case.content_type} if case.content_type is not None else {}
        async with client.session.post(url, data=case.body, headers=headers) as reply:
            body = await reply.json()
            assert (reply.status, body.get("code")) == (case.status, case.code), (case.name, reply.status, body)
            assert body["error"]
    assert (await client.finish(await client.post()))["status"] == "confirmed"


async def test_hostile_frames_get_one_error_frame_each(client: Client) -> None:
    order_id = await client.post()
    async with client.socket() as socket:
        for case in FRAMES:
            await socket.send(case.text)
            assert (await socket.receive()).get("code") == case.code, case.name
        await socket.send({"orderId": order_id})
        assert statuses(await socket.stream(order_id)) == HAPPY


async def test_unknown_orders_paths_and_methods_are_named(client: Client) -> None:
    unknown = "00000000-0000-7000-8000-000000000000"
    assert await client.get(f"/api/orders/{unknown}") == (
        404,
        {"error": f"no order has the id {unknown}", "code": "unknown_order"},
    )
    for path in ("/nowhere", "/api/orders/execute/more", "/api"):
        status, body = await client.get(path)
        assert (status, body["code"]) == (404, "not_found")
    async with client.session.put(f"{client.endpoints.url}/api/orders") as reply:
        assert (reply.status, (await reply.json())["code"]) == (404, "not_found")
    async with client.socket(f"?orderId={unknown}") as socket:
        assert (await socket.receive())["code"] == "unknown_order"


async def test_health_and_the_list(client: Client) -> None:
    order_id = await client.post()
    status, health = await client.get("/api/health")
    assert (status, health["status"], health["database"]["reached"], health["queue"]["reached"]) == (
        200,
        "ok",
        True,
        True,
    )
    status, page = await client.get("/api/orders?limit=1")
    assert status == 200
    assert page["orders"][0]["orderId"] >= order_id
    assert page["nextCursor"] == page["orders"][0]["orderId"]


async def test_the_page_is_served(client: Client) -> None:
    async with client.session.get(client.endpoints.url) as reply:
        assert reply.status == 200
        assert reply.content_type == "text/html"

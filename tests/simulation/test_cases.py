"""Meetings of events that chance brings about too seldom, played as named."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from chalicelib.domain.claim import LEASE_SECONDS
from chalicelib.domain.retry import MAX_CRASHES
from tests.simulation.backends import Backends
from tests.simulation.faults import Kind
from tests.simulation.script import Script
from tests.simulation.world import Report, Story, World, run

ORDER = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1}
# The seed still decides delays, batches and the scale of time.
SEEDS = (1, 2, 3)
LOOK_SECONDS = 0.01
MOST_SECONDS = 1200.0


@pytest.fixture(params=SEEDS)
def play(request: pytest.FixtureRequest, backends: Backends) -> Callable[[Story], Report]:
    """Runs a story to its end; every promise must hold."""

    def _play(story: Story) -> Report:
        report = run(request.param, backends, story=story)
        assert report.violations == []
        return report

    return _play


async def until(world: World, condition: Callable[[], bool]) -> None:
    """Wait, in virtual time."""
    while not condition():
        assert world.sim.loop.time() < MOST_SECONDS, "it never came to that"
        await asyncio.sleep(LOOK_SECONDS)


async def post(world: World, key: str | None = None) -> str:
    if key is not None:
        world.clients.keys.append(key)
    order_id = await world.clients.post(ORDER, key)
    assert order_id is not None
    return order_id


def statements(world: World, wanted: str) -> list[list[Any]]:
    """What every statement of a name that commits from now on returns."""
    found: list[list[Any]] = []
    world.server.observers.append(lambda name, *given: found.append(list(given[-1])) if name == wanted else None)
    return found


def ended(world: World, order_id: str) -> bool:
    return world.sim.trace.happened("ended", order_id)


def test_write_ahead_commits_while_another_claim_waits_for_the_row(play: Callable[[Story], Report]) -> None:
    async def story(world: World) -> None:
        script = Script(world.sim)
        claims = statements(world, "claim")
        # The first write of a claim says routing, the second is the write-ahead.
        script.strike(Kind.LONG_PAUSE, "before write_transitions", seconds=14.4, skip=1)
        script.strike(Kind.SQL_SLOW, "write_transitions", seconds=0.9, skip=1)
        order_id = await post(world)
        await until(world, lambda: len(claims) == 1)
        # The lease ends while the write-ahead holds the row.
        world.queues["order-engine-orders"].put(order_id, LEASE_SECONDS + 0.03)
        await until(world, lambda: len(claims) == 2)
        # The write-ahead has given the claim back, until the transaction should have landed; some land at once.
        assert claims[1][0][1] in ("early", "claimed")
        assert claims[1][0][3] is not None, "the second claim has not seen the write-ahead"
        await until(world, lambda: ended(world, order_id))

    report = play(story)
    assert report.statuses == {"confirmed": 1}
    assert report.trace.happened("parked", "claim"), "the second claim did not wait for the row"


def test_second_bind_during_a_push(play: Callable[[Story], Report]) -> None:
    async def story(world: World) -> None:
        script = Script(world.sim)
        order_id = await post(world)
        await until(world, lambda: ended(world, order_id))
        socket = await world.gateway.connect(None)
        assert socket is not None
        script.strike(Kind.PUSH_SLOW, socket, seconds=2.0)
        binds, releases = statements(world, "bind"), statements(world, "release")
        first = asyncio.create_task(world.gateway.say(socket, {"orderId": order_id}))
        await until(world, script.struck)
        assert await world.gateway.say(socket, {"orderId": order_id})
        assert (len(binds), len(releases)) == (2, 0), "the second bind came after the push"
        assert await first
        await until(world, lambda: not world.streams.missing((socket, order_id), 5))

    report = play(story)
    assert report.statuses == {"confirmed": 1}


def test_push_throttled_for_minutes(play: Callable[[Story], Report]) -> None:
    async def story(world: World) -> None:
        script = Script(world.sim)
        throttled, other = await world.gateway.connect(None), await world.gateway.connect(None)
        assert throttled is not None
        assert other is not None
        order_id = await post(world)
        script.strike(Kind.THROTTLED, throttled, seconds=300.0)
        for socket in (throttled, other):
            assert await world.gateway.say(socket, {"orderId": order_id})
        await until(world, lambda: len(world.gateway.frames[other]) == 5)
        assert world.sim.loop.time() < 60, "one socket held up another"
        assert world.gateway.frames[throttled] == []
        await until(world, lambda: len(world.gateway.frames[throttled]) == 5)
        assert world.sim.loop.time() < 300 + 90

    report = play(story)
    # Backing off: neither a push a second nor a second chain of deliveries.
    deliveries = sum("invoked" in line and "deliver-" in line for line in report.trace.lines())
    assert 3 < deliveries < 30


def test_order_ends_while_the_time_to_push_its_frames_runs_out(play: Callable[[Story], Report]) -> None:
    async def story(world: World) -> None:
        script = Script(world.sim)
        script.strike(Kind.LATE, "orders", seconds=2.0)
        order_id, socket = await post(world), await world.gateway.connect(None)
        assert socket is not None
        # Two passes, of which the second is the last; the order ends during it.
        script.strike(Kind.PUSH_SLOW, socket, seconds=2.7)
        script.strike(Kind.PUSH_SLOW, socket, seconds=2.7)
        assert await world.gateway.say(socket, {"orderId": order_id})
        await until(world, lambda: len(world.gateway.frames[socket]) == 5)
        assert world.sim.loop.time() < 15, "the last frame was left to the sweep"

    assert play(story).statuses == {"confirmed": 1}


def test_socket_that_is_only_far_behind_is_not_held_back(play: Callable[[Story], Report]) -> None:
    async def story(world: World) -> None:
        script = Script(world.sim)
        socket = await world.gateway.connect(None)
        assert socket is not None
        orders = await asyncio.gather(*(post(world) for _ in range(30)))
        await until(world, lambda: all(ended(world, order_id) for order_id in orders))
        script.strike(Kind.THROTTLED, socket, seconds=5.0)
        for order_id in orders:
            assert await world.gateway.say(socket, {"orderId": order_id})
        await until(world, lambda: len(world.gateway.frames[socket]) == 5 * len(orders))

    failures = [line for line in play(story).trace.lines() if "frames delivered later" in line]
    assert 0 < len(failures) < 5, "it is held back for more than the throttle"


def test_chain_that_keeps_silent_leaves_the_order_parked(play: Callable[[Story], Report]) -> None:
    async def story(world: World) -> None:
        script = Script(world.sim)
        await post(world)
        for _ in range(1000):
            script.strike(Kind.CHAIN_SILENT, "")
        await until(world, lambda: world.sim.trace.happened("failure", "order parked for an operator"))
        Script(world.sim)

    assert play(story).statuses == {"confirmed": 1}


def test_poisonous_order_among_nine_healthy_ones(
    play: Callable[[Story], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No operator makes an eleventh order of the one that fails.
    monkeypatch.setattr("tests.simulation.operators.REPEATS", 0)

    async def story(world: World) -> None:
        Script(world.sim)
        claims = statements(world, "claim")
        queue = world.queues["order-engine-orders"]
        # All that can be seen comes in one batch.
        receive = queue.receive
        monkeypatch.setattr(queue, "receive", lambda most: receive(10))
        pump, queue.on_visible = queue.on_visible, lambda: None
        orders = await asyncio.gather(*(post(world) for _ in range(10)))
        world.moods.poison(UUID(orders[3]), "quote", 1000)
        queue.on_visible = pump
        pump()
        await until(world, lambda: all(ended(world, order_id) for order_id in orders))
        shared = [claim for claim in claims if len(claim) > 1 and orders[3] in {str(row[0]) for row in claim}]
        assert shared, "it was alone from the first"

    report = play(story)
    assert report.statuses == {"confirmed": 9, "failed": 1}
    assert report.faults[Kind.POISON] == MAX_CRASHES


@pytest.mark.parametrize("key", [None, "a-key"])
@pytest.mark.parametrize("kind", [Kind.SQL_LOST_AFTER, Kind.SQL_LOST_BEFORE])
def test_post_whose_statement_has_no_reply(play: Callable[[Story], Report], key: str | None, kind: Kind) -> None:
    async def story(world: World) -> None:
        script = Script(world.sim)
        script.strike(kind, "accept_keyed" if key else "accept")
        order_id = await post(world, key)
        assert script.struck()
        await until(world, lambda: ended(world, order_id))

    assert play(story).statuses == {"confirmed": 1}


@pytest.mark.parametrize(("kind", "where"), [(Kind.CRASH, "after accept_keyed"), (Kind.SQL_SILENT, "accept_keyed")])
def test_post_under_a_key_that_is_never_answered(play: Callable[[Story], Report], kind: Kind, where: str) -> None:
    async def story(world: World) -> None:
        script = Script(world.sim)
        script.strike(kind, where)
        assert await world.clients.post(ORDER, "a-key") is None
        await asyncio.sleep(3.0)
        order_id = await post(world, "a-key")
        assert script.struck()
        await until(world, lambda: ended(world, order_id))

    assert play(story).statuses == {"confirmed": 1}

"""Containers that die, freeze or lose replies at each statement of publishing: each frame comes, in order."""

import pytest

from tests.integration.faults import LEASE_OVER, SECONDS, Stop, kill, lose_reply, start, work_until
from tests.integration.rig import Rig

# Leases, pushes and releases of an order that confirms take fewer than this.
STATEMENTS = range(1, 9)
MOST_CLAIMS = 3
WHOLE = [1, 2, 3, 4, 5]


def seqs(rig: Rig, socket: str) -> list[int]:
    return [frame["seq"] for frame in rig.frames(socket)]


def whole(rig: Rig, order_id: str) -> list[int]:
    """All frames of an order; an attempt that was interrupted has more of them than others."""
    return list(range(1, rig.row(order_id)["last_seq"] + 1))


def once(found: list[int]) -> list[int]:
    """What a client keeps that drops the frames it has."""
    return list(dict.fromkeys(found))


def lagging(rig: Rig) -> list[object]:
    return rig.sql("SELECT 1 FROM subscriptions s JOIN orders o ON o.id = s.order_id WHERE s.last_seq < o.last_seq")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_publisher_that_dies_at_any_statement_delays_frames_and_loses_none(rig: Rig, *, after: bool) -> None:
    for at in STATEMENTS:
        order_id = rig.post()
        socket = rig.bind(order_id)
        container = rig.container()
        stop = Stop(container, container.publishing, at, after=after)
        work_until(stop, container, rig, order_id)
        kill(container)
        rig.advance(LEASE_OVER)
        rig.settle(order_id)
        rig.sweep()
        rig.until(lambda: not lagging(rig))
        assert once(seqs(rig, socket)) == whole(rig, order_id), stop.statement


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_publisher_that_freezes_beside_another_pushes_nothing_twice(rig: Rig, *, after: bool) -> None:
    for at in STATEMENTS:
        order_id = rig.post()
        socket = rig.bind(order_id)
        container = rig.container()
        stop = Stop(container, container.publishing, at, after=after)
        work = work_until(stop, container, rig, order_id)
        rig.finish(order_id)
        stop.release()
        work.result(SECONDS)
        assert seqs(rig, socket) == WHOLE, stop.statement
        container.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_publisher_that_outlives_its_lease_moves_no_cursor(rig: Rig, *, after: bool) -> None:
    for at in STATEMENTS:
        order_id = rig.post()
        socket = rig.bind(order_id)
        container = rig.container()
        stop = Stop(container, container.publishing, at, after=after)
        work = work_until(stop, container, rig, order_id)
        rig.advance(LEASE_OVER)
        rig.settle(order_id)
        rig.sweep()
        rig.until(lambda: not lagging(rig))
        stop.release()
        work.result(SECONDS)
        assert once(seqs(rig, socket)) == whole(rig, order_id), stop.statement
        assert lagging(rig) == []
        container.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_bind_during_a_push_gets_the_whole_history_after_it(rig: Rig, *, after: bool) -> None:
    for at in STATEMENTS:
        order_id = rig.post()
        socket = rig.bind(order_id)
        container = rig.container()
        stop = Stop(container, container.publishing, at, after=after)
        work = work_until(stop, container, rig, order_id)
        rig.finish(order_id)
        rig.send(socket, {"orderId": order_id})
        stop.release()
        work.result(SECONDS)
        rig.sweep()
        rig.until(lambda: not lagging(rig))
        found = seqs(rig, socket)
        assert found[-5:] == WHOLE, (stop.statement, found)
        assert once(found[:-5]) == WHOLE[: len(once(found[:-5]))], (stop.statement, found)
        container.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_reply_lost_while_publishing_delays_frames_and_loses_none(rig: Rig, *, after: bool) -> None:
    for at in STATEMENTS:
        order_id = rig.post()
        socket = rig.bind(order_id)
        container = rig.container()
        lost = lose_reply(container.publishing, at, after=after)
        for _ in range(MOST_CLAIMS):
            start(container, order_id).result(SECONDS)
        rig.advance(LEASE_OVER)
        rig.settle(order_id)
        rig.sweep()
        rig.until(lambda: not lagging(rig))
        assert once(seqs(rig, socket)) == whole(rig, order_id), lost
        container.close()

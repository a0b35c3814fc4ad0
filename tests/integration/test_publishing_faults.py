"""Containers that die, freeze or lose replies at each statement of publishing: each frame comes, in order."""

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.integration.faults import LEASE_OVER, SECONDS, Stop, kill, lose_reply, start, work_until
from tests.integration.rig import Rig

# Leases, pushes and releases of an order that confirms take fewer than this.
STATEMENTS = range(1, 9)
MOST_CLAIMS = 3
WHOLE = [1, 2, 3, 4, 5]


class Stage:
    """An order, a socket that follows it, and a container whose n-th statement of publishing meets a fault."""

    def __init__(self, rig: Rig, at: int, *, after: bool) -> None:
        self._rig = rig
        self.at = at
        self.after = after
        self.order_id = rig.post()
        self.socket = rig.bind(self.order_id)
        self.container = rig.container()

    def stand_still(self) -> "tuple[Stop, Future[list[str]]]":
        """Have the container work until it stands still at that statement."""
        stop = Stop(self.container, self.container.publishing, self.at, after=self.after)
        return stop, work_until(stop, self.container, self._rig, self.order_id)

    def recover(self) -> None:
        """The leases end, others take the order to its end, and the sweep finds what is left."""
        self._rig.advance(LEASE_OVER)
        self._rig.settle(self.order_id)
        self.sweep()

    def sweep(self) -> None:
        """The sweep finds who lacks frames."""
        self._rig.sweep()
        self._rig.until(lambda: not lagging(self._rig))

    def seqs(self) -> list[int]:
        """What the socket got."""
        return [frame["seq"] for frame in self._rig.frames(self.socket)]

    def whole(self) -> list[int]:
        """All frames of the order; an attempt that was interrupted has more of them than others."""
        return list(range(1, self._rig.row(self.order_id)["last_seq"] + 1))


@pytest.fixture(params=[False, True], ids=["before", "after"])
def stages(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for each statement, before it is sent or after it took effect, each made when it is asked for."""
    return (Stage(rig, at, after=request.param) for at in STATEMENTS)


def once(found: list[int]) -> list[int]:
    """What a client keeps that drops the frames it has."""
    return list(dict.fromkeys(found))


def lagging(rig: Rig) -> list[object]:
    return rig.sql("SELECT 1 FROM subscriptions s JOIN orders o ON o.id = s.order_id WHERE s.last_seq < o.last_seq")


def test_a_publisher_that_dies_at_any_statement_delays_frames_and_loses_none(stages: Iterator[Stage]) -> None:
    for stage in stages:
        stop, _ = stage.stand_still()
        kill(stage.container)
        stage.recover()
        assert once(stage.seqs()) == stage.whole(), stop.statement


def test_a_publisher_that_freezes_beside_another_pushes_nothing_twice(rig: Rig, stages: Iterator[Stage]) -> None:
    for stage in stages:
        stop, work = stage.stand_still()
        rig.finish(stage.order_id)
        stop.release()
        work.result(SECONDS)
        assert stage.seqs() == WHOLE, stop.statement


def test_a_publisher_that_outlives_its_lease_moves_no_cursor(rig: Rig, stages: Iterator[Stage]) -> None:
    for stage in stages:
        stop, work = stage.stand_still()
        stage.recover()
        stop.release()
        work.result(SECONDS)
        assert once(stage.seqs()) == stage.whole(), stop.statement
        assert lagging(rig) == []


def test_a_bind_during_a_push_gets_the_whole_history_after_it(rig: Rig, stages: Iterator[Stage]) -> None:
    for stage in stages:
        stop, work = stage.stand_still()
        rig.finish(stage.order_id)
        rig.send(stage.socket, {"orderId": stage.order_id})
        stop.release()
        work.result(SECONDS)
        stage.sweep()
        found = stage.seqs()
        assert found[-5:] == WHOLE, (stop.statement, found)
        assert once(found[:-5]) == WHOLE[: len(once(found[:-5]))], (stop.statement, found)


def test_a_reply_lost_while_publishing_delays_frames_and_loses_none(stages: Iterator[Stage]) -> None:
    for stage in stages:
        lost = lose_reply(stage.container.publishing, stage.at, after=stage.after)
        for _ in range(MOST_CLAIMS):
            start(stage.container, stage.order_id).result(SECONDS)
        stage.recover()
        assert once(stage.seqs()) == stage.whole(), lost

"""Containers that die or freeze at each statement of an order's way: it ends all the same, and is executed once."""

import pytest

from local.stack import forget_run_before
from tests.integration.faults import LEASE_OVER, MOST_CLAIMS, SECONDS, Stop, kill, lose_reply, start, work_until
from tests.integration.rig import Rig

# Enough for a first attempt that fails, and a second one until it is asked for: what follows is the same again.
STATEMENTS = range(1, 13)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_container_that_dies_at_any_statement_costs_nothing(rig: Rig, *, after: bool) -> None:
    for at in STATEMENTS:
        order_id = rig.post(tokenOut="FLAKY")
        container = rig.container()
        stop = Stop(container, container.work, at, after=after)
        work_until(stop, container, rig, order_id)
        kill(container)
        rig.advance(LEASE_OVER)
        assert rig.settle(order_id)["status"] == "confirmed", stop.statement
        rig.check_log(order_id)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_container_that_wakes_up_after_losing_its_claim_changes_nothing(rig: Rig, *, after: bool) -> None:
    for at in STATEMENTS:
        order_id = rig.post(tokenOut="FLAKY")
        container = rig.container()
        stop = Stop(container, container.work, at, after=after)
        work = work_until(stop, container, rig, order_id)
        rig.advance(LEASE_OVER)
        ended = rig.settle(order_id)
        assert ended["status"] == "confirmed", stop.statement
        row = rig.row(order_id)
        stop.release()
        work.result(SECONDS)
        assert rig.show(order_id) == ended, stop.statement
        assert rig.row(order_id) == row, stop.statement
        rig.check_log(order_id)
        container.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_reply_lost_at_any_statement_costs_nothing(rig: Rig, *, after: bool) -> None:
    for at in STATEMENTS:
        order_id = rig.post(tokenOut="FLAKY")
        container = rig.container()
        lost = lose_reply(container.work, at, after=after)
        for _ in range(MOST_CLAIMS):
            start(container, order_id).result(SECONDS)
            if (status := rig.show(order_id)["status"]) == "confirmed":
                break
            rig.advance(LEASE_OVER)
        assert status == "confirmed", lost
        rig.check_log(order_id)
        container.close()


@pytest.mark.parametrize("leases", [True, False], ids=["own database", "shared database"])
def test_the_first_sweep_of_a_new_run_finds_what_dead_functions_held(rig: Rig, *, leases: bool) -> None:
    order_id, ended = rig.post(), rig.post()
    rig.settle(ended)
    container = rig.container()
    stop = Stop(container, container.work, 2, after=True)
    work_until(stop, container, rig, order_id)
    kill(container)
    while rig.bodies("orders"):
        pass
    waiting = rig.post()
    rig.bodies("orders")
    forget_run_before(rig.database_url, leases=leases)
    rig.sweep()
    assert sorted(rig.bodies("orders")) == sorted([order_id, waiting] if leases else [waiting])
    rig.advance(LEASE_OVER)
    assert rig.settle(order_id)["status"] == "confirmed"
    assert rig.row(order_id)["crashes"] == 0
    rig.check_log(order_id)

"""The formulas against values that are known without them."""

import math
import random

import pytest

from benchmarks.models import queueing
from benchmarks.models.queueing import Unstable, batch_service, erlang_b, little


def test_little_counts_who_is_inside() -> None:
    assert little(100, 0.25) == 25


@pytest.mark.parametrize(
    ("servers", "offered", "blocked"),
    # Two servers: (a²/2) / (1 + a + a²/2). The last one stands in every table of Erlang B.
    [(1, 1, 1 / 2), (2, 1, 1 / 5), (2, 2, 2 / 5), (10, 4.461, 0.01)],
)
def test_erlang_b(servers: int, offered: float, blocked: float) -> None:
    assert erlang_b(servers, offered) == pytest.approx(blocked, rel=1e-3)


@pytest.mark.parametrize(
    ("servers", "rate", "wait"),
    # Erlang's C of a at c servers, over c - a: a; a²/(2 + a); 125/178 by its sum.
    [(1, 0.5, 0.5 / 0.5), (2, 1.5, 1.5**2 / 3.5 / 0.5), (3, 2.5, 125 / 178 / 0.5)],
)
def test_batches_of_one_are_an_ordinary_queue(servers: int, rate: float, wait: float) -> None:
    found = batch_service(servers, rate, 1.0, 1)
    assert found.fill == pytest.approx(1)
    assert found.busy == pytest.approx(rate)
    assert found.wait == pytest.approx(wait)


@pytest.mark.parametrize(("variation", "wait"), [(1, 0.4), (0, 0.2)])
def test_the_correction_for_variation_is_exact_for_one_server_without_batches(variation: float, wait: float) -> None:
    # M/M/1: the wait is rho·S/(1 - rho); M/D/1: half of it.
    assert queueing.settled(1, 8, 1, lambda _: 0.1, lambda _: variation).wait == pytest.approx(wait)


def test_a_single_server_of_pairs() -> None:
    # r + r² = 1.5: r = (√7 - 1)/2. Of the idle and the full state: 1/1.5 and 1/(1 - r) to one.
    ratio = (math.sqrt(7) - 1) / 2
    full = 1 / (1 / 1.5 + 1 / (1 - ratio))
    found = batch_service(1, 1.5, 1.0, 2)
    assert found.waiting == pytest.approx(full * ratio / (1 - ratio) ** 2)
    assert found.busy == pytest.approx(1 - full / 1.5)
    assert found.fill == pytest.approx(1.5 / found.busy)


def test_batches_as_a_simulation_of_them_finds() -> None:
    found, simulated = batch_service(3, 12.0, 1.0, 10), _simulated(3, 12.0, 1.0, 10, customers=200_000)
    assert found.fill == pytest.approx(simulated[0], rel=0.05)
    assert found.wait == pytest.approx(simulated[1], rel=0.05)


def _simulated(servers: int, rate: float, seconds: float, most: int, customers: int) -> tuple[float, float]:
    """Fill and wait of that queue, event by event."""
    draws = random.Random(7)
    ends: list[float] = []
    queue: list[float] = []
    now, waited, batches, left = 0.0, 0.0, 0, customers
    arrival = draws.expovariate(rate)
    while left:
        now = min([arrival, *ends])
        if now == arrival:
            queue.append(now)
            arrival = now + draws.expovariate(rate)
        else:
            ends.remove(now)
        while queue and len(ends) < servers:
            taken, queue = queue[:most], queue[most:]
            waited += sum(now - came for came in taken)
            batches, left = batches + 1, max(0, left - len(taken))
            ends.append(now + draws.expovariate(1 / seconds))
    return customers / batches, waited / customers


def test_more_than_the_servers_take_has_no_steady_state() -> None:
    batch_service(2, 19.9, 1.0, 10)
    with pytest.raises(Unstable):
        batch_service(2, 20, 1.0, 10)


def test_a_batch_that_takes_longer_the_more_it_has_settles() -> None:
    found = queueing.settled(4, 60.0, 10, lambda fill: 0.2 + 0.01 * fill)
    assert found.fill == pytest.approx(batch_service(4, 60.0, 0.2 + 0.01 * found.fill, 10).fill)
    with pytest.raises(Unstable):
        queueing.settled(4, 200.0, 10, lambda fill: 0.2 + 0.01 * fill)


def test_a_mapping_ramps_up() -> None:
    assert queueing.ramp_seconds(155, 5, 300) == 30
    assert queueing.ramp_seconds(4, 5, 300) == 0

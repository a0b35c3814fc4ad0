"""What a rate needs, from a service whose seconds are easy to reckon with."""

import math

import msgspec
import pytest

from benchmarks.models import pricing, stages
from benchmarks.models.pricing import Choice, DatabaseClass
from benchmarks.models.queueing import Steady
from benchmarks.models.stages import Limit, Limits, Needs, Service

# A batch takes 250 ms and 5 ms an order; asks a fifth of that. 0.4 ms of the database's CPU an order, alone 2 ms.
SERVICE = Service(
    quotes={1: 0.255, 10: 0.3},
    asks={1: 0.051, 10: 0.06},
    api=0.02,
    sockets=0.05,
    server={1: 0.002, 10: 0.0004},
)


def limit(most: float) -> Limit:
    return Limit(limit=most, per="unit", adjustable=True, source="made up")


LIMITS = Limits(
    dated="2000-01",
    region="nowhere",
    note="",
    gateway_requests=limit(8000),
    new_sockets=limit(400),
    mapping_start=limit(2),
    mapping_minute=limit(60),
    mapping_most=limit(1000),
    provisioned_minute=limit(600),
    provisioned_most=limit(10_000),
    poller_batches=limit(10),
    concurrency=limit(500),
    connections=limit(2000),
)
CLASSES = [
    DatabaseClass(name="small", vcpu=2, memory_gb=4, price=0.1),
    DatabaseClass(name="large", vcpu=8, memory_gb=64, price=1.0),
]


def wanted(cores: float, workers: int) -> Needs:
    return Needs(
        rate=1,
        bound=workers,
        steady=Steady(1, 1, 0, 0),
        unbounded=0,
        api=0,
        sockets=0,
        cores=cores,
        requests=0,
        ramp_seconds=0,
        provisioned_seconds=0,
        pollers=1,
    )


@pytest.mark.parametrize(("fill", "seconds"), [(0.5, 0.255), (1, 0.255), (5.5, 0.2775), (10, 0.3), (12, 0.3)])
def test_figures_between_those_that_are_known_lie_on_a_line(fill: float, seconds: float) -> None:
    assert stages.between(SERVICE.quotes, fill) == pytest.approx(seconds)


def test_a_batch_is_held_up_by_any_order_to_be_quoted() -> None:
    assert SERVICE.batch(1) == pytest.approx((0.255 + 0.051) / 2)
    assert SERVICE.batch(10) == pytest.approx(0.3, rel=0.001)


def test_full_batches_bound_what_workers_take() -> None:
    # Each batch of ten is half quotes, half asks: 4 workers, 10 messages in 0.3 s, two an order.
    assert stages.throughput(SERVICE, 4) == pytest.approx(4 * 10 / 0.3 / 2)


def test_more_orders_fill_batches_and_need_more_of_everything() -> None:
    few, many = stages.needs(SERVICE, 10, LIMITS), stages.needs(SERVICE, 1000, LIMITS)
    assert few.steady.fill < many.steady.fill <= stages.FILL
    assert many.steady.wait <= stages.WAIT_SECONDS
    assert few.bound < many.bound < many.unbounded
    assert many.connections == 2 * many.bound + many.api + many.sockets
    assert many.requests == 8000
    # A full CPU serves 1/fill of what it serves alone, at half of its use.
    assert few.cores < 1000 * 0.0004 / stages.CPU_SHARE < many.cores


def test_the_fewest_workers_are_found() -> None:
    least, steady = stages.bounded(SERVICE, 100)
    fewer = stages.predicted(SERVICE, 100, least - 1)
    assert steady.fill <= stages.FILL
    assert fewer.fill > stages.FILL or fewer.wait > stages.WAIT_SECONDS


def test_a_database_is_chosen_by_cores_and_its_proxy_by_connections() -> None:
    small, large = CLASSES
    assert stages.database(wanted(0.5, 10), CLASSES) == Choice(1, small, proxy=False)
    # The small one has 405 connections.
    assert stages.database(wanted(0.5, 200), CLASSES) == Choice(1, small, proxy=True)
    assert stages.database(wanted(3, 200), CLASSES) == Choice(1, large, proxy=False)
    assert stages.database(wanted(17, 200), CLASSES) == Choice(3, large, proxy=False)


def test_a_burstable_database_is_left_to_what_its_baseline_bears() -> None:
    # Two vCPUs with a fifth of each are 0.4 cores in use, of which twice as many are wanted.
    burstable = DatabaseClass(name="burstable", vcpu=2, memory_gb=4, price=0.05, baseline=0.2)
    assert stages.database(wanted(0.8, 10), [burstable, *CLASSES]).database == burstable
    assert stages.database(wanted(0.9, 10), [burstable, *CLASSES]).database == CLASSES[0]


def test_limits_break_where_they_are_reached() -> None:
    found = stages.breaking(SERVICE, LIMITS, 10, CLASSES[1])
    assert found["new sockets"] == 400
    assert found["gateway requests"] == 1000
    assert found["MaximumConcurrency"] == pytest.approx(10 * 10 / 0.3 / 2)
    # Of 1,000 workers at 306 ms an order.
    assert found["the mapping, batches of one"] == pytest.approx(1000 / 0.306)
    assert found["concurrent invocations"] == pytest.approx(500 / (0.306 + 0.07))
    assert found["connections, batches of one"] == pytest.approx(2000 / (2 * 0.306 + 0.07))
    assert found["the largest database's CPU"] == pytest.approx(8 * 0.5 / 0.0004)


def test_a_mapping_takes_minutes_to_have_its_workers() -> None:
    found = stages.needs(SERVICE, 1000, LIMITS)
    assert found.ramp_seconds == pytest.approx(found.bound - 2)
    assert found.provisioned_seconds == pytest.approx((found.bound - 2) / 10)
    assert found.pollers == math.ceil(found.bound / 10)


def test_the_dated_limits_are_those_of_the_dated_databases() -> None:
    limits = stages.load()
    quotas = [value for value in msgspec.structs.asdict(limits).values() if isinstance(value, Limit)]
    assert all(quota.limit > 0 and quota.per and quota.source for quota in quotas)
    assert limits.connections.limit >= max(each.connections for each in pricing.load().databases)

"""Dollars of orders whose bill was added up by hand, from prices that make that easy."""

import pytest

from benchmarks.models import pricing
from benchmarks.models.pricing import (
    Bill,
    Choice,
    DatabaseClass,
    Fixed,
    Metered,
    Price,
    Prices,
    Stage,
    Usage,
    bill,
    fixed,
)


def price(dollars: float) -> Price:
    return Price(price=dollars, per="unit", source="made up")


METERED = Metered(
    rest_request=price(5),
    websocket_message=price(2),
    connection_minute=price(10),
    sqs_request=price(0.5),
    lambda_request=price(0.25),
    # A thousandth of a cent a second.
    lambda_second=price(0.00001),
    lambda_second_arm=price(0.000008),
    log_gigabyte=price(1),
    transfer_gigabyte=price(0.1),
)
PRICES = Prices(
    dated="2000-01",
    region="nowhere",
    note="",
    metered=METERED,
    fixed=Fixed(
        database_storage=price(0.2),
        proxy=price(0.01),
        nat_gateway=price(0.05),
        nat_gigabyte=price(0.04),
        endpoint=price(0.02),
        endpoint_gigabyte=price(0.01),
        custom_metric=price(0.3),
        event_poller=price(0.01),
    ),
    databases=[
        DatabaseClass(name="small", vcpu=1, memory_gb=4, price=0.1),
        DatabaseClass(name="large", vcpu=8, memory_gb=64, price=1),
    ],
    databases_source="made up",
    stages=[],
)


SMALL, LARGE = PRICES.databases


def stage(orders: int, *, endpoints: int = 0) -> Stage:
    return Stage(orders=orders, nat_gateways=2, endpoints=endpoints)


def month(wanted: Stage, chosen: Choice | None = None, *, queue_bytes: float = 0) -> dict[str, float]:
    chosen = chosen or Choice(1, SMALL, proxy=False)
    return fixed(wanted, chosen, PRICES, queue_bytes=queue_bytes, sweep_ms=0, megabytes=512)


def test_an_unwatched_order_of_a_full_batch() -> None:
    # 1.5 SQS requests at 0.50; 1.2 invocations at 0.25; 60 ms of half a GB are 0.03 GB-seconds; 1 KB of logs.
    used = Usage(rest_requests=1, sqs_requests=1.5, invocations=1.2, billed_ms=54, init_ms=6, log_bytes=1000)
    found = bill(used, 512, METERED)
    assert found == Bill(
        rest=5,
        websocket=0,
        sqs=pytest.approx(0.75),
        invocations=pytest.approx(0.30),
        seconds=pytest.approx(0.30),
        logs=pytest.approx(1),
        transfer=0,
    )
    assert found.metered == pytest.approx(6.35)
    assert found.total == pytest.approx(7.35)


def test_sockets_are_paid_by_message_and_minute() -> None:
    found = bill(Usage(websocket_messages=6, connection_minutes=0.1, transfer_bytes=2000), 512, METERED)
    assert found.websocket == pytest.approx(13)
    assert found.transfer == pytest.approx(0.2)
    assert found.total == pytest.approx(13.2)


def test_compute_is_paid_by_memory_and_processor() -> None:
    used = Usage(billed_ms=100)
    assert bill(used, 1024, METERED).seconds == pytest.approx(1)
    assert bill(used, 256, METERED).seconds == pytest.approx(0.25)
    assert bill(used, 1024, METERED, arm=True).seconds == pytest.approx(0.8)


def test_a_month_without_orders_costs_what_runs() -> None:
    found = month(stage(0, endpoints=2), Choice(1, LARGE, proxy=True), queue_bytes=1500)
    # 20 GB are the least; 730 hours; eight vCPUs behind the proxy;
    # 43,800 minutes, each with an invocation and 46 requests to SQS.
    assert found == {
        "database": pytest.approx(730),
        "storage": pytest.approx(4),
        "RDS Proxy": pytest.approx(58.4),
        "NAT gateways": pytest.approx(73),
        "SQS endpoints": pytest.approx(29.2),
        "SQS traffic": 0,
        "sweeps, empty polls": pytest.approx(0.0438 * (46 * 0.5 + 0.25)),
        "metrics": pytest.approx(1.5),
    }


def test_storage_holds_a_year_of_orders_and_the_events_of_three_months() -> None:
    # 3 months of 3,060 bytes and 9 of 1,740 are 24,840 bytes for each order of a month; four fifths are used.
    assert stage(10**5).storage_gb == 20
    assert stage(10**7).storage_gb == 311
    assert month(stage(10**7))["storage"] == pytest.approx(62.2)


def test_a_proxy_is_paid_for_two_processors_at_least() -> None:
    assert month(stage(0), Choice(1, SMALL, proxy=True))["RDS Proxy"] == pytest.approx(14.6)


def test_each_of_several_databases_is_paid() -> None:
    found = month(stage(0), Choice(3, LARGE, proxy=True))
    assert found["database"] == pytest.approx(3 * 730)
    assert found["RDS Proxy"] == pytest.approx(3 * 58.4)


def test_traffic_to_sqs_takes_the_cheaper_way_where_there_is_one() -> None:
    # 2 GB a million orders.
    by_nat = month(stage(10**6), queue_bytes=2000)
    by_endpoint = month(stage(10**6, endpoints=2), queue_bytes=2000)
    assert by_nat["SQS traffic"] == pytest.approx(0.08)
    assert by_endpoint["SQS traffic"] == pytest.approx(0.02)


def test_the_dated_prices_can_be_checked_and_reckoned_with() -> None:
    dated = pricing.load()
    for part in (dated.metered, dated.fixed):
        each = [getattr(part, name) for name in part.__struct_fields__]
        assert all(found.price > 0 and found.per and found.source for found in each)
    assert dated.databases == sorted(dated.databases, key=lambda each: each.price)
    assert all(("db.t" in each.name) == (each.baseline < 1) for each in dated.databases)

"""Dollars of orders whose bill was added up by hand, from prices that make that easy."""

import pytest

from benchmarks.models import pricing
from benchmarks.models.pricing import Bill, Stage, Usage, bill, fixed

PRICES = pricing.load()


def test_the_prices_are_the_dated_ones() -> None:
    metered = PRICES.metered
    assert (metered.rest_request.price, metered.websocket_message.price) == (3.50, 1.00)
    assert (metered.connection_minute.price, metered.sqs_request.price) == (0.25, 0.40)
    assert (metered.lambda_request.price, metered.log_gigabyte.price) == (0.20, 0.50)
    assert (metered.lambda_second.price, metered.lambda_second_arm.price) == (0.0000166667, 0.0000133334)
    assert all(price.source for price in (getattr(metered, name) for name in metered.__struct_fields__))


def test_an_unwatched_order_of_a_full_batch() -> None:
    # 1.5 SQS requests at 0.40; 1.2 invocations at 0.20; 60 ms of half a GB are 0.03 GB-seconds; 1 KB of logs.
    used = Usage(rest_requests=1, sqs_requests=1.5, invocations=1.2, billed_ms=54, init_ms=6, log_bytes=1000)
    found = bill(used, 512, PRICES.metered)
    assert found == Bill(
        rest=3.5,
        websocket=0,
        sqs=pytest.approx(0.60),
        invocations=pytest.approx(0.24),
        seconds=pytest.approx(0.500001),
        logs=pytest.approx(0.50),
        transfer=0,
    )
    assert found.metered == pytest.approx(4.840001)
    assert found.total == pytest.approx(5.340001)


def test_sockets_are_paid_by_message_and_minute() -> None:
    found = bill(Usage(websocket_messages=6, connection_minutes=0.1, transfer_bytes=2000), 512, PRICES.metered)
    assert found.websocket == pytest.approx(6.025)
    assert found.transfer == pytest.approx(0.18)
    assert found.total == pytest.approx(6.205)


def test_compute_is_paid_by_memory_and_processor() -> None:
    used = Usage(billed_ms=100)
    assert bill(used, 1024, PRICES.metered).seconds == pytest.approx(1.66667)
    assert bill(used, 256, PRICES.metered).seconds == pytest.approx(1.66667 / 4)
    assert bill(used, 1024, PRICES.metered, arm=True).seconds == pytest.approx(1.33334)


def test_a_month_without_orders_costs_what_runs() -> None:
    stage = Stage(orders=0, database="db.r6g.xlarge", storage_gb=100, nat_gateways=2, endpoints=2, proxy=True)
    found = fixed(stage, PRICES, queue_bytes=1500, sweep_ms=0, megabytes=512)
    # 730 hours; four vCPUs behind the proxy; 43,800 minutes, each with an invocation and 46 requests to SQS.
    assert found == {
        "database": pytest.approx(657),
        "storage": pytest.approx(23),
        "RDS Proxy": pytest.approx(43.8),
        "NAT gateways": pytest.approx(65.7),
        "SQS endpoints": pytest.approx(14.6),
        "SQS traffic": 0,
        "sweeps, empty polls": pytest.approx(0.0438 * (46 * 0.40 + 0.20)),
        "metrics": pytest.approx(1.5),
    }


def test_traffic_to_sqs_takes_the_cheaper_way_where_there_is_one() -> None:
    by_nat = Stage(orders=10**6, database="db.t4g.medium", storage_gb=0, nat_gateways=1, endpoints=0, proxy=False)
    by_endpoint = Stage(orders=10**6, database="db.t4g.medium", storage_gb=0, nat_gateways=1, endpoints=2, proxy=False)
    # 2 GB a million orders.
    assert fixed(by_nat, PRICES, queue_bytes=2000, sweep_ms=0, megabytes=512)["SQS traffic"] == pytest.approx(0.09)
    assert fixed(by_endpoint, PRICES, queue_bytes=2000, sweep_ms=0, megabytes=512)["SQS traffic"] == pytest.approx(0.02)


def test_every_stage_names_a_database_that_has_a_price() -> None:
    assert {stage.database for stage in PRICES.stages} <= {each.name for each in PRICES.databases}

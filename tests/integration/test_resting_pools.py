"""Limits on real pools: what their size costs decides when they fill."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine, real
from chalicelib.domain.errors import BoundUnmet
from chalicelib.domain.order import Terms
from chalicelib.domain.order_types import TYPES
from chalicelib.venues.base import Attempt
from tests.integration.paper import SOL, USDC, Container
from tests.integration.rig import Rig
from tests.unit.test_order_types import holds


@pytest.fixture
def market(rig: Rig) -> Rig:
    """The rig, its container on the pools that come with the engine."""
    given = msgspec.structs.replace(settings.read(), market="pools")
    bootstrap.install(Engine(given, real(given)))
    return rig


def opened(rig: Rig, order_id: str) -> list[dict[str, Any]]:
    return [event["meta"] for event in rig.show(order_id)["events"] if event["status"] == "open"]


def limit(price: str, amount: int = 0, amount_out: int = 0) -> Terms:
    return Terms(
        SOL, USDC, amount, Decimal("0.9"), amount_out=amount_out, order_type="limit", details={"limitPrice": price}
    )


def test_a_limit_that_fails_at_its_size_sleeps_until_the_price_it_needs(market: Rig) -> None:
    small = market.post(amount="0.001")
    asked = Decimal(str(market.settle(small)["events"][-1]["meta"]["executedPrice"]))
    price = f"{asked * Decimal('1.001'):.8f}"
    order_id = market.post(amount="900", orderType="limit", limitPrice=price)
    market.invoke(order_id)
    (first,) = opened(market, order_id)
    needed = Decimal(first["waitingFor"]["atMost"])
    assert needed < asked
    market.advance(120)
    market.watch()
    assert market.show(order_id)["status"] == "open"
    # One whose size is small at the same price fills.
    assert market.settle(market.post(amount="0.001", orderType="limit", limitPrice=price))["status"] == "confirmed"


def test_a_limit_that_would_only_fail_again_is_left_alone_longer_each_time(market: Rig) -> None:
    # Its price is met by far, and the client's own bound never.
    order_id = market.post(amount="900", orderType="limit", limitPrice="1", minAmountOut="999999999999")
    market.invoke(order_id)
    for pause in (1, 2, 4):
        market.watch()
        assert market.show(order_id)["status"] == "open"
        market.advance(pause)
        market.watch()
        assert market.show(order_id)["status"] == "pending"
        market.invoke(order_id)
    assert len(opened(market, order_id)) == 4


@pytest.mark.parametrize("size", ["0.00001", "0.37", "900", "40000"])
@pytest.mark.parametrize("buys", [False, True])
def test_what_a_limit_gets_is_never_worse_than_its_price(database_url: str, size: str, buys: bool) -> None:
    container = Container(database_url)
    units = int(Decimal(size) * (10**6 if buys else 10**9)) or 1
    kind = TYPES["limit"]

    async def evaluate(price: Decimal) -> tuple[int, int] | None:
        terms = limit(f"{price:f}", **({"amount_out": units} if buys else {"amount": units}))
        try:
            route = await container.router.route(Attempt(uuid4(), 1, terms, kind.bound(terms)))
        except BoundUnmet:
            return None
        # What an execution may end in at worst is what the price allows.
        assert holds(price, route.max_amount_in, route.min_amount_out, SOL, USDC)
        assert route.chosen.amount_out >= route.min_amount_out
        assert route.chosen.amount_in <= route.max_amount_in
        return route.chosen.amount_in, route.chosen.amount_out

    async def search() -> tuple[Decimal, Decimal]:
        low, high = Decimal("1e-12"), Decimal(10**6)
        assert await evaluate(low) is None
        assert await evaluate(high) is not None
        for _ in range(40):
            middle = +((low * high).sqrt())
            if await evaluate(middle) is None:
                low = middle
            else:
                high = middle
        return low, high

    async def run() -> None:
        low, high = await search()
        found = await evaluate(high)
        assert found is not None
        # The boundary is exact: just met by what is quoted at its upper side, and not at its lower.
        assert holds(high, *found, SOL, USDC)
        assert not holds(low, *found, SOL, USDC)
        await container.database.close()

    asyncio.run(run())

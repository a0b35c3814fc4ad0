"""Orders on the pool market, through the engine and on the pools that come with it."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine, pool_market, real
from chalicelib.domain.clock import SystemEntropy
from chalicelib.handlers import rest
from local.sandbox import SYNTHETIC
from tests.integration.faults import SECONDS, start
from tests.integration.paper import Books, StandingClock, shipped
from tests.integration.rig import SOL_TO_USDC, Request, Rig


def standing(**changes: Any) -> Engine:
    """A container on pools, on a chain whose time stands still: so a replay sees the fees that a fill saw."""
    given = msgspec.structs.replace(settings.read(), market="pools", **changes)
    pools = partial(pool_market, given, clock=StandingClock(), entropy=SystemEntropy())
    return Engine(given, msgspec.structs.replace(real(given), market=pools))


@pytest.fixture
def market(rig: Rig) -> Rig:
    """The rig, its container on the pools that come with the engine."""
    bootstrap.install(standing())
    return rig


@pytest.fixture
def books(database_url: str) -> Books:
    return Books(database_url)


def frame(shown: dict[str, Any], status: str) -> dict[str, Any]:
    """What the last event of a status says."""
    found: dict[str, Any] = [event["meta"] for event in shown["events"] if event["status"] == status][-1]
    return found


def legs(shown: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frame(shown, "building")["route"]["legs"]
    return found


def test_a_market_order_is_split(market: Rig, books: Books) -> None:
    order_id = market.post(tokenIn="SOL", tokenOut="USDC", amount=900)
    shown = market.settle(order_id)
    assert shown["status"] == "confirmed"
    route, confirmed = frame(shown, "building")["route"], frame(shown, "confirmed")
    assert len({leg["pool"] for leg in legs(shown)}) == 3
    assert int(route["amountOut"]) > int(route["bestSingle"])
    assert confirmed["amountOut"] == route["amountOut"] == str(sum(int(leg["amountOut"]) for leg in legs(shown)))
    assert confirmed["amountIn"] == str(900 * 10**9)
    assert market.check_log(order_id)[-1] == "confirmed"
    assert len(books.ledger()) == 1
    assert {pool for pool, version in books.versions().items() if version == 2} == {leg["pool"] for leg in legs(shown)}


def test_bonk_goes_to_usdc_over_sol(market: Rig) -> None:
    shown = market.settle(market.post(tokenIn="BONK", tokenOut="USDC", amount=50_000_000))
    assert shown["status"] == "confirmed"
    assert {(leg["tokenIn"], leg["tokenOut"]) for leg in legs(shown)} == {("BONK", "SOL"), ("SOL", "USDC")}
    # About 0.00002 USDC each.
    assert 900 < int(frame(shown, "confirmed")["amountOut"]) / 10**6 < 1_000


def test_prices_move_as_orders_fill(market: Rig) -> None:
    sold = [market.settle(market.post(tokenIn="SOL", tokenOut="USDC", amount=600)) for _ in range(3)]
    paid = [int(frame(shown, "confirmed")["amountOut"]) for shown in sold]
    assert paid[0] > paid[1] > paid[2]
    # And back, up to fees.
    back = market.settle(market.post(tokenIn="USDC", tokenOut="SOL", amount="200000", slippageTolerance=0.5))
    again = market.settle(market.post(tokenIn="SOL", tokenOut="USDC", amount=600))
    assert back["status"] == "confirmed"
    assert int(frame(again, "confirmed")["amountOut"]) > paid[2]


def test_fifty_orders_at_once_are_confirmed_as_the_ledger_and_the_pools_have_them(market: Rig, books: Books) -> None:
    kinds = [("SOL", "USDC", 30), ("USDC", "SOL", 3000), ("BONK", "USDC", 10_000_000), ("SOL", "BONK", 10)]
    orders = [
        market.post(tokenIn=sold, tokenOut=bought, amount=amount, slippageTolerance=0.3)
        for sold, bought, amount in (kinds[number % len(kinds)] for number in range(50))
    ]
    containers = [standing() for _ in range(5)]
    with ThreadPoolExecutor(5) as threads:
        work = zip(containers, (orders[at::5] for at in range(5)), strict=True)
        assert [unfinished for unfinished in threads.map(lambda each: run(*each), work) if unfinished] == []
    for each in containers:
        each.close()
    confirmed = {order_id: frame(market.settle(order_id), "confirmed") for order_id in orders}
    assert {order_id: market.check_log(order_id)[-1] for order_id in orders} == dict.fromkeys(orders, "confirmed")
    ledger = {tx_id: (str(amount_in), str(amount_out)) for tx_id, _, amount_in, amount_out, *_ in books.ledger()}
    assert len(ledger) == 50
    assert ledger == {each["txHash"]: (each["amountIn"], each["amountOut"]) for each in confirmed.values()}
    assert books.check() >= 50


def run(container: Engine, batch: list[str]) -> list[str]:
    """Have a container work on a batch; returns what must come back."""
    return start(container, *batch).result(SECONDS)


def test_an_order_on_a_held_pool_goes_on_when_the_pool_is_free(market: Rig, books: Books) -> None:
    order_id = market.post(tokenIn="SOL", tokenOut="USDC", amount=3)
    market.invoke(market.post(tokenIn="BONK", tokenOut="SOL", amount=1_000_000))
    with psycopg.connect(market.database_url) as other:
        other.execute("SELECT 1 FROM pools FOR UPDATE")
        # More often than an order has attempts.
        for _ in range(5):
            assert market.show(order_id)["status"] == "pending"
            market.invoke(order_id)
            market.advance(4)
            market.invoke(order_id)
            market.advance(4)
    reasons = [event["meta"].get("reason") for event in market.show(order_id)["events"]]
    assert reasons.count("its pools were in use, so it was not tried") == 5
    assert market.row(order_id)["attempts"] == 0
    assert market.settle(order_id)["status"] == "confirmed"
    assert sorted(market.swaps(order_id)) == ["succeeded", *["untried"] * 5]
    market.check_log(order_id)
    books.check()


# A directory that cannot be read.


def test_a_broken_directory_is_the_reason_of_the_order(rig: Rig, tmp_path: Path) -> None:
    shutil.copytree(SYNTHETIC, tmp_path / "pools")
    (tmp_path / "pools" / "notes.json").write_text("no account")
    bootstrap.install(standing(pools_directory=str(tmp_path / "pools")))
    order_id = rig.post()
    shown = rig.settle(order_id)
    assert shown["status"] == "failed"
    for venue in ("Raydium", "Meteora"):
        assert f"{venue}: {tmp_path}/pools/notes.json: no account of the Solana CLI" in shown["failureReason"]
    # Mended, it is read without a restart.
    (tmp_path / "pools" / "notes.json").unlink()
    assert rig.settle(rig.post())["status"] == "confirmed"


def test_what_a_broken_directory_would_list_cannot_be_had_now(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.json").write_text("no account")
    bootstrap.install(standing(pools_directory=str(tmp_path)))
    # A token that only its pools could tell.
    unlisted = Request(json.dumps(SOL_TO_USDC | {"tokenIn": next(iter(shipped()))}).encode())
    for asked in (lambda: rest.tokens(Request()), lambda: rest.pools(Request()), lambda: rest.execute(unlisted)):
        assert asked().status == 503
        assert "notes.json: no account of the Solana CLI" in capsys.readouterr().out

"""Orders on the chain's pools, through the engine: traded with on paper, until the chain's next snapshot."""

import asyncio

import psycopg
import pytest

from chalicelib import bootstrap
from chalicelib.bootstrap import LoopThread
from chalicelib.store.pools import KEEP_SECONDS
from tests.integration.node import Node
from tests.integration.paper import Books
from tests.integration.rig import Rig


def test_a_fill_belongs_to_its_snapshot_and_the_ledger_stays(chain: Node, rig: Rig, database_url: str) -> None:
    books = Books(database_url)
    sold = rig.settle(rig.post(tokenIn="SOL", tokenOut="USDC", amount=900))
    assert sold["status"] == "confirmed"
    (swap,) = books.ledger()
    before = books.versions()
    with psycopg.connect(database_url, autocommit=True) as connection:
        filled = connection.execute("SELECT count(*) FROM pools WHERE state IS NOT NULL").fetchone()
        assert filled is not None
        assert filled[0] > 1
        connection.execute("UPDATE pools SET read_at = read_at - interval '1 minute'")
    # Another container finds the chain further on, where nobody has heard of the paper trade.
    bootstrap.close()
    chain.slot += 150
    again = rig.settle(rig.post(tokenIn="SOL", tokenOut="USDC", amount=900))
    assert again["txHash"] != sold["txHash"]
    paid = [
        next(event["meta"]["amountOut"] for event in shown["events"] if event["status"] == "confirmed")
        for shown in (sold, again)
    ]
    assert paid[0] == paid[1]
    # Each was read twice, and those that were traded with were twice.
    assert books.versions() == {pool: 2 * version for pool, version in before.items()}
    assert swap in books.ledger()
    assert len(books.ledger()) == 2


def test_an_order_waits_for_a_search_from_attempt_to_attempt(chain: Node, node_loop: LoopThread, rig: Rig) -> None:
    # It belongs to the node's loop from the moment that somebody waits for it.
    chain.gates["getProgramAccounts"] = gate = asyncio.Event()
    order_id = rig.post(tokenIn="SOL", tokenOut="USDC", amount=900)
    assert rig.invoke(order_id) == [order_id]
    event = rig.show(order_id)["events"][-1]
    assert event["status"] == "pending"
    assert "Raydium's pools are still being searched for" in event["meta"]["reason"]
    node_loop.loop.call_soon_threadsafe(gate.set)
    assert rig.settle(order_id)["status"] == "confirmed"
    assert rig.row(order_id)["attempts"] == 2


def test_pools_that_nobody_reads_are_forgotten_some_at_a_time_and_found_again(
    chain: Node, rig: Rig, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(database_url)
    assert rig.settle(rig.post(tokenIn="SOL", tokenOut="USDC", amount=900))["status"] == "confirmed"
    (shut, *_), others = sorted(books.versions()), len(books.versions()) - 1
    # One of a directory stays for ever, and one that a session holds until the next sweep.
    books.sql("UPDATE pools SET live = false WHERE address = %s", shut)
    rig.advance(KEEP_SECONDS - 60)
    rig.sweep()
    assert len(books.versions()) == 1 + others
    rig.advance(60)
    monkeypatch.setattr("chalicelib.execution.recovery.MOST_EXPIRED_POOLS", others - 1)
    rig.sweep()
    (left,) = books.versions().keys() - {shut}
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT 1 FROM pools WHERE address = %s FOR UPDATE", (left,))
        rig.sweep()
        assert books.versions().keys() == {shut, left}
    rig.sweep()
    assert books.versions().keys() == {shut}
    bootstrap.close()
    assert rig.settle(rig.post(tokenIn="SOL", tokenOut="USDC", amount=900))["status"] == "confirmed"
    assert len(books.versions()) == 1 + others
    assert len(books.ledger()) == 2

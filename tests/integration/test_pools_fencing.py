"""Statements that meet on one pool: whoever waited for it decides on what it finds then."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from chalicelib.store.statements import load
from tests.integration.faults import SECONDS
from tests.integration.rig import Rig
from tests.integration.sessions import Session, await_lock

POOLS, LEDGER = load("pools"), load("ledger")
LANDED, OVERTAKEN, KNOWN = [(True, True)], [(False, False)], [(False, True)]
Opening = Callable[[], Session]


def fill(
    *tx_ids: str, pools: dict[str, int], valid: float = 15, look: bool = False, delay: float = 0, **more: Any
) -> dict[str, Any]:
    """Transactions that each trade with all of these pools, which are at these versions; they land after `delay`."""
    until = datetime.now(UTC) + timedelta(seconds=valid)
    swap = {"order_id": str(UUID(int=1)), "outcome": "succeeded", "venue": "Raydium", "amount_in": 1, "amount_out": 1}
    becomes = 0 if look else len(tx_ids)
    state = None if look else {"by": tx_ids[-1]}
    return {
        "swaps": json.dumps([swap | {"tx_id": each, "delay": delay, "valid_until": f"{until}"} for each in tx_ids]),
        "pools": json.dumps(
            [
                {"address": pool, "version": version, "becomes": version + becomes, "state": state}
                for pool, version in pools.items()
            ]
        ),
        "wanted": len(tx_ids),
        "patience": "5s",
    } | more


def snapshot(slot: int, live: bool = True, *addresses: str) -> dict[str, Any]:
    pool = {
        "venue": "Raydium",
        "mint_0": "x",
        "mint_1": "y",
        "decimals_0": 9,
        "decimals_1": 6,
        "live": live,
        "slot": slot,
        "age": 0,
        "accounts": [slot],
    }
    return {"pools": json.dumps([pool | {"address": address} for address in addresses or ("A", "B")])}


def kept(rig: Rig) -> dict[str, tuple[Any, ...]]:
    """By address: version, state, slot, accounts, live."""
    rows = rig.sql("SELECT address, version, state, slot, accounts, live FROM pools")
    return {address: tuple(row) for address, *row in rows}


def landed(rig: Rig) -> list[str]:
    return [row[0] for row in rig.sql("SELECT tx_id FROM simulated_swaps ORDER BY tx_id")]


@pytest.fixture
def pools(rig: Rig) -> Rig:
    """The pools A and B at version 1, read at slot 7."""
    with psycopg.connect(rig.database_url) as connection:
        connection.execute(POOLS["keep"], snapshot(7))
    return rig


def commit(*sessions: Session) -> None:
    for session in sessions:
        session.connection.commit()


# Two fills.


def test_a_fill_that_waited_for_another_finds_its_pool_changed(pools: Rig, session: Opening) -> None:
    first, second = session(), session()
    assert first.run(POOLS["fill"], fill("1", pools={"A": 1})) == LANDED
    waiting = second.start(POOLS["fill"], fill("2", pools={"A": 1, "B": 1}))
    await_lock(pools, second)
    commit(first)
    assert waiting.result(SECONDS) == OVERTAKEN
    commit(second)
    assert landed(pools) == ["1"]
    assert (kept(pools)["A"][:2], kept(pools)["B"][:2]) == ((2, {"by": "1"}), (1, None))


def test_a_fill_that_waited_for_one_that_came_to_nothing_lands(pools: Rig, session: Opening) -> None:
    first, second = session(), session()
    assert first.run(POOLS["fill"], fill("1", pools={"A": 1})) == LANDED
    waiting = second.start(POOLS["fill"], fill("2", pools={"A": 1}))
    await_lock(pools, second)
    first.connection.rollback()
    assert waiting.result(SECONDS) == LANDED
    commit(second)
    assert landed(pools) == ["2"]
    assert kept(pools)["A"][:2] == (2, {"by": "2"})


def test_fills_lock_pools_in_one_order(pools: Rig, session: Opening) -> None:
    first, second, third = session(), session(), session()
    # Later addresses come first in what is asked for and in the table, which a planner may read from end to end.
    for scan in ("indexscan", "indexonlyscan", "bitmapscan"):
        second.run("SELECT set_config(%(name)s, 'off', false)", {"name": f"enable_{scan}"})
    for address in ("D", "C"):
        third.run(POOLS["keep"], snapshot(7, True, address))
    commit(third)
    first.run(POOLS["fill"], fill("1", pools={"C": 1}))
    waiting = second.start(POOLS["fill"], fill("2", pools={"D": 1, "C": 1}))
    await_lock(pools, second)
    # It waits for C, and D is free meanwhile: had it taken D first, it could wait in a circle.
    assert third.run(POOLS["fill"], fill("3", pools={"D": 1}, patience="1s")) == LANDED
    commit(third, first)
    assert waiting.result(SECONDS) == OVERTAKEN


def test_a_fill_that_only_looked_at_a_pool_needs_it_unchanged_and_leaves_it_so(pools: Rig, session: Opening) -> None:
    first, second = session(), session()
    looking = fill("1", pools={"A": 1}, look=True)
    assert first.run(POOLS["fill"], looking) == LANDED
    commit(first)
    assert kept(pools)["A"][:2] == (1, None)
    assert second.run(POOLS["fill"], fill("2", pools={"A": 1})) == LANDED
    commit(second)
    assert first.run(POOLS["fill"], fill("3", pools={"A": 1}, look=True)) == OVERTAKEN
    commit(first)
    assert landed(pools) == ["1", "2"]
    assert kept(pools)["A"][:2] == (2, {"by": "2"})


def test_several_of_one_fill_take_a_pool_as_many_versions_on(pools: Rig, session: Opening) -> None:
    here = session()
    assert here.run(POOLS["fill"], fill("1", "2", "3", pools={"A": 1})) == LANDED
    commit(here)
    assert kept(pools)["A"][:2] == (4, {"by": "3"})


def test_a_pool_that_is_not_there_lands_nothing(pools: Rig, session: Opening) -> None:
    here = session()
    assert here.run(POOLS["fill"], fill("1", pools={"A": 1, "Z": 1})) == OVERTAKEN
    commit(here)
    assert landed(pools) == []
    assert kept(pools)["A"][:2] == (1, None)


# One id.


@pytest.mark.parametrize("pool", ["A", "B"])
def test_of_two_fills_of_one_id_the_second_changes_nothing(pools: Rig, session: Opening, pool: str) -> None:
    first, second = session(), session()
    assert first.run(POOLS["fill"], fill("1", pools={"A": 1})) == LANDED
    waiting = second.start(POOLS["fill"], fill("1", pools={pool: 1}))
    await_lock(pools, second)
    commit(first)
    assert waiting.result(SECONDS) == (OVERTAKEN if pool == "A" else KNOWN)
    commit(second)
    assert kept(pools)["A"][:2] == (2, {"by": "1"})
    assert kept(pools)["B"][:2] == (1, None)


@pytest.mark.parametrize("decided", ["tombstone", "drop"])
def test_a_fill_that_waited_for_the_end_of_its_id_changes_nothing(pools: Rig, session: Opening, decided: str) -> None:
    chain, sender = session(), session()
    past = {"tx_id": "1", "order_id": UUID(int=1), "valid_until": datetime.now(UTC) - timedelta(seconds=1)}
    chain.run(LEDGER[decided], past)
    waiting = sender.start(POOLS["fill"], fill("1", pools={"A": 1}))
    await_lock(pools, sender)
    commit(chain)
    assert waiting.result(SECONDS) == KNOWN
    commit(sender)
    assert kept(pools)["A"][:2] == (1, None)


@pytest.mark.parametrize("decided", ["tombstone", "drop"])
def test_the_end_of_an_id_that_waited_for_its_fill_changes_nothing(pools: Rig, session: Opening, decided: str) -> None:
    sender, chain = session(), session()
    assert sender.run(POOLS["fill"], fill("1", pools={"A": 1})) == LANDED
    past = {"tx_id": "1", "order_id": UUID(int=1), "valid_until": datetime.now(UTC) - timedelta(seconds=1)}
    waiting = chain.start(LEDGER[decided], past)
    await_lock(pools, chain)
    commit(sender)
    waiting.result(SECONDS)
    commit(chain)
    assert pools.sql("SELECT outcome FROM simulated_swaps") == [("succeeded",)]


@pytest.mark.parametrize("why", ["known", "late"])
def test_a_fill_of_which_only_some_can_land_has_no_effect(pools: Rig, session: Opening, why: str) -> None:
    here = session()
    if why == "known":
        here.run(POOLS["fill"], fill("1", pools={}))
        commit(here)
        given = fill("1", "2", pools={"A": 1})
    else:
        given = fill("1", "2", pools={"A": 1})
        swaps = json.loads(given["swaps"])
        swaps[0]["valid_until"] = "2020-01-01T00:00:00Z"
        given["swaps"] = json.dumps(swaps)
    with pytest.raises(psycopg.errors.RaiseException, match="only 1 of 2"):
        here.run(POOLS["fill"], given)
    here.connection.rollback()
    assert landed(pools) == (["1"] if why == "known" else [])
    assert kept(pools)["A"][:2] == (1, None)


def test_a_fill_that_would_land_past_its_validity_has_no_effect(pools: Rig, session: Opening) -> None:
    here = session()
    assert here.run(POOLS["fill"], fill("1", pools={"A": 1}, valid=30, delay=60)) == KNOWN
    assert here.run(POOLS["fill"], fill("2", pools={"A": 1}, valid=60, delay=30)) == LANDED
    commit(here)
    assert pools.sql("SELECT tx_id, extract(epoch FROM lands_at - sent_at)::int FROM simulated_swaps") == [("2", 30)]
    assert kept(pools)["A"][:2] == (2, {"by": "2"})


# Newer accounts.


def test_a_fill_that_waited_for_newer_accounts_finds_its_pool_changed(pools: Rig, session: Opening) -> None:
    reader, sender = session(), session()
    reader.run(POOLS["keep"], snapshot(8))
    waiting = sender.start(POOLS["fill"], fill("1", pools={"A": 1}))
    await_lock(pools, sender)
    commit(reader)
    assert waiting.result(SECONDS) == OVERTAKEN
    commit(sender)
    assert landed(pools) == []
    assert kept(pools)["A"] == (2, None, 8, [8], True)


def test_newer_accounts_take_the_fills_with_them_and_the_ledger_stays(pools: Rig, session: Opening) -> None:
    sender, reader = session(), session()
    assert sender.run(POOLS["fill"], fill("1", pools={"A": 1})) == LANDED
    waiting = reader.start(POOLS["keep"], snapshot(8))
    await_lock(pools, reader)
    commit(sender)
    waiting.result(SECONDS)
    commit(reader)
    assert landed(pools) == ["1"]
    assert kept(pools)["A"] == (3, None, 8, [8], True)


def test_accounts_that_waited_for_newer_ones_are_not_kept(pools: Rig, session: Opening) -> None:
    newer, older = session(), session()
    newer.run(POOLS["keep"], snapshot(9))
    waiting = older.start(POOLS["keep"], snapshot(8))
    await_lock(pools, older)
    commit(newer)
    waiting.result(SECONDS)
    commit(older)
    assert kept(pools)["A"] == (2, None, 9, [9], True)


def test_accounts_that_are_no_newer_change_nothing_and_wait_for_nobody(pools: Rig, session: Opening) -> None:
    sender, reader = session(), session()
    assert sender.run(POOLS["fill"], fill("1", pools={"A": 1})) == LANDED
    for slot in (6, 7):
        reader.run(POOLS["keep"], snapshot(slot))
    commit(sender, reader)
    assert kept(pools)["A"] == (2, {"by": "1"}, 7, [7], True)


def test_a_pool_that_becomes_live_or_ceases_to_be_starts_from_its_new_accounts(pools: Rig, session: Opening) -> None:
    here = session()
    here.run(POOLS["fill"], fill("1", pools={"A": 1}))
    here.run(POOLS["keep"], snapshot(3, False, "A"))
    commit(here)
    assert kept(pools)["A"] == (3, None, 3, [3], False)
    assert kept(pools)["B"] == (1, None, 7, [7], True)
    for slot in (3, 4):
        here.run(POOLS["keep"], snapshot(slot, False, "A"))
    commit(here)
    assert kept(pools)["A"] == (3, None, 3, [3], False)
    here.run(POOLS["keep"], snapshot(2, True, "A"))
    commit(here)
    assert kept(pools)["A"] == (4, None, 2, [2], True)


# Patience.


def test_a_fill_waits_for_a_held_pool_for_as_long_as_it_says_and_no_other_statement_does(
    pools: Rig, session: Opening
) -> None:
    holder, sender = session(), session()
    sender.connection.autocommit = True
    before = sender.run("SHOW lock_timeout", {})
    holder.run("SELECT 1 FROM pools FOR UPDATE", {})
    with pytest.raises(psycopg.errors.LockNotAvailable):
        sender.run(POOLS["fill"], fill("1", pools={"A": 1}, patience="1ms"))
    assert sender.run("SHOW lock_timeout", {}) == before != [("1ms",)]
    assert sender.run(POOLS["unlocked"], {"addresses": ["A", "B"]}) == []
    commit(holder)
    assert sender.run(POOLS["unlocked"], {"addresses": ["B", "A", "Z"]}) == [("A",), ("B",)]

"""The schema: from nothing to the newest, and what it promises about updates and plans."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from chalicelib import bootstrap
from chalicelib.domain.lifecycle import Status
from chalicelib.store.statements import load
from local.migrate import MIGRATIONS, migrate
from local.postgres import Postgres
from tests.integration.rig import Rig, eventually
from tests.simulation.postgres import LOCK_SECONDS

BOOK = load("book")
ORDERS, STREAMS, LEDGER, OPERATIONS = load("orders"), load("streams"), load("ledger"), load("operations")
ACCOUNTS = load("accounts")
FILLED = 20_000
# What the statements of sql/orders.sql write to an order after it was accepted.
WRITTEN = {"status", "last_update", "attempts", "failure_reason", "tx_hash", "claim_token", "crashes", "last_seq"}
WRITTEN |= {"claimant", "lease_until", "open_tx", "next_try_at", "enqueued_at", "parked_at", "bound"}
# Those of resting orders alone: in others they stay NULL, which changes no index.
RESTING = {"watch_in", "watch_out", "watch_rising", "watch_price"}


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    name = f"empty_{uuid4().hex[:12]}"
    yield postgres.ensure_database(name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_all_migrations_apply_from_nothing_and_only_once(empty_url: str) -> None:
    names = sorted(path.stem for path in MIGRATIONS.glob("*.sql"))
    assert migrate(empty_url) == names
    assert migrate(empty_url) == []
    with psycopg.connect(empty_url) as connection:
        limits = dict(
            connection.execute(
                "SELECT name, setting::int FROM pg_settings "
                "WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')"
            ).fetchall()
        )
    # The engine's sessions are bounded by the database, whatever they ask for.
    # The simulation keeps time itself, and waits for a lock as long.
    assert limits["lock_timeout"] == 1000 * LOCK_SECONDS
    assert limits["lock_timeout"] < limits["statement_timeout"] < limits["idle_in_transaction_session_timeout"]


def test_a_migration_may_take_longer_than_the_engines_statements(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_url)
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I SET statement_timeout = %L', "
            "current_user, current_database(), '500ms'); END $$"
        )
    (tmp_path / "0001_slow.sql").write_text("-- depends:\n\nSELECT pg_sleep(0.8);\n")
    monkeypatch.setattr("local.migrate.MIGRATIONS", tmp_path)
    assert migrate(empty_url) == ["0001_slow"]


def test_migrations_are_numbered_without_gaps_and_depend_on_the_one_before() -> None:
    paths = sorted(MIGRATIONS.glob("*.sql"))
    assert [int(path.name[:4]) for path in paths] == list(range(1, len(paths) + 1))
    for before, path in zip([None, *paths], paths, strict=False):
        found = re.search(r"^-- depends:[ \t]*(\S*)$", path.read_text(), re.MULTILINE)
        assert found, path.name
        assert found[1] == (before.stem if before else "")


def test_what_there_was_before_accounts_belongs_to_the_default_one(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted(MIGRATIONS.glob("*.sql")):
        if path.stem < "0015":
            shutil.copy(path, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("local.migrate.MIGRATIONS", tmp_path)
        migrate(empty_url)
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("INSERT INTO idempotency_keys VALUES ('k', gen_random_uuid(), '', now())")
        connection.execute("INSERT INTO connections (id, connected_at, expires_at) VALUES ('c', now(), now())")
        migrate(empty_url)
        # The release before goes on opening sockets.
        connection.execute("INSERT INTO connections (id, connected_at, expires_at) VALUES ('d', now(), now())")
        owned = "SELECT account FROM idempotency_keys UNION ALL SELECT account FROM connections"
        assert connection.execute(owned).fetchall() == [("default",)] * 3


def test_transitions_before_the_last_stay_heap_only(rig: Rig) -> None:
    orders = [rig.post(tokenOut="FLAKY") for _ in range(10)]
    for _ in range(5):
        rig.invoke(*orders)
        rig.advance(2)
    assert {rig.show(order_id)["status"] for order_id in orders} == {"submitted"}
    # A session writes its counters down when it has nothing to do, at the latest when it has ended.
    bootstrap.close()
    eventually(rig.alone)
    written, heap_only, elsewhere = rig.sql(
        "SELECT n_tup_upd, n_tup_hot_upd, n_tup_newpage_upd FROM pg_stat_user_tables WHERE relname = 'orders'"
    )[0]
    assert written >= 120
    # One whose page was full went to another; that is not for the sake of an index.
    assert heap_only + elsewhere == written
    assert heap_only > written * 0.8


def test_no_index_names_a_column_that_transitions_write(rig: Rig) -> None:
    definitions = rig.sql("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'orders'::regclass")
    assert definitions
    for (definition,) in definitions:
        named = set(re.findall(r"\w+", definition.partition("USING")[2]))
        assert not named & WRITTEN, definition


def test_the_list_of_written_columns_is_whole() -> None:
    written = set()
    for name in ("claim", "write_transitions", "due", "due_parked"):
        for clause in re.findall(r"UPDATE orders o SET(.*?)\n\s*FROM", ORDERS[name], re.DOTALL):
            written |= set(re.findall(r"(?:^|,|SET)\s*(\w+) = ", clause.replace("\n", " ")))
    assert written - {"outcome"} - RESTING <= WRITTEN
    assert "outcome" in written


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """A database with many orders, sockets and subscriptions; one order in a hundred lives."""
    rig.sql(
        "INSERT INTO orders (id, payload, status, outcome, created_at, last_update, account, type, last_seq, "
        "enqueued_at) SELECT gen_random_uuid(), '{}', status, nullif(status, 'pending'), now(), now(), 'default', "
        "'market', 5, now() FROM (SELECT CASE WHEN n %% 100 = 0 THEN 'pending' WHEN n %% 10 = 1 THEN 'failed' "
        "ELSE 'confirmed' END AS status FROM generate_series(1, %s) n) s",
        FILLED,
    )
    rig.sql("INSERT INTO order_events SELECT id, seq, 'pending', '{}', now() FROM orders, generate_series(1, 5) seq")
    rig.sql(
        "INSERT INTO connections (id, connected_at, expires_at, open) "
        "SELECT 'c' || n, now(), now() + interval '1 hour', true FROM generate_series(1, 2000) n"
    )
    rig.sql(
        "INSERT INTO subscriptions (connection_id, order_id, last_seq) "
        "SELECT 'c' || mod(row_number() OVER (), 2000) + 1, id, 5 FROM orders"
    )
    rig.sql(
        "INSERT INTO simulated_swaps (tx_id, order_id, outcome, sent_at, lands_at, valid_until) "
        "SELECT id::text, id, 'dead', now(), now(), now() FROM orders"
    )
    rig.sql(
        "INSERT INTO idempotency_keys "
        "SELECT id, id, '', engine_now() + interval '1 day' * mod(row_number() OVER (), 2) FROM orders"
    )
    rig.sql("INSERT INTO submissions SELECT id::text, id, 1, 'Raydium', 1, 1, now(), now(), null FROM orders")
    rig.sql("ANALYZE")
    return rig


def scans(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """(table, kind) of each scan of a plan."""
    own = [(plan["Relation Name"], plan["Node Type"])] if "Relation Name" in plan else []
    return own + [scan for inner in plan.get("Plans", ()) for scan in scans(inner)]


def test_statements_find_their_rows_by_index(filled: Rig) -> None:
    ids = [row[0] for row in filled.sql("SELECT id FROM orders LIMIT 10")]
    newest = {"account": "default", "before": UUID(int=2**128 - 1), "limit": 20}
    socket = {"id": "c", "first_frame": None, "lifetime": 60, "most": 1000}
    entry = {"order_id": str(ids[0]), "claim_token": 0, "base_seq": 5, "last_seq": 5, "status": "pending", "events": []}
    ending = {"status": "expired", "reason": "expired"}
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "claim": (
            ORDERS["claim"],
            {"ids": ids, "lease": 15, "max_crashes": 3, "alone": False, "last_resort": False, "claimant": uuid4()},
        ),
        "give_back": (ORDERS["give_back"], {"ids": ids, "tokens": [0] * len(ids)}),
        "due": (ORDERS["due"], {"gap": 60, "limit": 1000}),
        "due_parked": (ORDERS["due_parked"], {"limit": 100, "most_crashes": 6}),
        "accept_keyed": (
            ORDERS["accept_keyed"],
            {
                "id": uuid4(),
                "payload": "{}",
                "meta": "{}",
                "ts": None,
                "account": "",
                "client_order_id": "x",
                "type": "",
                "expires_at": None,
            }
            | {"key": "x", "digest": b"", "lifetime": 1},
        ),
        "accept_keyed_limited": (
            ORDERS["accept_keyed_limited"],
            {"id": uuid4(), "payload": "{}", "meta": "{}", "ts": None, "account": "default", "type": ""}
            | {"client_order_id": "x", "key": "x", "digest": b"", "lifetime": 1, "expires_at": None}
            | {"gap": timedelta(seconds=1), "slack": timedelta(seconds=1), "most_open": 10_000},
        ),
        "key": (ACCOUNTS["key"], {"prefix": "x", "digest": b"", "used": 0, "refused": 0, "reason": None}),
        "issue": (
            ACCOUNTS["issue"],
            {"digest": b"", "account": "default", "key_prefix": "x", "lifetime": 60, "most": 10},
        ),
        "connect_with_key": (STREAMS["connect_with_key"], socket | {"key_prefix": "x"}),
        "connect_with_ticket": (STREAMS["connect_with_ticket"], socket | {"digest": b""}),
        "pairs": (BOOK["pairs"], {}),
        "trigger": (BOOK["trigger"], {"mint_in": "x", "mint_out": "y", "reference": Decimal(1), "most": 500}),
        "expire": (BOOK["expire"], ending | {"most": 500}),
        "cancel": (BOOK["cancel"], ending | {"id": ids[0], "account": "default"}),
        "due_runs": (BOOK["due_runs"], {"most": 200}),
        "find": (ORDERS["find"], {"id": ids[0], "account": "default"}),
        "living": (
            ORDERS["living"],
            newest | dict.fromkeys(("status", "type", "client_order_id", "token_in", "token_out")),
        ),
        "expire_keys": (ORDERS["expire_keys"], {"most": 20_000}),
        "newest": (ORDERS["newest"], newest),
        "newest_living": (ORDERS["newest_living"], newest | {"status": "pending"}),
        "newest_ended": (ORDERS["newest_ended"], newest | {"status": "failed"}),
        "show": (ORDERS["show"], {"id": ids[0], "account": "default"}),
        "newest_named": (ORDERS["newest_named"], newest | {"status": None, "client_order_id": "x"}),
        "named": (ORDERS["named"], {"account": "default", "client_order_id": "x"}),
        "submission": (ORDERS["submission"], {"tx_id": "x"}),
        "write": (ORDERS["write_transitions"], {"entries": json.dumps([entry])}),
        "ask": (ORDERS["ask_transitions"], {"ids": ids}),
        "look": (LEDGER["look"], {"tx_ids": ["x"]}),
        "lease": (STREAMS["lease"], {"order_ids": ids, "holder": uuid4(), "lease": 15, "most": 100, "passed_over": []}),
        "release": (
            STREAMS["release"],
            {"connection_ids": ["c1"], "order_ids": ids[:1], "last_seqs": [5], "bind_nos": [1], "holder": uuid4()},
        ),
        "followed": (STREAMS["followed"], {"id": "c1"}),
        "parked": (OPERATIONS["parked"], {"limit": 21}),
        "failed": (OPERATIONS["failed"], {"limit": 21}),
        "case": (OPERATIONS["case"], {"id": ids[0], "gap": 60, "most": 10}),
        "resume": (OPERATIONS["resume"], {"id": ids[0]}),
        "sent": (OPERATIONS["sent"], {"ids": ids}),
        "repeat": (OPERATIONS["repeat"], {"id": uuid4(), "repeat_of": ids[0], "ts": datetime.now(UTC), "meta": "{}"}),
        "bind": (STREAMS["bind"], {"id": "c1", "order_id": ids[0], "after_seq": 0, "most": 1000}),
    }
    with psycopg.connect(filled.database_url) as connection:
        for name, (statement, params) in cases.items():
            found = connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", params).fetchone()
            assert found
            sequential = [scan for scan in scans(found[0][0]["Plan"]) if scan[1] == "Seq Scan"]
            assert sequential == [], f"{name}: {sequential}"


def test_the_schema_knows_the_statuses_of_the_lifecycle(rig: Rig) -> None:
    ((constraint,),) = rig.sql("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'status_is_known'")
    assert set(re.findall(r"'(\w+)'", constraint)) == set(Status)

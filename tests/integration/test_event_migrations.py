"""The migrations that put events into partitions, on a database that is in use."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from local.migrate import MIGRATIONS, migrate
from local.postgres import Postgres
from tests.integration.rig import Rig

# How the release before accesses events, by the texts of its statements.
BEFORE = {
    "write": "INSERT INTO order_events (order_id, seq, status, meta, ts) SELECT id, last_seq + 1, 'pending', '{}', "
    "now() FROM orders WHERE id = %(id)s",
    "show": "SELECT (SELECT json_agg(json_build_array(seq, status, meta, ts) ORDER BY seq)::text FROM order_events "
    "WHERE order_id = orders.id) FROM orders WHERE id = %(id)s",
    "lease": "SELECT e.seq, e.meta::text FROM orders o LEFT JOIN order_events e ON e.order_id = o.id AND e.seq > 0 "
    "WHERE o.id = ANY(ARRAY[%(id)s::uuid]) ORDER BY e.seq",
}


@pytest.fixture
def database_url(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database as the release before left it, but for what today's engine writes and later migrations add."""
    for path in sorted(MIGRATIONS.glob("*.sql"))[:6]:
        shutil.copy(path, tmp_path)
    before = "0006_repeats"
    for name in ("0013_pools", "0014_accounts", "0015_resting_orders"):
        later = (MIGRATIONS / f"{name}.sql").read_text()
        (tmp_path / f"{name}.sql").write_text(re.sub("depends: .*", f"depends: {before}", later))
        before = name
    name = f"before_{uuid4().hex[:12]}"
    with monkeypatch.context() as patched:
        patched.setattr("local.migrate.MIGRATIONS", tmp_path)
        migrate(postgres.ensure_database(name))
    yield postgres.url(name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def events(rig: Rig) -> list[Any]:
    return rig.sql("SELECT e::text FROM order_events e ORDER BY order_id, seq")


def test_a_running_engine_goes_on_over_the_migration_and_keeps_all_events(rig: Rig) -> None:
    ended, submitted, waiting = (rig.post() for _ in range(3))
    rig.settle(ended)
    rig.invoke(submitted)
    before = events(rig)
    assert len(before) == 5 + 4 + 1
    migrate(rig.database_url)
    assert events(rig) == before
    assert rig.sql("SELECT DISTINCT tableoid::regclass::text FROM order_events") == [("order_events_first",)]
    # On connections whose statements were prepared before.
    for order_id in (submitted, waiting, rig.post()):
        rig.settle(order_id)
        assert len(rig.check_log(order_id)) == 5
    assert len(rig.frames(rig.bind(ended))) == 5
    rig.sweep()


def test_no_row_is_copied(rig: Rig) -> None:
    rig.settle(rig.post())
    (before,) = rig.sql("SELECT pg_relation_filenode('order_events'), pg_relation_filenode('order_events_pkey')")
    migrate(rig.database_url)
    assert rig.sql(
        "SELECT pg_relation_filenode('order_events_first'), pg_relation_filenode('order_events_first_pkey')"
    ) == [before]


def test_the_first_partition_takes_the_events_of_the_next_weeks(rig: Rig) -> None:
    migrate(rig.database_url)
    ((ahead,),) = rig.sql("SELECT past - engine_now() > interval '29 days' FROM event_partitions")
    assert ahead


def test_the_release_before_works_on_the_new_schema(rig: Rig) -> None:
    order_id = rig.post()
    migrate(rig.database_url)
    with psycopg.connect(rig.database_url, autocommit=True) as connection:
        connection.execute(BEFORE["write"], {"id": order_id})
        assert len(connection.execute(BEFORE["lease"], {"id": order_id}).fetchall()) == 2
        shown = connection.execute(BEFORE["show"], {"id": order_id}).fetchone()
        assert shown
        assert shown[0].count("pending") == 2
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(BEFORE["write"], {"id": order_id})


def test_ids_that_the_engine_did_not_make_do_not_stop_the_migration(rig: Rig) -> None:
    rig.sql("INSERT INTO order_events VALUES ('fd5a2b1e-52a7-4c0f-9a55-0a4f1f8b7c21', 1, 'pending', '{}', now())")
    migrate(rig.database_url)
    assert len(events(rig)) == 1
    order_id = rig.post()
    rig.settle(order_id)
    rig.advance(400 * 86_400)
    rig.sweep()
    assert len(rig.check_log(order_id)) == 5

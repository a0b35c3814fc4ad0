"""Applies the migrations that a database lacks: `python -m local.migrate`, with DATABASE_URL."""

import os
import re
import sys
from pathlib import Path

from yoyo import default_migration_table, read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """Gives each migration the time it takes; the role's limit is for the engine's statements."""

    def begin(self) -> None:
        super().begin()
        # LOCAL, since a pooler would hand a changed session on to the engine.
        self.execute("SET LOCAL statement_timeout = 0")


def migrate(database_url: str) -> list[str]:
    """Applies what is missing, one process at a time; returns the names of the migrations applied."""
    url = parse_uri(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", database_url))
    backend = _Backend(url, default_migration_table)
    try:
        backend.init_database()
        with backend.lock():
            missing = backend.to_apply(read_migrations(str(MIGRATIONS)))
            backend.apply_migrations(missing)
    finally:
        backend.connection.close()
    return [migration.id for migration in missing]


def main() -> int:
    """Migrates the database that the environment names."""
    database_url = os.environ.get("DATABASE_URL")
    if not database_url:
        print("DATABASE_URL is not set; make run migrates its own database by itself", file=sys.stderr)
        return 1
    applied = migrate(database_url)
    print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Applies the migrations that a database lacks: `python -m local.migrate`, with DATABASE_URL."""

import os
import re
import sys
from pathlib import Path

from yoyo import get_backend, read_migrations

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def migrate(database_url: str) -> list[str]:
    """Applies what is missing, one process at a time; returns the names of the migrations applied."""
    backend = get_backend(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", database_url))
    try:
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

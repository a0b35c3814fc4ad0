"""The named statements of the .sql files beside this module."""

from pathlib import Path


def load(name: str) -> dict[str, str]:
    """The statements of sql/`name`.sql, each under the name that its `-- name:` line gives it."""
    statements: dict[str, str] = {}
    text = (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
    for block in text.split("-- name: ")[1:]:
        title, _, statement = block.partition("\n")
        statements[title.strip()] = statement.strip()
    return statements

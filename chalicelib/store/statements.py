"""The named statements of the .sql files beside this module."""

import re
from pathlib import Path


def load(name: str) -> dict[str, str]:
    """The statements of sql/`name`.sql, each under the name that its `-- name:` line gives it.

    A word with a colon before it, `:record`, stands for the text of the block of that name.
    """
    blocks: dict[str, str] = {}
    text = (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
    for block in text.split("-- name: ")[1:]:
        title, _, statement = block.partition("\n")
        blocks[title.strip()] = re.sub(r"(?<!:):([a-z]+)\b", lambda found: blocks[found[1]], statement.strip())
    return blocks

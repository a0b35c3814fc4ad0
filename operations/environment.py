"""Where the engine is: what the environment names, or else the `make run` that runs here."""

import json
from collections.abc import Mapping
from pathlib import Path

# Written by `make run` when it is ready, removed when it ends.
NOTE = Path(__file__).resolve().parent.parent / ".local" / "stack.json"


def addresses(environ: Mapping[str, str], note: Path = NOTE) -> dict[str, str]:
    """The variables that lead to the running `make run`; none where DATABASE_URL is set or nothing runs."""
    if environ.get("DATABASE_URL") or not note.exists():
        return {}
    stack = json.loads(note.read_text())
    return {
        "DATABASE_URL": stack["database_url"],
        "AWS_ENDPOINT_URL": stack["aws_endpoint"],
        "ORDERS_QUEUE": stack["outputs"]["OrdersQueueUrl"],
        "DEAD_LETTERS_QUEUE": stack["outputs"]["DeadLettersQueueUrl"],
        # Any will do for the emulator; real ones must not be sent to it.
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

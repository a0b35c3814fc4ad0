"""Where the engine is: what the environment names, or else the `make run` that runs here."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path

# Written by `make run` when it is ready, beside the lock that it holds for as long as it runs.
NOTE = Path(__file__).resolve().parent.parent / ".local" / "stack.json"
LOCK = "run.lock"


def addresses(environ: Mapping[str, str], note: Path = NOTE) -> dict[str, str]:
    """The variables that lead to the running `make run`; none where DATABASE_URL is set or nothing runs."""
    if environ.get("DATABASE_URL") or not note.exists() or not _held(note.with_name(LOCK)):
        return {}
    stack = json.loads(note.read_text())
    return {
        "DATABASE_URL": stack["database_url"],
        "AWS_ENDPOINT_URL": stack["aws_endpoint"],
        "ORDERS_QUEUE": stack["outputs"]["OrdersQueueUrl"],
        "DEAD_LETTERS_QUEUE": stack["outputs"]["DeadLettersQueueUrl"],
        # Any will do for the emulator; real ones must not be sent to it. The SDK takes an empty token for none.
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "",
        "AWS_SECURITY_TOKEN": "",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _held(lock: Path) -> bool:
    """Whether somebody holds a lock: a `make run` that was killed left its note, and the lock free."""
    try:
        with lock.open() as probe:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False

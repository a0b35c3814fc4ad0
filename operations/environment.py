"""Where the engine is: what the environment names, or else the `make run` that runs here."""

import fcntl
from collections.abc import Mapping
from pathlib import Path

import msgspec

from chalicelib.domain.errors import ConfigurationError

# Written by `make run` when it is ready, beside the lock that it holds for as long as it runs.
NOTE = Path(__file__).resolve().parent.parent / ".local" / "stack.json"
LOCK = "run.lock"


class _Outputs(msgspec.Struct, rename="pascal"):
    orders_queue_url: str
    dead_letters_queue_url: str


class _Stack(msgspec.Struct):
    database_url: str
    aws_endpoint: str
    outputs: _Outputs


def addresses(environ: Mapping[str, str], note: Path = NOTE) -> dict[str, str]:
    """The variables that lead to the running `make run`; none where DATABASE_URL is set or nothing runs.

    Raises ConfigurationError where the note of what runs cannot be read.
    """
    if environ.get("DATABASE_URL") or not note.exists() or not _held(note.with_name(LOCK)):
        return {}
    try:
        stack = msgspec.json.decode(note.read_bytes(), type=_Stack)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{note} is damaged: end `make run` and start it again") from error
    return {
        "DATABASE_URL": stack.database_url,
        "AWS_ENDPOINT_URL": stack.aws_endpoint,
        "ORDERS_QUEUE": stack.outputs.orders_queue_url,
        "DEAD_LETTERS_QUEUE": stack.outputs.dead_letters_queue_url,
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

"""Where the operator's command looks for the engine, and how it names moments."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import boto3
import pytest

from chalicelib import settings
from chalicelib.domain.errors import ConfigurationError
from local.run import alone
from operations.__main__ import main
from operations.diagnosis import moment
from operations.environment import addresses

STACK = {
    "database_url": "postgresql:///orders",
    "aws_endpoint": "http://127.0.0.1:4566",
    "outputs": {"OrdersQueueUrl": "http://q/orders", "DeadLettersQueueUrl": "http://q/dead", "WorkerName": "w"},
}


@pytest.fixture
def note(tmp_path: Path) -> Iterator[Path]:
    """Of a `make run` that runs."""
    path = tmp_path / "stack.json"
    with alone(tmp_path):
        path.write_text(json.dumps(STACK))
        yield path


def test_a_running_make_run_is_found_where_the_environment_names_no_database(note: Path) -> None:
    found = addresses({"DATABASE_URL": "", "AWS_PROFILE": "production"}, note)
    given = settings.read(found)
    assert given.database_url == "postgresql:///orders"
    assert (given.orders_queue, given.dead_letters_queue) == ("http://q/orders", "http://q/dead")
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert found["AWS_ACCESS_KEY_ID"] == "test"


def test_a_database_that_the_environment_names_is_never_mixed_with_what_runs_here(note: Path) -> None:
    assert addresses({"DATABASE_URL": "postgresql://production/orders"}, note) == {}


def test_nothing_is_assumed_where_nothing_runs(tmp_path: Path) -> None:
    note = tmp_path / "stack.json"
    assert addresses({}, note) == {}
    # One that was killed.
    with alone(tmp_path):
        note.write_text(json.dumps(STACK))
    assert addresses({}, note) == {}
    note.with_name("run.lock").unlink()
    assert addresses({}, note) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"database_url": 1}', "\udcff"], ids=repr)
def test_a_damaged_note_is_named(note: Path, text: str) -> None:
    note.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=f"^{note} is damaged"):
        addresses({}, note)


def test_a_damaged_note_ends_the_command_with_2(
    note: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    note.write_text("{")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr("operations.__main__.addresses", partial(addresses, note=note))
    with pytest.raises(SystemExit) as ended:
        main(["list"])
    assert ended.value.code == 2
    assert f"error: {note} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("token", ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"])
def test_no_credentials_of_the_shell_are_sent_to_the_emulator(
    note: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", token):
        monkeypatch.setenv(name, "of the shell")
    for name, value in addresses({}, note).items():
        monkeypatch.setenv(name, value)
    found = boto3.Session().get_credentials()
    assert (found.access_key, found.secret_key, found.token) == ("test", "test", None)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s ago"),
        (-1, "1 s ago"),
        (12, "in 12 s"),
        (119, "in 119 s"),
        (120, "in 2 min"),
        (-3 * 3600, "3 h ago"),
        (-50 * 3600, "2 d ago"),
    ],
)
def test_a_moment_says_how_far_it_is(seconds: int, told: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert moment(now + timedelta(seconds=seconds), now).endswith(f"Z ({told})")

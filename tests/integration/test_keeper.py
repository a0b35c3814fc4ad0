"""Nothing outlives who asked for it: the keeper, and the embedded Postgres on top of it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from infrastructure.package import ROOT
from local.keeper import Kept
from local.postgres import EPHEMERAL, Postgres, PostgresError
from tests.integration.rig import eventually

# A command with a child of its own that ignores being asked to end.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def gone(*pids: int) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def kept(path: Path, *command: str) -> Kept:
    return Kept(command, log=path / "log", environment=os.environ, directory=path, grace_seconds=0.3)


def written(log: Path) -> list[int]:
    eventually(lambda: log.exists() and bool(log.read_text().strip()))
    return [int(line) for line in log.read_text().split()]


def test_stopping_ends_a_stubborn_command_and_its_children(tmp_path: Path) -> None:
    keeper = kept(tmp_path, sys.executable, "-c", STUBBORN)
    (grandchild,) = written(tmp_path / "log")
    keeper.stop()
    assert gone(keeper.pid, grandchild)


def test_an_orphan_ends_with_the_command_that_left_it(tmp_path: Path) -> None:
    leave = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    keeper = kept(tmp_path, sys.executable, "-c", leave)
    (orphan,) = written(tmp_path / "log")
    eventually(lambda: keeper.ended() is not None)
    assert gone(orphan)
    keeper.stop()


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for number in (1, 2):
        keeper = kept(tmp_path, sys.executable, "-c", f"print({number})")
        assert written(tmp_path / "log") == [number]
        keeper.stop()
    assert written(tmp_path / "log.1") == [1]


def test_a_killed_asker_leaves_nothing_behind(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys, time
from pathlib import Path
from local.keeper import Kept
path = Path({str(tmp_path)!r})
keeper = Kept([sys.executable, "-c", {STUBBORN!r}], log=path / "log", environment=os.environ, directory=path,
              grace_seconds=0.3)
print(keeper.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as asker:
        assert asker.stdout is not None
        keeper = int(asker.stdout.readline())
        (grandchild,) = written(tmp_path / "log")
        asker.kill()
    eventually(lambda: gone(keeper, grandchild))


def test_a_killed_keeper_takes_its_command_along(tmp_path: Path) -> None:
    keeper = kept(tmp_path, sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    (command,) = written(tmp_path / "log")
    os.kill(keeper.pid, signal.SIGKILL)
    eventually(lambda: gone(command))
    keeper.stop()


def test_data_survives_a_server_that_was_killed(tmp_path: Path) -> None:
    with Postgres(tmp_path / "data", tmp_path / "log", EPHEMERAL) as server:
        url = server.ensure_database("orders")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
            connection.execute("CHECKPOINT")
        keeper = psutil.Process(server.pid)
        for process in [keeper, *keeper.children(recursive=True)]:
            # One may have ended with the one before it.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    assert (tmp_path / "data" / "postmaster.pid").exists()
    with Postgres(tmp_path / "data", tmp_path / "log", EPHEMERAL) as server:
        assert server.ensure_database("orders") == url
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_stale_note_that_names_another_process_is_forgotten(tmp_path: Path) -> None:
    with Postgres(tmp_path / "data", tmp_path / "log", EPHEMERAL):
        note = (tmp_path / "data" / "postmaster.pid").read_text()
    (tmp_path / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{note.partition(chr(10))[2]}")
    with Postgres(tmp_path / "data", tmp_path / "log", EPHEMERAL) as server:
        psycopg.connect(server.url()).close()


def test_two_servers_run_side_by_side_and_listen_on_no_port(tmp_path: Path) -> None:
    with (
        Postgres(tmp_path / "one", tmp_path / "one.log", EPHEMERAL) as one,
        Postgres(tmp_path / ("two" * 30), tmp_path / "two.log", EPHEMERAL) as two,
    ):
        for server in (one, two):
            with psycopg.connect(server.url()) as connection:
                assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
                assert connection.execute("SHOW max_connections").fetchone() == ("200",)
        assert one.url() != two.url()


def test_data_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(PostgresError, match="belongs to Postgres 12"):
        Postgres(tmp_path / "data", tmp_path / "log").start()

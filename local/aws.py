"""An embedded AWS: MiniStack as a child process, its state in memory, gone when it stops."""

import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from local.keeper import Kept
from local.server import Server

HOST = "127.0.0.1"
START_SECONDS = 30.0


class MiniStackError(Exception):
    """The embedded AWS could not be started; the message says what to do."""


class MiniStack(Server):
    """One embedded AWS on one port, running between `start` and `stop`."""

    def __init__(self, port: int, scratch: Path, log: Path) -> None:
        self.endpoint = f"http://{HOST}:{port}"
        self._port = port
        self._scratch = scratch.absolute()
        self._log = log.absolute()

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        if port_taken(self._port):
            raise MiniStackError(
                f"port {self._port} is taken; end what listens there, or use it by AWS_ENDPOINT_URL={self.endpoint}"
            )
        # Functions are unpacked here; a server that was killed left its own behind.
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        self._server = Kept(
            [sys.executable, "-m", "ministack"],
            log=self._log,
            environment=self._environment(),
            directory=self._scratch,
        )
        self._await_ready(self._server)

    def stop(self) -> None:
        """Ends the server and the functions that it runs."""
        super().stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        # Functions inherit this environment, so it holds nothing of the caller's settings.
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._scratch),
            "TMPDIR": str(self._scratch),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "BIND_HOST": HOST,
            # What queue URLs name; "localhost" would be tried by IPv6 first.
            "MINISTACK_HOST": HOST,
            "GATEWAY_PORT": str(self._port),
            # Otherwise it listens on port 8883 on every interface too.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }

    def _await_ready(self, server: Kept) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if server.ended() is not None or time.monotonic() > deadline:
                self.stop()
                raise MiniStackError(f"the embedded AWS did not start; see {self._log}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/ready", timeout=2) as reply:  # noqa: S310
                return bool(reply.status == 200)  # noqa: PLR2004
        except (urllib.error.URLError, OSError):
            return False


def port_taken(port: int) -> bool:
    """Whether something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port

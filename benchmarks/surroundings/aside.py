"""A server with a process of its own, so that what it costs is not counted as that of what is measured."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
ENDS_SECONDS = 5.0


class Aside:
    """A module that prints its ports in one line, and serves until its standard input ends."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.ports: list[int] = []

    def __enter__(self) -> Self:
        # A session of its own: Ctrl-C is for whoever started it, who may need it until the end.
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.ports = [int(port) for port in cast("IO[bytes]", self._process.stdout).readline().split()]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            # Standard input ends too when whoever started it dies.
            self._process.communicate(timeout=ENDS_SECONDS)

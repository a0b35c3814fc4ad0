"""Keeps one command, and whatever it starts, from outliving the process that asked for it.

The keeper stands between the two. It holds the read end of a pipe whose write end only the asker has; when the pipe
closes, because the asker closed it or died in any way, the keeper ends the command and every descendant of it.
"""

import argparse
import contextlib
import ctypes
import os
import pwd
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

import psutil

# From <sys/prctl.h>.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.2


class Kept:
    """A command that runs until `stop`, or until this process is gone; its output goes to a log file of its own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        directory: Path,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 5.0,
    ) -> None:
        options = [f"--signal={stop_signal.value}", f"--grace={grace_seconds}", f"--directory={directory}"]
        if user:
            options.append(f"--user={user}")
        log.parent.mkdir(parents=True, exist_ok=True)
        self._patience = grace_seconds + 5
        if log.exists():
            # Whoever starts again after a failure wants to read why.
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("wb") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", __file__, *options, "--", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._keeper.pid

    def ended(self) -> int | None:
        """The command's exit status when it has ended; None while it runs."""
        return self._keeper.poll()

    def stop(self) -> None:
        """Ends the command and everything it started; returns when they are gone."""
        if self._keeper.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.close()
        try:
            self._keeper.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()


def main() -> int:
    """Runs the command on the command line until it ends or standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--signal", type=int, default=signal.SIGTERM)
    parser.add_argument("--grace", type=float, default=5.0)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--user")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        # Whoever loses its parent below becomes this process's child, and is found when it is time to end.
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _raise_exit)

    def become() -> None:
        if options.user:
            entry = pwd.getpwnam(options.user)
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        if sys.platform == "linux":
            # For the case that the keeper itself is killed.
            libc.prctl(PR_SET_PDEATHSIG, options.signal)

    child = subprocess.Popen(
        options.command,
        cwd=options.directory,
        stdin=subprocess.DEVNULL,
        preexec_fn=become,  # noqa: PLW1509 - this process has one thread
    )
    try:
        _wait(child)
    finally:
        _end(child, options.signal, options.grace)
    return child.returncode


def _raise_exit(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _wait(child: "subprocess.Popen[bytes]") -> None:
    """Returns when the child has ended or standard input has closed."""
    while child.poll() is None:
        readable, _, _ = select.select([0], [], [], POLL_SECONDS)
        if readable and not os.read(0, 1):
            return


def _end(child: "subprocess.Popen[bytes]", number: int, grace: float) -> None:
    # Asked to end a second time, it is already doing that.
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    known = psutil.Process().children(recursive=True)
    if child.poll() is None:
        child.send_signal(number)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.02)
    # A kill can orphan grandchildren, so look again until nobody is left.
    while alive := [each for each in {*known, *psutil.Process().children(recursive=True)} if each.is_running()]:
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=1)
    child.wait()


if __name__ == "__main__":
    raise SystemExit(main())

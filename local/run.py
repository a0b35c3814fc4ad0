"""`make run`: the whole engine on this machine, an example order, and then service until Ctrl-C."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import aiohttp
import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import bootstrap, settings
from chalicelib.domain.errors import ConfigurationError
from infrastructure.deploy import DeployError
from infrastructure.package import ROOT, PackageError
from local import example, terminal
from local.aws import MiniStackError
from local.postgres import PostgresError
from local.stack import Plan, Stack, StackError
from local.warm import WarmError

HOME = ROOT / ".local"
DEFAULT_PORT = 3000
DEFAULT_AWS_PORT = 4566
LAST_PORT = 65535
# Variables that set a parameter of the template.
PARAMETERS = {
    # For functions in containers, where the database has another address than here.
    "FUNCTIONS_DATABASE_URL": "DatabaseUrl",
    "DATABASE_POOLER": "DatabasePooler",
    "PUSH_ENDPOINT": "PushEndpoint",
    "MARKET": "Market",
    "POOLS_DIRECTORY": "PoolsDirectory",
    "SOLANA_RPC_URL": "SolanaRpcUrl",
    "MIDDLE_TOKENS": "MiddleTokens",
    "SPLIT_MIN_GAIN_BPS": "SplitMinGainBps",
    "POOL_MOST_SLOTS": "PoolMostSlots",
    "POOL_MOST_SECONDS": "PoolMostSeconds",
    "AUTH": "Auth",
    "ACCOUNT_ORDERS_PER_SECOND": "AccountOrdersPerSecond",
    "ACCOUNT_BURST": "AccountBurst",
    "ACCOUNT_MOST_OPEN": "AccountMostOpen",
    "ACCOUNT_MOST_SOCKETS": "AccountMostSockets",
    "VENUE_TIME_SCALE": "VenueTimeScale",
    "VENUE_SEED": "VenueSeed",
    "LOG_LEVEL": "LogLevel",
    "WATCH_TICK_SECONDS": "WatchTickSeconds",
    "SWEEP_BACKLOG_LIMIT": "SweepBacklogLimit",
    "EVENT_RETENTION_DAYS": "EventRetentionDays",
}
EXPECTED = (
    BotoCoreError,
    ClientError,
    ConfigurationError,
    DeployError,
    MiniStackError,
    PackageError,
    PostgresError,
    StackError,
    WarmError,
    aiohttp.ClientError,
    psycopg.OperationalError,
)


class AlreadyRunning(Exception):
    """Another process has the directory."""


def plan() -> Plan:
    """What the environment asks for. Raises ConfigurationError or StackError, naming the variable."""
    # Found before anything starts; the database is one of the parts to be started.
    database_url = os.environ.get("DATABASE_URL") or None
    bootstrap.middle_tokens(settings.read({**os.environ, "DATABASE_URL": database_url or "postgresql://"}))
    return Plan(
        home=HOME,
        port=_port("PORT", DEFAULT_PORT),
        aws_port=DEFAULT_AWS_PORT,
        database_url=database_url,
        aws_endpoint=(os.environ.get("AWS_ENDPOINT_URL") or "").rstrip("/") or None,
        parameters={name: os.environ[each] for each, name in PARAMETERS.items() if os.environ.get(each)},
    )


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Holds the directory for this process; raises AlreadyRunning when another one has it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("a") as lock:
        try:
            # The lock ends with the process, however that ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_who_runs(home)) from None
        # A run that was killed left its note behind; from here on a note is of the run that has the lock.
        (home / "stack.json").unlink(missing_ok=True)
        yield


def main() -> int:
    """Runs everything; the exit status is 0 after Ctrl-C or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with alone(HOME):
            return _run()
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _run() -> int:
    started = time.monotonic()
    try:
        with Stack(plan(), terminal.step) as stack:
            for each in stack.warnings:
                terminal.say(terminal.paint(f"  left out: {each}", terminal.BOLD))
            ready = f"ready in {time.monotonic() - started:.1f} s"
            if stack.requires_keys:
                terminal.say(f'{ready}; callers need a key: make operate ARGS="keys create ACCOUNT"')
            else:
                terminal.say(f"{ready}; the README's example order:")
                asyncio.run(example.show(stack.endpoints.url))
            port = stack.endpoints.url.rpartition(":")[2]
            terminal.say(terminal.paint(f"serving on http://localhost:{port}", terminal.BOLD))
            terminal.say(f"  logs in {HOME.relative_to(ROOT)}/logs; Ctrl-C ends everything")
            return _serve(stack)
    except (*EXPECTED, example.ExampleError) as error:
        print(error, file=sys.stderr)
        return 1


def _serve(stack: Stack) -> int:
    while not (ended := stack.ended()):
        time.sleep(0.5)
    logs = ", ".join(f"{HOME.relative_to(ROOT)}/logs/{name.replace(' ', '-')}.log" for name in ended)
    print(f"{', '.join(ended)} ended by itself; see {logs}, then start again", file=sys.stderr)
    return 1


def _interrupt(_: int, __: FrameType | None) -> None:
    # A second Ctrl-C must not stop what the first one began.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    terminal.say("\nending")
    raise KeyboardInterrupt


def _who_runs(home: Path) -> str:
    try:
        note = json.loads((home / "stack.json").read_text())
    except (OSError, ValueError):
        return "make run is already running here, and not ready yet"
    return f"make run is already running here: process {note['pids']['stack']} serves {note['url']}"


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) <= LAST_PORT:
        raise StackError(f"{variable} is {text!r}; it must be a port number")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())

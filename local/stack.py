"""The whole engine on one machine: Postgres, AWS, the deployed template and the front door, started and ended together.

`make run` is a thin face of `Stack`; the end-to-end tests use the same class on free ports and a temporary directory.
"""

import asyncio
import contextlib
import json
import os
import platform
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from infrastructure.deploy import Deployment
from infrastructure.package import BUILD, OWN_NAMES, ROOT, Package, build
from local.aws import HOST, MiniStack, free_port, port_taken
from local.front_door import MOST_WAITING
from local.keeper import Kept
from local.migrate import migrate
from local.postgres import EPHEMERAL, Postgres
from local.warm import warm

# The names of queues that the engine falls back to belong to this stack.
STACK_NAME = "order-engine"
DATABASE = "order_engine"
# The template's own default is for deployments.
NO_KEYS = "none"
READY_SECONDS = 60.0
HTTP_OK = 200

Step = Callable[[str], AbstractContextManager[None]]


class StackError(Exception):
    """The stack could not be started; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """What to start, and where. A database URL or an AWS endpoint that is given replaces the embedded part."""

    home: Path
    port: int
    aws_port: int
    database_url: str | None = None
    aws_endpoint: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    postgres_settings: Mapping[str, str] = field(default_factory=dict)
    # Calls that the front door lets wait before it refuses.
    most_waiting: int = MOST_WAITING

    @classmethod
    def ephemeral(cls, home: Path, parameters: Mapping[str, str] | None = None) -> Self:
        """Everything embedded, on free ports, for a test."""
        return cls(home, free_port(), free_port(), parameters=parameters or {}, postgres_settings=EPHEMERAL)


@dataclass(frozen=True)
class Endpoints:
    """Where a running stack is reached; also written to stack.json in its home."""

    url: str
    websocket_url: str
    database_url: str
    aws_endpoint: str
    stack: str
    outputs: Mapping[str, str]
    pids: Mapping[str, int]


@contextlib.contextmanager
def silent(_: str) -> Iterator[None]:
    """A report of steps that nobody reads."""
    yield


class Stack:
    """A running stack between entering and leaving it."""

    endpoints: Endpoints
    # What the market does without, and why.
    warnings: Sequence[str] = ()

    def __init__(self, plan: Plan, step: Step = silent) -> None:
        self._plan = plan
        self._step = step
        self._parts = ExitStack()
        self._pids: dict[str, int] = {}
        self._front_door: Kept | None = None

    def __enter__(self) -> Self:
        try:
            self.endpoints = self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    @property
    def requires_keys(self) -> bool:
        """Whether callers must give an API key."""
        return self._plan.parameters.get("Auth", NO_KEYS) != NO_KEYS

    def ended(self) -> list[str]:
        """The parts that have ended by themselves."""
        return [name for name, pid in self._pids.items() if not _runs(pid)]

    def _start(self) -> Endpoints:
        if port_taken(self._plan.port):
            other = self._plan.port + 1
            raise StackError(
                f"port {self._plan.port} is taken; end what listens there, or choose another: PORT={other}"
            )
        self._plan.home.mkdir(parents=True, exist_ok=True)
        database_url = self._plan.database_url or self._start_postgres()
        with self._step("migrations"):
            migrate(database_url)
        endpoint = self._plan.aws_endpoint or self._start_aws()
        if not self._plan.aws_endpoint:
            forget_run_before(database_url, leases=not self._plan.database_url)
        with self._step("package"):
            package = _runnable(build())
        with self._step("deploy"):
            parameters = {"DatabaseUrl": database_url, "Auth": NO_KEYS, **self._plan.parameters}
            outputs = Deployment(STACK_NAME, endpoint, poll_seconds=0.1).deploy(package, parameters)
        with self._step("front door"):
            self._open_front_door(endpoint, outputs, package)
            self._await_health()
        with self._step("functions"):
            asyncio.run(warm(endpoint, self._websocket_url(), outputs))
        return self._noted(database_url, endpoint, outputs)

    def _start_postgres(self) -> str:
        with self._step("postgres"):
            server = Postgres(self._plan.home / "postgres", self._log("postgres"), dict(self._plan.postgres_settings))
            server.start()
            self._ends("postgres", server.stop)
            self._pids["postgres"] = server.pid or 0
            return server.ensure_database(DATABASE)

    def _start_aws(self) -> str:
        with self._step("aws"):
            server = MiniStack(self._plan.aws_port, self._plan.home / "aws", self._log("aws"))
            server.start()
            self._ends("aws", server.stop)
            self._pids["aws"] = server.pid or 0
            return server.endpoint

    def _open_front_door(self, endpoint: str, outputs: Mapping[str, str], package: Package) -> None:
        sockets = endpoint.replace("http", "ws", 1)
        command = [sys.executable, "-m", "local.front_door", f"--port={self._plan.port}"]
        command += [f"--rest={endpoint}/restapis/{outputs['RestAPIId']}/api/_user_request_"]
        command += [f"--websocket={sockets}/_aws/execute-api/{outputs['WebsocketAPIId']}/api"]
        command += [f"--template={package.template_path}", f"--most-waiting={self._plan.most_waiting}"]
        self._front_door = Kept(command, log=self._log("front-door"), environment=os.environ, directory=ROOT)
        self._ends("front door", self._front_door.stop)
        self._pids["front door"] = self._front_door.pid

    def _ends(self, name: str, stop: Callable[[], None]) -> None:
        """A part ends with the stack, and is named while that takes."""

        def end() -> None:
            with self._step(name):
                stop()

        self._parts.callback(end)

    def _await_health(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        said = "it does not answer"
        while time.monotonic() < deadline and not self.ended():
            try:
                with urllib.request.urlopen(f"{self._url()}/api/health", timeout=30) as reply:  # noqa: S310
                    if reply.status == HTTP_OK:
                        self.warnings = json.load(reply)["market"].get("broken", ())
                        return
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")
                if why := _wrong_pools(said):
                    raise StackError(f"{why}; mend that, then start again") from None
            except OSError as error:
                said = str(error)
            time.sleep(0.05)
        raise StackError(f"the engine is not healthy: {said}; see {self._plan.home / 'logs'}")

    def _noted(self, database_url: str, endpoint: str, outputs: Mapping[str, str]) -> Endpoints:
        endpoints = Endpoints(
            url=self._url(),
            websocket_url=self._websocket_url(),
            database_url=database_url,
            aws_endpoint=endpoint,
            stack=STACK_NAME,
            outputs=outputs,
            pids={"stack": os.getpid(), **self._pids},
        )
        note = self._plan.home / "stack.json"
        note.write_text(json.dumps(asdict(endpoints), indent=2) + "\n")
        self._parts.callback(note.unlink, missing_ok=True)
        return endpoints

    def _url(self) -> str:
        return f"http://{HOST}:{self._plan.port}"

    def _websocket_url(self) -> str:
        return f"ws://{HOST}:{self._plan.port}/api/orders/execute"

    def _log(self, name: str) -> Path:
        return self._plan.home / "logs" / f"{name}.log"


def forget_run_before(database_url: str, *, leases: bool) -> None:
    """The embedded AWS starts without messages: the first sweep sends every order that is free.

    `leases` frees those that the run before held. A database that others use too may have another stack's functions at
    them.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE orders SET enqueued_at = now() - interval '1 day' WHERE outcome IS NULL")
        if leases:
            connection.execute("UPDATE orders SET lease_until = now() WHERE outcome IS NULL AND lease_until > now()")


def _wrong_pools(health: str) -> str | None:
    """Why the market can't be served, where that will not pass by itself."""
    try:
        reason: str | None = json.loads(health)["market"].get("reason")
    except (ValueError, KeyError):
        return None
    return reason


def _runs(pid: int) -> bool:
    # A keeper that has ended is a zombie until it is waited for.
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    return False


def _runnable(package: Package) -> Package:
    """The package, or where its Linux libraries can't be loaded, one whose dependencies come from this environment."""
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return package
    thin = Package(package.template_path, BUILD / "deployment-thin.zip")
    with zipfile.ZipFile(package.archive) as whole, zipfile.ZipFile(thin.archive, "w", zipfile.ZIP_DEFLATED) as part:
        for name in whole.namelist():
            if name.split("/")[0] in OWN_NAMES:
                part.writestr(name, whole.read(name))
    return thin

"""Postgres, the embedded AWS and `make run` as a whole, killed by SIGKILL while orders run and started again."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from infrastructure.package import BUILD, ROOT
from local.aws import free_port
from local.postgres import Postgres
from local.stack import Endpoints, Plan, Stack
from tests.e2e.client import EXAMPLE, Client, until
from tests.e2e.following import Follower, check, following, posted, resumed
from tests.e2e.processes import family, kill

ORDERS = 15


# The database.


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Endpoints]:
    """A stack whose Postgres, like that of `make run`, keeps what it has answered."""
    with Stack(Plan(tmp_path, free_port(), free_port())) as stack:
        yield stack.endpoints


async def test_an_engine_whose_database_was_killed_goes_on_with_the_next(durable: Endpoints, tmp_path: Path) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        client = Client(session, durable)
        found = await posted(client, ORDERS)
        async with following(found):
            await until(lambda: any(each.seen > 3 for each in found))
            assert not all(each.ended for each in found)
            kill(family(durable.pids["postgres"]))
            refused = [await post(client) for _ in range(6)]
        assert {status for status, *_ in refused} == {503}
        assert all(headers["Retry-After"] for _, headers, _ in refused)
        assert refused[-1][2]["code"] == "unavailable"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(durable.websocket_url)
        assert (refusal.value.status, "Retry-After" in (refusal.value.headers or {})) == (503, True)
        with Postgres(tmp_path / "postgres", tmp_path / "logs" / "postgres-again.log"):
            await until(lambda: healthy(client))
            in_doubt = [body["orderId"] for *_, body in refused if "orderId" in body]
            stored = [each for each in in_doubt if (await client.get(f"/api/orders/{each}"))[0] == 200]
            found += [Follower(client, each) for each in stored]
            found += await posted(client, 3)
            await resumed(found)
            check(durable.database_url, found)


async def post(client: Client) -> tuple[int, dict[str, str], dict[str, str]]:
    async with client.session.post(f"{client.endpoints.url}/api/orders/execute", json=EXAMPLE) as reply:
        return reply.status, dict(reply.headers), await reply.json()


async def healthy(client: Client) -> bool:
    return (await client.get("/api/health"))[0] == 200


# The whole.


class Run:
    """`make run` in a directory and on ports of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._environment = os.environ | {"PORT": str(free_port()), "VENUE_TIME_SCALE": "0.1"}
        self._program = (
            "from pathlib import Path; from local import run\n"
            f"run.HOME, run.DEFAULT_AWS_PORT = Path({str(home)!r}), {free_port()}\n"
            "raise SystemExit(run.main())"
        )
        self._seen: list[psutil.Process] = []
        self.process: subprocess.Popen[bytes]

    async def start(self) -> Endpoints:
        """Starts it; returns when it serves."""
        self._launch()
        await until(lambda: self._note()["pids"]["stack"] == self.process.pid)
        endpoints = Endpoints(**self._note())
        self._seen += family(*endpoints.pids.values())
        return endpoints

    async def ended(self) -> tuple[int, str]:
        """Its exit status and what it said, once it has ended."""
        status = await asyncio.to_thread(self.process.wait, 60)
        return status, (self._home / "said").read_text()

    def close(self) -> None:
        """Ends it as Ctrl-C does; nothing may be left of any start."""
        self.process.terminate()
        assert self.process.wait(60) == 0
        _, left = psutil.wait_procs(self._seen, timeout=30)
        assert left == []

    def _launch(self) -> None:
        command = [sys.executable, "-c", self._program]
        with (self._home / "said").open("wb") as said:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=said, stderr=said)

    def _note(self) -> dict[str, Any]:
        assert self.process.poll() is None, (self._home / "said").read_text()
        try:
            note: dict[str, Any] = json.loads((self._home / "stack.json").read_text())
        except (OSError, ValueError):
            return {"pids": {"stack": None}}
        return note


@pytest.fixture
def run() -> Iterator[Run]:
    # Inside the repository, as the real one is.
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=BUILD) as home:
        running = Run(Path(home))
        yield running
        running.close()


def kill_aws(_: Run, endpoints: Endpoints) -> None:
    # The keeper's own child.
    kill(psutil.Process(endpoints.pids["aws"]).children())


def kill_runner(run: Run, _: Endpoints) -> None:
    run.process.kill()


def kill_everything(_: Run, endpoints: Endpoints) -> None:
    kill(family(*endpoints.pids.values()))


async def test_a_run_that_was_killed_goes_on_where_it_was(run: Run) -> None:
    endpoints = await run.start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        client = Client(session, endpoints)
        for how in (kill_aws, kill_runner, kill_everything):
            found = await posted(client, ORDERS)
            async with following(found):
                await until(lambda: any(each.seen > 3 for each in found))  # noqa: B023 - called in this turn only
                assert not all(each.ended for each in found)
                how(run, endpoints)
                status, said = await run.ended()
            # Its state is in memory only, so the run ends with it, and says so.
            assert ("aws ended by itself" in said, status) == ((True, 1) if how is kill_aws else (False, -9))
            endpoints = await run.start()
            await resumed(found)
            check(endpoints.database_url, found)

"""Faults of containers, of their database and of the chain: dying, standing still, losing replies, not knowing."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.bootstrap import Engine
from chalicelib.domain.errors import OutcomeUnknown, Unavailable
from chalicelib.execution.batch import Received
from chalicelib.execution.executor import Executor
from chalicelib.store.database import Database
from chalicelib.venues.base import Answer, Outcome
from tests.integration.rig import Rig

Fetch = Callable[..., Any]
SECONDS = 20
MOST_CLAIMS = 12
# Longer than a claim may hold an order.
LEASE_OVER = 16
# Containers that were killed, with what was under way in them.
_DEAD: list[tuple[Engine, set[asyncio.Task[Any]]]] = []


def executor_of(container: Engine) -> Executor:
    """The part of a container that works on one order."""
    found = container.worker._runner.__self__
    assert isinstance(found, Executor)
    return found


def start(container: Engine, *order_ids: str, seconds: float = 10) -> "Future[list[str]]":
    """Have a container work on a batch, without waiting for it."""
    batch = [Received(f"m{at}", "none", order_id) for at, order_id in enumerate(order_ids)]
    return asyncio.run_coroutine_threadsafe(container.worker.run(batch, seconds), container.loop.loop)


def kill(container: Engine) -> None:
    """End a container as a machine does: what was under way never goes on, and nothing is given back."""
    container.loop.loop.call_soon_threadsafe(container.loop.loop.stop)
    container.loop.thread.join()
    # A collection would run their `finally`, and that on a loop that is closed.
    _DEAD.append((container, asyncio.all_tasks(container.loop.loop)))


class Stop:
    """Holds a container up at its n-th statement, before it is sent or after it took effect."""

    def __init__(self, container: Engine, database: Database, at: int, *, after: bool) -> None:
        self._loop = container.loop.loop
        self._database = database
        self._fetch: Fetch = database.fetch
        self._left = at
        self._after = after
        self._go_on = asyncio.Event()
        self.reached: Future[None] = Future()
        self.statement = ""
        database.fetch = self._stopped  # type: ignore[method-assign]

    async def _stopped(self, statement: str, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        self._left -= 1
        if self._left != 0:
            return await self._fetch(statement, params, **more)
        self.statement = statement
        rows = await self._fetch(statement, params, **more) if self._after else []
        self.reached.set_result(None)
        await self._go_on.wait()
        return rows if self._after else await self._fetch(statement, params, **more)

    def wait(self, work: "Future[Any]") -> bool:
        """Wait until the container stands still; False where its work ended before."""
        done, _ = wait_for({work, self.reached}, SECONDS, FIRST_COMPLETED)
        assert done
        return self.reached in done

    def release(self) -> None:
        """Let it go on."""
        self._loop.call_soon_threadsafe(self._go_on.set)


def work_until(stop: Stop, container: Engine, rig: Rig, order_id: str) -> "Future[list[str]]":
    """Have a container work on an order, again and again, until it stands still at the chosen statement."""
    for _ in range(MOST_CLAIMS):
        work = start(container, order_id)
        if stop.wait(work):
            return work
        rig.advance(5)
    raise AssertionError("the statement was not reached")


def lose_reply(database: Database, at: int, *, after: bool, error: type[OutcomeUnknown] = OutcomeUnknown) -> list[str]:
    """Have the reply to the n-th statement lost, before or after it took effect; returns what will be lost."""
    fetch: Fetch = database.fetch
    seen = 0
    lost: list[str] = []

    async def losing(statement: str, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen != at:
            return await fetch(statement, params, **more)
        lost.append(statement)
        if after:
            await fetch(statement, params, **more)
        raise error("database: the reply was lost")

    database.fetch = losing  # type: ignore[method-assign]
    return lost


def break_statements(monkeypatch: pytest.MonkeyPatch, *faults: str) -> list[str]:
    """Have the next statements of the work connection fail; returns what is sent."""
    work = bootstrap.engine().work
    fetch, left, sent = work.fetch, list(faults), []

    async def broken(statement: str, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        sent.append(statement)
        fault = left.pop(0) if left else ""
        if fault == "unreachable":
            raise Unavailable("database: no connection")
        rows = [] if fault == "lost before" else await fetch(statement, params, **more)
        if fault:
            raise OutcomeUnknown("database: the reply was lost")
        return rows

    monkeypatch.setattr(work, "fetch", broken)
    return sent


def die(rig: Rig, order_id: str, times: int, **state: Any) -> None:
    """Leave an order as containers that died with it do; `state` is what they had written."""
    for column, value in state.items():
        rig.sql(f"UPDATE orders SET {column} = %s WHERE id = %s", value, order_id)
    for _ in range(times):
        rig.sql(
            "UPDATE orders SET claim_token = claim_token + 1, crashes = crashes + (lease_until IS NOT NULL)::int, "
            "lease_until = engine_now() - interval '1 second' WHERE id = %s",
            order_id,
        )


class Chain:
    """Stands in for the chain where it must not know an answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer = Answer(outcome=Outcome.UNKNOWN)
        self.asked: list[str] = []
        for worker in (bootstrap.engine().worker, bootstrap.engine().dead_letter_worker):
            executor = worker._runner.__self__
            monkeypatch.setattr(executor._chain, "ask", self.ask)
            monkeypatch.setattr(executor._chain, "decide", self.decide)

    async def ask(self, tx_id: str) -> Answer:
        self.asked.append(tx_id)
        return self.answer

    async def decide(self, tx_id: str, *_: Any) -> Answer:
        return self.answer

"""Measures what Lambda, SQS and the gateway would bill: invocations of the real functions, a share of a CPU each."""

import asyncio
import contextlib
import json
import statistics
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from benchmarks.models.stages import Service
from benchmarks.processes.naive import TABLE
from benchmarks.processes.warm import Invoked, WarmContainer, shared, started
from benchmarks.reporting.bar import Bar
from benchmarks.reporting.report import Spread
from benchmarks.reporting.rounds import ROUNDS
from benchmarks.surroundings.database import Database, database
from benchmarks.surroundings.examples import messages, post, socket_event, tick
from benchmarks.surroundings.region import Distances, Region

T = TypeVar("T")

MEMORIES = (256, 512, 1024, 1769)
FILLS = (1, 3, 10)
# The first round of each is thrown away.
WARM = 1
NAIVE_ROUNDS = 3
APART_SECONDS = 0.05
# An order may be asked for once it may have landed.
LANDED_SECONDS = 3.2
SOCKET_FUNCTIONS = ("connect", "message", "disconnect")
# Whole batches of orders, watched by a socket each or not.
BATCHES = tuple((fill, watched) for watched in (False, True) for fill in FILLS)


class Sample(msgspec.Struct, frozen=True):
    """One invocation and the billed units that it caused."""

    invoked: Invoked
    counts: dict[str, int]


class Billed(msgspec.Struct, frozen=True):
    """The samples of one memory size, by name: api, connect, message, disconnect, sweep, naive, quotes_10_watched …"""

    samples: dict[str, list[Sample]]
    init_ms: float

    def spread(self, name: str) -> Spread:
        """Billed milliseconds of an invocation."""
        return Spread.of([sample.invoked.billed_ms for sample in self.samples[name]])

    def ms(self, name: str) -> float:
        """The median of the same."""
        return self.spread(name).median

    def mean(self, name: str, unit: str) -> float:
        """How many billed units of a kind an invocation causes."""
        return statistics.fmean(sample.counts.get(unit, 0) for sample in self.samples[name])

    def log_bytes(self, name: str) -> float:
        """What an invocation writes to its log."""
        return statistics.fmean(sample.invoked.log_bytes for sample in self.samples[name])

    def reply_bytes(self, name: str) -> float:
        """What an invocation answers."""
        return statistics.fmean(sample.invoked.reply_bytes for sample in self.samples[name])


def batch_name(pass_name: str, fill: int, watched: bool) -> str:
    """The name of a worker's pass: `quotes` until the swap is sent, `asks` once it has landed."""
    return f"{pass_name}_{fill}{'_watched' if watched else ''}"


def service(ms: Mapping[str, float], server: dict[int, float]) -> Service:
    """What the models reckon with, from milliseconds by name and the database's CPU seconds an order by fill."""

    def by_fill(name: str) -> dict[int, float]:
        return {fill: ms[batch_name(name, fill, watched=False)] / 1000 for fill in FILLS}

    return Service(
        quotes=by_fill("quotes"),
        asks=by_fill("asks"),
        api=ms["api"] / 1000,
        sockets=sum(ms[name] for name in SOCKET_FUNCTIONS) / 1000,
        server=server,
    )


class Cell:
    """A container of one memory size in a region of its own, so that what is counted there is its doing."""

    def __init__(self, region: Region, container: WarmContainer) -> None:
        self._region = region
        self._container = container
        self._samples: dict[str, list[Sample]] = defaultdict(list)

    async def invoke(self, name: str, function: str, event: Mapping[str, Any]) -> Any:
        """One measured invocation; returns its reply."""
        before = Counter(self._region.counts)
        invoked = await self._container.invoke(function, event)
        self._samples[name].append(Sample(invoked, dict(self._region.counts - before)))
        return invoked.reply

    async def work(self, name: str, ids: Sequence[str]) -> None:
        """One measured batch, which must leave nothing behind."""
        reply = await self.invoke(name, "worker", messages(ids))
        if reply["batchItemFailures"]:
            raise RuntimeError(f"{name}: {reply}")

    async def result(self, warm: int) -> Billed:
        """All but the first samples of each name."""
        init = await self._container.invoke("init", {})
        return Billed({name: found[warm:] for name, found in self._samples.items()}, init.reply)


def measure(memories: Sequence[int] = MEMORIES, rounds: int = ROUNDS, naive: int = NAIVE_ROUNDS) -> dict[int, Billed]:
    """What an invocation of each function costs, warm, by megabytes of memory."""
    with database() as found:
        found.fetch(TABLE)
        return asyncio.run(_measure(found, memories, rounds, naive))


async def _measure(found: Database, memories: Sequence[int], rounds: int, naive: int) -> dict[int, Billed]:
    async with contextlib.AsyncExitStack() as parts:
        cells: dict[int, Cell] = {}
        for megabytes in memories:
            region = await parts.enter_async_context(Region(found.url, Distances()))
            share = shared(parts, megabytes)
            container = await parts.enter_async_context(started(region.environment()))
            await container.limit(share)
            cells[megabytes] = Cell(region, container)
        await _run(list(cells.values()), found, rounds + WARM, naive)
        return {megabytes: await cell.result(WARM) for megabytes, cell in cells.items()}


async def _run(cells: list[Cell], found: Database, rounds: int, naive: int) -> None:
    plan = [each for _ in range(rounds) for each in BATCHES]
    waits = naive + WARM if naive else 0
    with Bar("steps", rounds + 2 * len(plan) + waits) as bar:
        # Alone: these use all of the CPU that they are given.
        for number in range(rounds):
            for cell in _alternating(cells, number):
                await _edges(cell)
            bar.show(number + 1, "requests")
        batches = [[found.accept(fill, watched=watched) for fill, watched in plan] for _ in cells]
        for at, kind in enumerate(plan):
            # Side by side, since they wait for quotes most of the time, but not at the same moment.
            ways = enumerate(zip(cells, batches, strict=True))
            await asyncio.gather(*(_quotes(cell, kind, its[at], lag) for lag, (cell, its) in ways))
            bar.show(rounds + at + 1, "quotes")
        await asyncio.sleep(LANDED_SECONDS)
        for at, kind in enumerate(plan):
            for cell, its in _alternating(list(zip(cells, batches, strict=True)), at):
                await cell.work(batch_name("asks", *kind), its[at])
            bar.show(rounds + len(plan) + at + 1, "asks")
        if left := found.unfinished([order_id for its in batches for ids in its for order_id in ids]):
            raise RuntimeError(f"{left} orders were not confirmed at the first asking")
        for number in range(waits):
            await asyncio.gather(*(cell.invoke("naive", "naive", messages([uuid.uuid4().hex])) for cell in cells))
            bar.show(rounds + 2 * len(plan) + number + 1, "naive")


async def _quotes(cell: Cell, kind: tuple[int, bool], ids: Sequence[str], lag: int) -> None:
    await asyncio.sleep(lag * APART_SECONDS)
    await cell.work(batch_name("quotes", *kind), ids)


async def _edges(cell: Cell) -> None:
    """A POST, a socket that binds the order and closes, and a sweep."""
    reply = await cell.invoke("api", "api", post())
    order_id, socket = json.loads(reply["body"])["orderId"], uuid.uuid4().hex
    await cell.invoke("connect", "connect", socket_event("CONNECT", socket))
    await cell.invoke("message", "message", socket_event("MESSAGE", socket, json.dumps({"orderId": order_id})))
    await cell.invoke("disconnect", "disconnect", socket_event("DISCONNECT", socket))
    await cell.invoke("sweep", "sweep", tick())


def _alternating(items: list[T], number: int) -> list[T]:
    """Every other round goes backwards."""
    return items if number % 2 == 0 else items[::-1]

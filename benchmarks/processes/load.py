"""Runs workers behind a queue that hands out batches as an SQS mapping does, and sees how long orders take."""

import asyncio
import contextlib
import random
import statistics
from collections.abc import Sequence

import msgspec

from benchmarks.models.stages import MOST, PASSES
from benchmarks.processes.billing import LANDED_SECONDS
from benchmarks.processes.warm import WarmContainer, shared, started
from benchmarks.reporting.bar import Bar
from benchmarks.surroundings.database import Database, database
from benchmarks.surroundings.examples import messages
from benchmarks.surroundings.region import Arrived, Distances, Region

# Rates that are run side by side, a pool of containers each: a heavy one beside a light one.
SIDE_BY_SIDE = ((40.0, 5.0), (20.0, 10.0))
CONTAINERS = 4
SECONDS = 14.0
# From here on the second passes come as often as the first ones.
STEADY_SECONDS = 4.0
SEED = 7
SETTLES_SECONDS = 60.0


class Seen(msgspec.Struct, frozen=True):
    """What happened at one rate of orders. `busy` containers; times in seconds."""

    rate: float
    fill: float
    # Of a batch, from its begin to its end.
    batch: float
    busy: float
    # Of a message until its batch begins.
    wait: float
    # Of an order in both passes, waiting included and the chain's time not.
    order: float
    orders: int


class Server(msgspec.Struct, frozen=True):
    """What an order costs the database in batches of `fill`: microseconds of CPU, bytes of write-ahead log."""

    us: float
    wal_bytes: float
    fill: float


class Pool:
    """Containers that take turns on one queue."""

    def __init__(self, region: Region, containers: Sequence[WarmContainer], ids: Sequence[str], rate: float) -> None:
        self._region = region
        self._containers = containers
        self._ids = ids
        self._rate = rate
        self._passes = dict.fromkeys(ids, 0)
        # Of steady time: waits of messages; their whole seconds by pass; size and seconds of batches.
        self._waits: list[float] = []
        self._spent: tuple[list[float], list[float]] = ([], [])
        self._batches: list[tuple[int, float]] = []

    async def run(self) -> Seen:
        """Let the orders arrive, one by one as they like, and wait until all are executed."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        slots = [asyncio.create_task(self._slot(container)) for container in self._containers]
        draws = random.Random(SEED)  # noqa: S311 - moments
        due = self._began
        for order_id in self._ids:
            due += draws.expovariate(self._rate)
            loop.call_at(due, self._region.orders.put_nowait, Arrived(order_id, due))
        self._ended = due
        try:
            async with asyncio.timeout(SECONDS + SETTLES_SECONDS):
                while any(passes < PASSES for passes in self._passes.values()):
                    # None ends but by an error.
                    for ended in (await asyncio.wait(slots, timeout=0.1))[0]:
                        ended.result()
        finally:
            for slot in slots:
                slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)
        return self._seen()

    async def _slot(self, container: WarmContainer) -> None:
        queue, loop = self._region.orders, asyncio.get_running_loop()
        while True:
            batch = [await queue.get()]
            while len(batch) < MOST and not queue.empty():
                batch.append(queue.get_nowait())
            begun = loop.time()
            invoked = await container.invoke("worker", messages([message.body for message in batch]))
            ended = loop.time()
            if invoked.reply["batchItemFailures"]:
                raise RuntimeError(f"orders came back: {invoked.reply}")
            steady = self._began + STEADY_SECONDS <= begun <= self._ended
            if steady:
                self._batches.append((len(batch), ended - begun))
            for message in batch:
                if steady:
                    self._waits.append(begun - message.at)
                    self._spent[self._passes[message.body]].append(ended - message.at)
                self._passes[message.body] += 1

    def _seen(self) -> Seen:
        steady = self._ended - self._began - STEADY_SECONDS
        return Seen(
            rate=self._rate,
            fill=statistics.fmean(size for size, _ in self._batches),
            batch=statistics.fmean(seconds for _, seconds in self._batches),
            busy=sum(seconds for _, seconds in self._batches) / steady,
            wait=statistics.fmean(self._waits),
            order=sum(map(statistics.fmean, self._spent)),
            orders=len(self._ids),
        )


def observe(megabytes: int) -> tuple[list[Seen], Server]:
    """Each rate of SIDE_BY_SIDE on CONTAINERS containers of so much memory, and what that cost the database."""
    with database() as found:
        return asyncio.run(_observe(found, megabytes))


async def _observe(found: Database, megabytes: int) -> tuple[list[Seen], Server]:
    seen: list[Seen] = []
    us = wal_bytes = 0.0
    async with contextlib.AsyncExitStack() as parts:
        pools = [await _pool(parts, found.url, megabytes + at * CONTAINERS) for at in range(len(SIDE_BY_SIDE[0]))]
        await _warm(pools, found)
        with Bar("rates", sum(map(len, SIDE_BY_SIDE))) as bar:
            for rates in SIDE_BY_SIDE:
                ids = [found.accept(round(rate * SECONDS), watched=False) for rate in rates]
                before = found.cpu(), _wal(found)
                each = zip(pools, ids, rates, strict=True)
                seen += await asyncio.gather(*(Pool(*pool, its, rate).run() for pool, its, rate in each))
                us, wal_bytes = us + (found.cpu() - before[0]) * 1e6, wal_bytes + _wal(found) - before[1]
                bar.show(len(seen))
    orders = sum(each.orders for each in seen)
    fill = orders / sum(each.orders / each.fill for each in seen)
    return sorted(seen, key=lambda each: each.rate), Server(us / orders, wal_bytes / orders, fill)


async def _pool(parts: contextlib.AsyncExitStack, url: str, megabytes: int) -> tuple[Region, list[WarmContainer]]:
    region = await parts.enter_async_context(Region(url, Distances()))
    containers = []
    for at in range(CONTAINERS):
        # A megabyte apart, since a quota is named by its memory.
        share = shared(parts, megabytes + at)
        container = await parts.enter_async_context(started(region.environment()))
        await container.limit(share)
        containers.append(container)
    return region, containers


async def _warm(pools: Sequence[tuple[Region, list[WarmContainer]]], found: Database) -> None:
    """Connections, statements and code that a container has only after its first order."""
    containers = [container for _, pool in pools for container in pool]
    events = [messages([order_id]) for order_id in found.accept(len(containers), watched=False)]
    for pause in (LANDED_SECONDS, 0.0):
        for container, event in zip(containers, events, strict=True):
            await container.invoke("worker", event)
        await asyncio.sleep(pause)
    for region, _ in pools:
        while not region.orders.empty():
            region.orders.get_nowait()


def _wal(found: Database) -> float:
    """How many bytes of write-ahead log the server has written."""
    return float(found.fetch("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0])

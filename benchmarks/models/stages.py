"""What a rate of orders needs, and the rate at which each limit breaks: pure arithmetic on measured seconds."""

import math
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec

from benchmarks.models.pricing import Choice, DatabaseClass
from benchmarks.models.queueing import Steady, Unstable, headroom, little, ramp_seconds, settled

MOST = 10
# Each order is a message twice: to be quoted and sent, and to be asked for.
PASSES = 2
# A worker has a connection for its work and one for publishing; the other functions use one of them.
WORKER_CONNECTIONS = 2
# Messages should begin so soon on average, in batches half full, so that a burst of twice the rate fits; a database has
# this share of its CPU and of its connections used at most.
WAIT_SECONDS = 0.1
FILL = MOST / 2
CPU_SHARE = 0.5
CONNECTIONS_SHARE = 0.8
# Five frames, the POST, the connect and the bind.
PUSHES = 5
WATCHED_REQUESTS = PUSHES + 3


class Limit(msgspec.Struct, frozen=True):
    """A quota of AWS and the page that names it."""

    limit: float
    per: str
    adjustable: bool
    source: str


class Limits(msgspec.Struct, frozen=True):
    """All of limits.json."""

    dated: str
    region: str
    note: str
    gateway_requests: Limit
    new_sockets: Limit
    mapping_start: Limit
    mapping_minute: Limit
    mapping_most: Limit
    provisioned_minute: Limit
    provisioned_most: Limit
    poller_batches: Limit
    concurrency: Limit
    connections: Limit


class Service(msgspec.Struct, frozen=True):
    """Seconds of the two passes by fill, of the functions at the edges, and the server's CPU seconds by fill."""

    quotes: dict[int, float]
    asks: dict[int, float]
    api: float
    sockets: float
    server: dict[int, float]

    def batch(self, fill: float) -> float:
        """Seconds of a batch: as many messages are to be quoted as asked for, and one that is quoted holds it up."""
        return self._mixed(fill, fill)

    def variation(self, fill: float) -> float:
        """The squared coefficient of variation of the same: quotes' seconds or asks'."""
        asks_only = math.pow(0.5, fill)
        quotes, asks = between(self.quotes, fill), between(self.asks, fill)
        return asks_only * (1 - asks_only) * ((quotes - asks) / self.batch(fill)) ** 2

    def order(self, steady: Steady) -> float:
        """Seconds of an order in both passes, waiting included; an ask may share its batch with quotes."""
        fill = steady.fill
        return PASSES * steady.wait + between(self.quotes, fill) + self._mixed(fill, fill - 1)

    def _mixed(self, fill: float, others: float) -> float:
        asks_only = math.pow(0.5, others)
        return (1 - asks_only) * between(self.quotes, fill) + asks_only * between(self.asks, fill)


class Needs(msgspec.Struct, frozen=True):
    """What so many orders a second need."""

    rate: float
    # Concurrent batches that the worker's mapping is bounded to, and what comes of it.
    bound: int
    steady: Steady
    # Containers of a mapping without a bound, whose batches are not filled.
    unbounded: int
    api: int
    sockets: int
    cores: float
    requests: float
    # Until the mapping has so many workers, without and with provisioned mode.
    ramp_seconds: float
    provisioned_seconds: float
    pollers: int

    @property
    def containers(self) -> int:
        """Of all functions."""
        return self.bound + self.api + self.sockets

    @property
    def connections(self) -> int:
        """Of all containers."""
        return WORKER_CONNECTIONS * self.bound + self.api + self.sockets


def load() -> Limits:
    """The limits as dated."""
    return msgspec.json.decode(Path(__file__).with_name("limits.json").read_bytes(), type=Limits)


def between(known: Mapping[int, float], fill: float) -> float:
    """A figure at any fill, on straight lines between those that are known."""
    if fill <= min(known):
        return known[min(known)]
    for (low, at_low), (high, at_high) in pairwise(sorted(known.items())):
        if fill <= high:
            return at_low + (at_high - at_low) * (fill - low) / (high - low)
    return known[max(known)]


def predicted(service: Service, rate: float, containers: int) -> Steady:
    """So many orders a second on so many workers. Raises Unstable."""
    return settled(containers, PASSES * rate, MOST, service.batch, service.variation)


def bounded(service: Service, rate: float) -> tuple[int, Steady]:
    """The fewest workers whose messages wait at most WAIT_SECONDS, in batches of at most FILL."""
    least, enough = 1, headroom(little(PASSES * rate, service.batch(1)))
    while least < enough:
        middle = (least + enough) // 2
        if _suffice(service, rate, middle):
            enough = middle
        else:
            least = middle + 1
    return least, predicted(service, rate, least)


def _suffice(service: Service, rate: float, containers: int) -> bool:
    try:
        steady = predicted(service, rate, containers)
    except Unstable:
        return False
    return steady.wait <= WAIT_SECONDS and steady.fill <= FILL


def needs(service: Service, rate: float, limits: Limits) -> Needs:
    """What so many orders a second need, each watched by a socket of its own."""
    bound, steady = bounded(service, rate)
    return Needs(
        rate=rate,
        bound=bound,
        steady=steady,
        unbounded=headroom(little(rate, between(service.quotes, 1) + between(service.asks, 1))),
        api=headroom(little(rate, service.api)),
        sockets=headroom(little(rate, service.sockets)),
        cores=little(rate, between(service.server, steady.fill)) / CPU_SHARE,
        requests=rate * WATCHED_REQUESTS,
        ramp_seconds=ramp_seconds(bound, limits.mapping_start.limit, limits.mapping_minute.limit),
        provisioned_seconds=ramp_seconds(bound, limits.mapping_start.limit, limits.provisioned_minute.limit),
        pollers=math.ceil(bound / limits.poller_batches.limit),
    )


def database(wanted: Needs, classes: list[DatabaseClass]) -> Choice:
    """The smallest class with the cores, or as many of the largest; and whether the connections need a proxy.

    A burstable class has its baseline alone. Memory is not asked for: `scale` says what stored orders do to times.
    """
    used = wanted.cores * CPU_SHARE
    each = next((each for each in classes if each.vcpu * min(CPU_SHARE, each.baseline) >= used), classes[-1])
    crowded = wanted.connections > each.connections * CONNECTIONS_SHARE
    return Choice(math.ceil(wanted.cores / each.vcpu), each, crowded)


def throughput(service: Service, containers: int) -> float:
    """The orders a second that so many workers take in full batches."""
    return containers * MOST / between(service.quotes, MOST) / PASSES


def breaking(service: Service, limits: Limits, maximum: int, largest: DatabaseClass) -> dict[str, float]:
    """Orders a second at which each limit is reached, by name; each order watched by a socket of its own."""
    everything = partial(_containers, service)
    return {
        "MaximumConcurrency": throughput(service, maximum),
        "new sockets": limits.new_sockets.limit,
        "gateway requests": limits.gateway_requests.limit / WATCHED_REQUESTS,
        "gateway requests, one socket for many orders": limits.gateway_requests.limit / (WATCHED_REQUESTS - 1),
        "gateway requests, unwatched": limits.gateway_requests.limit,
        "concurrent invocations": limits.concurrency.limit / everything(1.0),
        "the mapping, batches of one": limits.mapping_most.limit / little(PASSES, service.batch(1)),
        "the mapping, full batches": throughput(service, int(limits.mapping_most.limit)),
        "connections, batches of one": limits.connections.limit / _connections(service),
        "the largest database's CPU": largest.vcpu * CPU_SHARE / between(service.server, MOST),
    }


def _containers(service: Service, rate: float) -> float:
    """Without a bound: of the worker, the POST and the sockets."""
    return little(rate, between(service.quotes, 1) + between(service.asks, 1) + service.api + service.sockets)


def _connections(service: Service) -> float:
    """For each order a second, without a bound."""
    workers = between(service.quotes, 1) + between(service.asks, 1)
    return WORKER_CONNECTIONS * workers + service.api + service.sockets

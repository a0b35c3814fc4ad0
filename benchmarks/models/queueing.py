"""Formulas of queueing theory; times in seconds, rates a second."""

import math
from collections.abc import Callable

import msgspec

# A relative error that nobody will notice.
CLOSE = 1e-9
STEPS = 200


class Unstable(ValueError):
    """More comes than can be served, so that the queue grows without end."""


class Steady(msgspec.Struct, frozen=True):
    """A queue in its steady state: customers a batch, servers at work, customers waiting, and how long each waits."""

    fill: float
    busy: float
    waiting: float
    wait: float


def little(rate: float, seconds: float) -> float:
    """How many are inside on average, where so many come a second and each stays so long (Little 1961)."""
    return rate * seconds


def erlang_b(servers: int, offered: float) -> float:
    """The share that finds all servers busy where nobody waits (Erlang 1917), by its stable recursion."""
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = offered * blocked / (server + offered * blocked)
    return blocked


def batch_service(servers: int, rate: float, seconds: float, most: int) -> Steady:
    """M/M/c whose free server takes all that wait, at most `most`, and stays busy for `seconds` whatever it took.

    The M/M[1,b]/c of Medhi, "Recent Developments in Bulk Queueing Models" (1984): while all servers are busy the
    number of waiting is geometric, with the ratio r that solves r + r² + … + r^b = rate·seconds/servers; below that it
    is Erlang's. With `most` = 1 it is M/M/c. Raises Unstable.
    """
    offered = little(rate, seconds)
    if offered >= servers * most:
        raise Unstable(f"{rate:g} a second for {servers} servers of {most} in {seconds:g} s")
    ratio = _root(lambda r: sum(r**power for power in range(1, most + 1)) - offered / servers)
    # Of all servers busy and nobody waiting; the other states in proportion to it.
    full = 1 / (1 / erlang_b(servers, offered) - 1 + 1 / (1 - ratio))
    delayed, waiting = full / (1 - ratio), full * ratio / (1 - ratio) ** 2
    batches = rate * (1 - delayed) + servers / seconds * (delayed - full)
    return Steady(rate / batches, little(batches, seconds), waiting, waiting / rate)


def settled(
    servers: int,
    rate: float,
    most: int,
    seconds: Callable[[float], float],
    variation: Callable[[float], float] = lambda _: 1.0,
) -> Steady:
    """The same where a batch takes the longer the more it has: the fill that its own service time leads to.

    `variation` is the squared coefficient of variation of that time; the wait is corrected for it as Allen and Cunneen
    do for single customers, which is an approximation here.
    """
    low, high = 1.0, float(most)
    for _ in range(STEPS):
        fill = (low + high) / 2
        try:
            found = batch_service(servers, rate, seconds(fill), most)
        except Unstable:
            if high - low < CLOSE:
                raise
            # A batch that is fuller than this takes too long already; an emptier one is quicker.
            high = fill
            continue
        low, high = (fill, high) if found.fill > fill else (low, fill)
        if high - low < CLOSE:
            break
    steadier = (1 + variation(found.fill)) / 2
    return Steady(found.fill, found.busy, found.waiting * steadier, found.wait * steadier)


def ramp_seconds(wanted: float, at_once: float, per_minute: float) -> float:
    """How long it takes until so many are there, of whom some are there at once."""
    return max(0.0, wanted - at_once) / per_minute * 60


def headroom(busy: float, deviations: float = 4.0) -> int:
    """Containers where each concurrent invocation takes one: the mean of a Poisson number and some deviations."""
    return math.ceil(busy + deviations * math.sqrt(busy))


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function crosses zero between 0 and 1."""
    low, high = 0.0, 1.0
    while high - low > CLOSE * 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2

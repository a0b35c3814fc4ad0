"""A burst of messages worked off in batches at no cost but their own time: the waiting that queueing alone makes."""

import heapq
from collections.abc import Sequence

import msgspec


class Batch(msgspec.Struct, frozen=True):
    """When a worker took messages and was free again, in seconds; the messages by their places among the arrivals."""

    taken: float
    ended: float
    messages: list[int]


def worked_off(arrivals: Sequence[float], seconds: Sequence[float], workers: int, most: int) -> list[Batch]:
    """Whoever is free takes what is there, at most `most` of the oldest, and is busy as long as the longest of them.

    `arrivals` and `seconds` are of each message: when it came, and its own time. The batches come as they were taken.
    """
    coming = sorted(range(len(arrivals)), key=arrivals.__getitem__)
    free = [float("-inf")] * workers
    batches = list[Batch]()
    while coming:
        taken = max(heapq.heappop(free), arrivals[coming[0]])
        messages = [each for each in coming[:most] if arrivals[each] <= taken]
        coming = coming[len(messages) :]
        ended = taken + max(seconds[each] for each in messages)
        heapq.heappush(free, ended)
        batches.append(Batch(taken, ended, messages))
    return batches

"""Work that callers share."""

import asyncio

import pytest

from chalicelib.domain.errors import RpcUnavailable
from chalicelib.venues.pools.sharing import Sharing


class Work:
    def __init__(self) -> None:
        self.started = 0
        self.ended = 0
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.started += 1
        number = self.started
        try:
            await self.go_on.wait()
        finally:
            self.ended += 1
        if self.error:
            raise self.error
        return number


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_come_meanwhile_share_and_those_who_come_later_do_not() -> None:
    sharing, work = Sharing[str, int](), Work()
    callers = [asyncio.create_task(sharing.of("a", work)) for _ in range(3)]
    other = asyncio.create_task(sharing.of("b", work))
    await turns()
    work.go_on.set()
    assert await asyncio.gather(*callers, other) == [1, 1, 1, 2]
    assert await sharing.of("a", work) == 3


async def test_it_ends_with_the_last_who_waits() -> None:
    sharing, work = Sharing[str, int](), Work()
    first, last = (asyncio.create_task(sharing.of("a", work)) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    assert (work.started, work.ended) == (1, 0)
    last.cancel()
    # Whoever comes now does not get what is ending.
    next_one = asyncio.create_task(sharing.of("a", work))
    await turns()
    assert (work.started, work.ended) == (2, 1)
    work.go_on.set()
    assert await next_one == 2


async def test_an_error_is_everybodys_and_not_kept() -> None:
    sharing, work = Sharing[str, int](), Work()
    work.error = RpcUnavailable("no")
    work.go_on.set()
    callers = [asyncio.create_task(sharing.of("a", work)) for _ in range(2)]
    for caller in callers:
        with pytest.raises(RpcUnavailable):
            await caller
    work.error = None
    assert await sharing.of("a", work) == 2

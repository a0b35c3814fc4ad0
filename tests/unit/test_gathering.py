"""Callers that share statements: what comes while one is on its way, what goes wrong, and who gives up."""

import asyncio
from collections.abc import Sequence

import pytest

from chalicelib.domain.errors import StatementRefused, Unavailable
from chalicelib.store.gathering import MOST, Gathering


class Statement:
    """Doubles what is wanted; waits where it is told to."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.errors: list[Exception] = []
        self.refused: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0
        # Whoever is cancelled takes until then to end.
        self.ends = asyncio.Event()
        self.ends.set()

    async def run(self, wanted: Sequence[int]) -> list[int]:
        self.runs.append(list(wanted))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            await self.ends.wait()
            raise
        if self.errors:
            raise self.errors.pop(0)
        if self.refused & set(wanted):
            raise StatementRefused("22003: out of range")
        return [2 * each for each in wanted]


@pytest.fixture
def statement() -> Statement:
    return Statement()


async def test_what_comes_while_a_statement_is_on_its_way_shares_the_next(statement: Statement) -> None:
    gathering = Gathering(statement.run)
    statement.gate.clear()
    first = asyncio.create_task(gathering.of(1))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(gathering.of(number)) for number in range(2, MOST + 5)]
    await asyncio.sleep(0)
    statement.gate.set()
    assert await first == 2
    assert await asyncio.gather(*later) == [2 * number for number in range(2, MOST + 5)]
    assert [len(run) for run in statement.runs] == [1, MOST, 3]


async def test_an_error_is_told_to_all_who_share_it_and_to_nobody_else(statement: Statement) -> None:
    gathering = Gathering(statement.run)
    statement.errors = [Unavailable("away")]
    found = await asyncio.gather(gathering.of(1), gathering.of(2), return_exceptions=True)
    assert [type(each) for each in found] == [Unavailable, Unavailable]
    assert await gathering.of(3) == 6


async def test_what_is_wrong_with_one_is_not_the_others_error(statement: Statement) -> None:
    gathering = Gathering(statement.run)
    statement.refused = {2}
    found = await asyncio.gather(*map(gathering.of, (1, 2, 3)), return_exceptions=True)
    assert [found[0], type(found[1]), found[2]] == [2, StatementRefused, 6]


async def test_a_statement_goes_on_while_anybody_waits_for_it_and_ends_with_the_last(statement: Statement) -> None:
    gathering = Gathering(statement.run)
    statement.gate.clear()
    callers = [asyncio.create_task(gathering.of(number)) for number in (1, 2)]
    await asyncio.sleep(0.01)
    callers[0].cancel()
    await asyncio.sleep(0.01)
    assert statement.cancelled == 0
    callers[1].cancel()
    await asyncio.sleep(0.01)
    assert statement.cancelled == 1


async def test_who_waits_for_the_next_statement_keeps_it_when_the_present_one_is_given_up(statement: Statement) -> None:
    gathering = Gathering(statement.run)
    statement.gate.clear()
    given_up = asyncio.create_task(gathering.of(1))
    await asyncio.sleep(0.01)
    waits = asyncio.create_task(gathering.of(2))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0.01)
    statement.gate.set()
    async with asyncio.timeout(5):
        assert await waits == 4


async def test_who_comes_while_a_statement_is_being_cut_off_is_served(statement: Statement) -> None:
    gathering = Gathering(statement.run)
    statement.gate.clear()
    statement.ends.clear()
    given_up = asyncio.create_task(gathering.of(1))
    await asyncio.sleep(0.01)
    given_up.cancel()
    await asyncio.sleep(0.01)
    statement.gate.set()
    async with asyncio.timeout(5):
        assert await gathering.of(2) == 4
    statement.ends.set()


async def test_nobody_is_asked_for_who_gave_up_before_the_statement_began(statement: Statement) -> None:
    gathering = Gathering(statement.run)
    statement.gate.clear()
    first = asyncio.create_task(gathering.of(1))
    await asyncio.sleep(0.01)
    given_up, stays = asyncio.create_task(gathering.of(2)), asyncio.create_task(gathering.of(3))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    statement.gate.set()
    assert (await first, await stays) == (2, 6)
    assert statement.runs == [[1], [3]]

"""Paper trades on stored pools: what lands, what does not, and that the ledger explains every pool's state."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest

from chalicelib.domain.clock import SystemClock
from chalicelib.domain.errors import ConnectionLost, OutcomeUnknown
from chalicelib.venues.base import Outcome
from chalicelib.venues.pools.chain import shared
from chalicelib.venues.pools.shelf import Shelved
from tests.integration.faults import lose_reply
from tests.integration.paper import BONK, SOL, USDC, Books, Container, sell
from tests.replay import shipped

# More than one bin of a DLMM pool holds.
SOME_SOL = 60 * 10**9


@pytest.fixture
async def container(database_url: str) -> AsyncIterator[Callable[[], Container]]:
    """Starts containers."""
    started: list[Container] = []

    def starting() -> Container:
        started.append(Container(database_url))
        return started[-1]

    yield starting
    for each in started:
        await each.database.close()


@pytest.fixture
def books(database_url: str) -> Books:
    return Books(database_url)


Starting = Callable[[], Container]

# A directory's pools.


async def test_two_containers_at_once_store_a_directory_once(container: Starting, books: Books) -> None:
    containers = [container() for _ in range(6)]
    await asyncio.gather(*(each.source.fresh([]) for each in containers for _ in range(2)))
    assert books.versions() == dict.fromkeys(shipped(), 1)
    assert books.sql("SELECT count(*) FROM pools WHERE live OR state IS NOT NULL") == [(0,)]


async def test_pools_of_a_directory_keep_their_fills_over_a_restart(container: Starting, books: Books) -> None:
    answer = await container().trade(sell(SOL, USDC, SOME_SOL))
    assert answer.outcome == Outcome.SUCCEEDED
    before = books.sql("SELECT address, version, state::text, read_at FROM pools ORDER BY address")
    again = container()
    await again.source.fresh([])
    assert books.sql("SELECT address, version, state::text, read_at FROM pools ORDER BY address") == before
    assert (await again.trade(sell(SOL, USDC, SOME_SOL))).amount_out < answer.amount_out
    assert books.check() >= 2


async def test_a_container_starts_while_somebody_holds_a_pool(
    container: Starting, database_url: str, books: Books
) -> None:
    await container().source.fresh([])
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT 1 FROM pools FOR UPDATE")
        await container().source.fresh([])
    assert set(books.versions().values()) == {1}


# One transaction.


async def test_a_fill_writes_ledger_and_pools_together(container: Starting, books: Books) -> None:
    here = container()
    transaction = await here.prepared(sell(SOL, USDC, 400 * 10**9))
    traded = {leg.pool for leg in transaction.route.legs}
    assert len(traded) > 1
    [answer] = await here.send(transaction)
    quoted = transaction.route.chosen
    assert (answer.amount_in, answer.amount_out) == (quoted.amount_in, quoted.amount_out)
    assert {pool: version for pool, version in books.versions().items() if version != 1} == dict.fromkeys(traded, 2)
    assert books.check() == len(traded)


async def test_two_hops_trade_both_or_none(container: Starting, books: Books) -> None:
    here = container()
    terms = sell(BONK, USDC, 10**13)
    transaction = await here.prepared(terms)
    assert {leg.hop for leg in transaction.route.legs} == {1, 2}
    # What the first hop pays has changed by the time that it executes, so the second gets another input.
    assert (await here.trade(sell(BONK, SOL, 10**13))).outcome == Outcome.SUCCEEDED
    [answer] = await here.send(transaction)
    assert answer.outcome == Outcome.SUCCEEDED
    assert 0 < answer.amount_out < transaction.route.chosen.amount_out
    assert books.check() >= 3
    before = books.versions()
    strict = await here.prepared(sell(BONK, USDC, 10**13, "0"))
    assert (await here.trade(sell(SOL, USDC, 900 * 10**9))).outcome == Outcome.SUCCEEDED
    between = books.versions()
    [answer] = await here.send(strict)
    assert answer.outcome == Outcome.REVERTED
    assert between != before
    assert books.versions() == between
    books.check()


@pytest.mark.parametrize("amount", [0, 1, 10, 11, 10**19 + 7])
@pytest.mark.parametrize("parts", [[5], [1, 1, 1], [7, 2, 90], [0, 3]])
def test_what_rounding_leaves_is_not_lost(amount: int, parts: list[int]) -> None:
    shares = shared(amount, parts)
    assert sum(shares) == amount
    assert all(
        abs(share * sum(parts) - amount * part) < len(parts) * sum(parts)
        for share, part in zip(shares, parts, strict=True)
    )


async def test_an_exact_output_is_bought_for_the_least_input(container: Starting, books: Books) -> None:
    here = container()
    for bought, amount in ((USDC, 750_000_001), (USDC, 60_000 * 10**6), (BONK, 10**12)):
        terms = sell(SOL, bought, 0, "0.01", amount_out=amount)
        transaction = await here.prepared(terms)
        [answer] = await here.send(transaction)
        assert answer.outcome == Outcome.SUCCEEDED
        assert answer.amount_in == transaction.route.chosen.amount_in
        assert answer.amount_out >= amount
    [answer] = await here.send(await here.prepared(sell(BONK, USDC, 0, "0.01", amount_out=10**9)))
    assert answer.outcome == Outcome.SUCCEEDED
    assert answer.amount_out >= 10**9
    books.check()


async def test_slippage_reverts_with_both_numbers_and_changes_no_pool(container: Starting, books: Books) -> None:
    here = container()
    selling = await here.prepared(sell(SOL, USDC, SOME_SOL, "0.001"))
    buying = await here.prepared(sell(SOL, USDC, 0, "0.001", amount_out=750_000_000))
    assert (await here.trade(sell(SOL, USDC, 300 * 10**9))).outcome == Outcome.SUCCEEDED
    before = books.versions()
    sold, bought = await here.send(selling, buying)
    assert (sold.outcome, bought.outcome) == (Outcome.REVERTED, Outcome.REVERTED)
    assert f"is less than the minimum of {selling.route.min_amount_out} base units" in sold.reason
    assert f"is more than the maximum of {buying.route.max_amount_in} base units" in bought.reason
    assert books.versions() == before
    books.check()


async def test_one_that_would_revert_looks_again_where_its_pools_changed_meanwhile(
    container: Starting, books: Books
) -> None:
    here, other = container(), container()
    transaction = await here.prepared(sell(SOL, USDC, SOME_SOL, "0.001"))
    # The price falls below the order's bound, and is back before the revert is written.
    assert (await other.trade(sell(SOL, USDC, 600 * 10**9))).outcome == Outcome.SUCCEEDED
    named, overtaken = here.shelf.named, 0

    async def overtaking(addresses: Collection[str]) -> dict[str, Shelved]:
        nonlocal overtaken
        found = await named(addresses)
        if not overtaken:
            overtaken += 1
            assert (await other.trade(sell(USDC, SOL, 120_000 * 10**6))).outcome == Outcome.SUCCEEDED
        return found

    here.shelf.named = overtaking  # type: ignore[method-assign]
    [answer] = await here.send(transaction)
    assert (answer.outcome, overtaken) == (Outcome.SUCCEEDED, 1)
    books.check()


async def test_one_that_its_pools_cannot_fill_any_more_reverts(container: Starting, books: Books) -> None:
    here = container()
    _, x_for_sol = [pool for pool in shipped().values() if pool.mints[1] == SOL.mint and BONK.mint not in pool.mints]
    coin = msgspec.structs.replace(BONK, mint=x_for_sol.mints[0], name="COIN")
    capacity = x_for_sol.curve(False, here.chain.clock()).capacity
    first, second = [await here.prepared(sell(SOL, coin, capacity * 2 // 3)) for _ in range(2)]
    done, refused = await here.send(first, second)
    assert (done.outcome, refused.outcome) == (Outcome.SUCCEEDED, Outcome.REVERTED)
    assert refused.reason
    assert books.check() == 1


# One transaction, more than once.


async def test_one_id_trades_once_however_often_it_is_sent(container: Starting, books: Books) -> None:
    here, there = container(), container()
    transaction, other = [await here.prepared(sell(SOL, USDC, SOME_SOL)) for _ in range(2)]
    first = await here.send(transaction, other, transaction)
    assert {answer.outcome for answer in first} == {Outcome.SUCCEEDED}
    assert await there.send(transaction) == first[:1]
    again, _ = await asyncio.gather(here.send(transaction, other), there.send(other, transaction))
    assert again == first[:2]
    assert books.check() == len(transaction.route.legs) + len(other.route.legs)


@pytest.mark.parametrize("after", [False, True])
async def test_a_fill_whose_reply_was_lost_is_run_again(container: Starting, books: Books, after: bool) -> None:
    here = container()
    transactions = [await here.prepared(sell(SOL, USDC, SOME_SOL)) for _ in range(3)]
    # The first statement asks for the pools.
    lost = lose_reply(here.database, 2, after=after, error=ConnectionLost)
    answers = await here.send(*transactions)
    assert "engine_all_or_none" in lost[0]
    assert {answer.outcome for answer in answers} == {Outcome.SUCCEEDED}
    assert books.check() == sum(len(each.route.legs) for each in transactions)


async def test_a_fill_whose_reply_is_lost_for_good_is_not_run_again(container: Starting, books: Books) -> None:
    here = container()
    transactions = [await here.prepared(sell(SOL, USDC, SOME_SOL)) for _ in range(3)]
    lose_reply(here.database, 2, after=True)
    with pytest.raises(OutcomeUnknown):
        await here.send(*transactions)
    assert {answer.outcome for answer in await container().send(*transactions)} == {Outcome.SUCCEEDED}
    assert books.check() == sum(len(each.route.legs) for each in transactions)


async def test_a_tombstoned_id_applies_nothing_and_holds_up_no_other(container: Starting, books: Books) -> None:
    here = container()
    dead, *others = [await here.prepared(sell(SOL, USDC, SOME_SOL)) for _ in range(4)]
    past = datetime.now(UTC) - timedelta(seconds=1)
    answer = await here.chain.decide(dead.tx_id, dead.attempt.order_id, past)
    assert answer.outcome == Outcome.DEAD
    assert [answer.outcome for answer in await here.send(dead)] == [Outcome.DEAD]
    assert set(books.versions().values()) == {1}
    answers = await here.send(*others[:1], dead, *others[1:])
    assert [answer.outcome for answer in answers] == ["succeeded", "dead", "succeeded", "succeeded"]
    assert books.check() == sum(len(each.route.legs) for each in others)


async def test_one_past_its_validity_applies_nothing_and_holds_up_no_other(container: Starting, books: Books) -> None:
    here = container()
    late, other = [await here.prepared(sell(SOL, USDC, SOME_SOL)) for _ in range(2)]
    past, future = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (-1, 15))
    await asyncio.gather(here.chain.send(late, past), here.chain.send(other, future))
    assert (await here.chain.ask(late.tx_id)).outcome == Outcome.UNKNOWN
    assert (await here.chain.ask(other.tx_id)).outcome == Outcome.SUCCEEDED
    assert (await here.chain.decide(late.tx_id, late.attempt.order_id, past)).outcome == Outcome.DEAD
    assert books.check() == len(other.route.legs)


async def test_the_ledger_has_the_time_on_which_fees_depend(database_url: str, books: Books) -> None:
    class Hurried(SystemClock):
        """Some seconds pass whenever somebody looks."""

        passed = 0

        def now(self) -> datetime:
            self.passed += 17
            return super().now() + timedelta(seconds=self.passed)

    here = Container(database_url, clock=Hurried())
    for amount in (300, 400, 500):
        assert (await here.trade(sell(SOL, USDC, amount * 10**9))).outcome == Outcome.SUCCEEDED
    await here.database.close()
    assert books.check() > 3
    moments = [trade.timestamp for entry in books.ledger() for trade in entry.trades]
    assert len(set(moments)) == 3


# Many at once.


async def test_many_at_once_on_one_pool_are_each_explained_by_the_ledger(container: Starting, books: Books) -> None:
    containers = [container() for _ in range(5)]
    terms = sell(SOL, USDC, 3 * 10**9)
    route = await containers[0].route(terms)
    assert len(route.legs) == 1
    transactions = [[await each.prepared(terms, route) for _ in range(10)] for each in containers]
    found = await asyncio.gather(*(each.send(*own) for each, own in zip(containers, transactions, strict=True)))
    answers = [answer for each in found for answer in each]
    assert {answer.outcome for answer in answers} == {Outcome.SUCCEEDED}
    assert len(books.ledger()) == 50
    assert books.check() == 50
    assert sorted((entry.amount_in, entry.amount_out) for entry in books.ledger()) == sorted(
        (answer.amount_in, answer.amount_out) for answer in answers
    )


async def test_many_of_all_kinds_at_once_are_each_explained_by_the_ledger(container: Starting, books: Books) -> None:
    containers = [container() for _ in range(4)]
    kinds = [
        sell(SOL, USDC, 200 * 10**9, "0.01"),
        sell(USDC, SOL, 20_000 * 10**6, "0.01"),
        sell(BONK, USDC, 10**13, "0.01"),
        sell(SOL, BONK, 0, "0.01", amount_out=10**13),
        sell(USDC, BONK, 10**9, "0.0001"),
    ]

    async def busy(each: Container) -> None:
        for _ in range(3):
            await each.send(*[await each.prepared(terms) for terms in kinds for _ in range(2)])

    await asyncio.gather(*map(busy, containers))
    assert len(books.ledger()) == 4 * 3 * 10
    assert set(books.outcomes()) <= {"succeeded", "reverted"}
    assert books.outcomes().count("succeeded") > 30
    assert books.check() > 30


# A pool that is held.


async def test_a_held_pool_costs_no_attempt_and_holds_up_no_other(
    container: Starting, database_url: str, books: Books
) -> None:
    here = container()
    held = [await here.prepared(sell(SOL, USDC, SOME_SOL)) for _ in range(20)]
    free = [await here.prepared(sell(SOL, BONK, 10**8)) for _ in range(20)]
    assert not {leg.pool for leg in held[0].route.legs} & {leg.pool for leg in free[0].route.legs}
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        pool = held[0].route.legs[0].pool
        await other.execute("SELECT 1 FROM pools WHERE address = %s FOR UPDATE", (pool,))
        answers = await here.send(*held, *free)
    assert {(answer.outcome, answer.untried) for answer in answers[:20]} == {(Outcome.DEAD, True)}
    assert {answer.outcome for answer in answers[20:]} == {Outcome.SUCCEEDED}
    # They were given up for good.
    assert {answer.outcome for answer in await container().send(*held)} == {Outcome.DEAD}
    assert (await here.trade(held[0].attempt.terms)).outcome == Outcome.SUCCEEDED
    books.check()


async def test_one_that_always_comes_second_is_given_up_untried(container: Starting, books: Books) -> None:
    here, other = container(), container()
    transaction = await here.prepared(sell(SOL, USDC, SOME_SOL))
    rival = await other.prepared(sell(SOL, USDC, 10**6), transaction.route)
    named = here.shelf.named

    async def overtaken(addresses: Collection[str]) -> dict[str, Shelved]:
        found = await named(addresses)
        await other.send(msgspec.structs.replace(rival, tx_id=f"MOCKTX_{len(books.ledger())}"))
        return found

    here.shelf.named = overtaken  # type: ignore[method-assign]
    [answer] = await here.send(transaction)
    assert (answer.outcome, answer.untried) == (Outcome.DEAD, True)
    assert books.check() == books.outcomes().count("succeeded")

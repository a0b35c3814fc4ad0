"""One claimed order against a journal in memory and a chain that says what it is told to."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest

from chalicelib.domain.claim import Claim, OpenSubmission
from chalicelib.domain.clock import SystemClock
from chalicelib.domain.errors import ClaimLost, EngineError, QuoteUnavailable, Unavailable
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Leg, Quote, Route
from chalicelib.domain.retry import MAX_ATTEMPTS, MAX_CRASHES, MAX_LAST_RESORTS, UNTRIED_SECONDS
from chalicelib.domain.token import Token
from chalicelib.domain.transition import Resolved, Transition
from chalicelib.execution.executor import PARK_SECONDS, Action, Disposition, Executor
from chalicelib.routing.router import Router
from chalicelib.solana.clock import Clock as ChainClock
from chalicelib.telemetry import Telemetry
from chalicelib.venues.base import Answer, Attempt, Outcome, Transaction

SOL, USDC, USDT = Token("SOL", 9, "S" * 43), Token("USDC", 6, "C" * 43), Token("USDT", 6, "T" * 43)
TERMS = Terms(SOL, USDC, 3_000_000_000, Decimal("0.02"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUCCEEDED = Answer(outcome=Outcome.SUCCEEDED, venue="Raydium", amount_in=3_000_000_000, amount_out=450_000_000)
UNSEEN = Answer(outcome=Outcome.UNKNOWN)
ROUTE = Route(
    legs=(
        Leg(
            pool="1",
            venue="Raydium",
            mint_in=SOL.key,
            mint_out=USDT.key,
            amount_in=2 * 10**9,
            amount_out=3 * 10**8,
            hop=1,
            fee_in=5_000_000,
        ),
        Leg(
            pool="2",
            venue="Meteora",
            mint_in=SOL.key,
            mint_out=USDT.key,
            amount_in=10**9,
            amount_out=15 * 10**7,
            hop=1,
            fee_in=2_000_000,
            fee_out=3,
        ),
        Leg(
            pool="3",
            venue="Meteora",
            mint_in=USDT.key,
            mint_out=USDC.key,
            amount_in=45 * 10**7,
            amount_out=449_000_000,
            hop=2,
            fee_in=4,
        ),
    ),
    middle=USDT,
    chosen=Quote(
        venue="Raydium + Meteora", amount_in=3 * 10**9, amount_out=449_000_000, fee=Decimal("0.0025"), liquidity=5
    ),
    other=Quote(venue="Raydium", amount_in=3 * 10**9, amount_out=440_000_000, fee=Decimal("0.0025"), liquidity=2),
    decision="Raydium + Meteora pays 2.045 % more than Raydium",
    min_amount_out=440_020_000,
    max_amount_in=3 * 10**9,
    price_impact=0.00123456,
    best_single=440_000_000,
)


class World:
    """All that an executor knows of: it notes what happens, in order."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.written: list[Transition] = []
        self.attempts: list[Attempt] = []
        self.answer = UNSEEN
        self.decided: Answer | None = None
        self.overdue = -5.0
        self.send_error: Exception | None = None
        self.quote_error: Exception | None = None
        self.write_error: Exception | None = None

    def put(self, transition: Transition) -> "asyncio.Future[datetime | None]":
        future: asyncio.Future[datetime | None] = asyncio.get_running_loop().create_future()
        if self.write_error is not None:
            future.set_exception(self.write_error)
            return future
        self.written.append(transition)
        self.happened.append("+".join([*(event.status for event in transition.events)]) or "release")
        future.set_result(NOW + timedelta(seconds=15) if transition.submission else None)
        return future

    async def submission(self, tx_id: str) -> OpenSubmission:
        return OpenSubmission(valid_until=NOW, overdue=self.overdue)

    async def route(self, attempt: Attempt) -> Route:
        self.attempts.append(attempt)
        if self.quote_error is not None:
            raise self.quote_error
        return ROUTE

    def clock(self) -> ChainClock:
        return ChainClock(slot=1, epoch=1, timestamp=1)

    def prepare(self, attempt: Attempt, route: Route) -> Transaction:
        return Transaction("MOCKTX_1", attempt, route, 15_000, 2.5)

    async def send(self, transaction: Transaction, valid_until: datetime) -> None:
        self.happened.append("send")
        if self.send_error is not None:
            raise self.send_error

    async def ask(self, tx_id: str) -> Answer:
        self.happened.append("ask")
        return self.answer

    async def decide(self, tx_id: str, order_id: UUID, valid_until: datetime) -> Answer:
        self.happened.append("decide")
        return self.decided or self.answer

    @property
    def executor(self) -> Executor:
        return Executor(
            journal=self,
            submissions=self,
            router=cast(Router, self),
            chain=self,
            clock=SystemClock(),
            telemetry=Telemetry("CRITICAL"),
        )


@pytest.fixture
def world() -> World:
    return World()


def claim(status: Status = Status.PENDING, **more: Any) -> Claim:
    given = {"attempts": 0, "crashes": 0, "last_seq": 1, "last_update": NOW, "terms": TERMS} | more
    return Claim(order_id=UUID(int=1), claim_token=7, status=status, **given)


def submitted(**more: Any) -> Claim:
    return claim(Status.SUBMITTED, **{"attempts": 1, "last_seq": 4, "open_tx": "MOCKTX_1"} | more)


def metas(transitions: Sequence[Transition]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.meta) for written in transitions for event in written.events]


async def test_an_attempt_writes_ahead_and_gives_the_claim_back_before_it_sends(world: World) -> None:
    assert await world.executor.run(claim()) == Disposition(Action.SEND_AGAIN, 3)
    assert world.happened == ["routing", "building+submitted", "send"]
    routing, ahead = world.written
    assert not routing.released
    assert (routing.attempts, routing.base_seq, routing.last_seq) == (1, 1, 2)
    assert (ahead.open_tx, ahead.status, ahead.submission and ahead.submission.tx_id) == (
        "MOCKTX_1",
        Status.SUBMITTED,
        "MOCKTX_1",
    )
    assert (ahead.released, ahead.next_try_ms) == (True, 3000)
    assert {written.claim_token for written in world.written} == {7}


async def test_the_building_frame_shows_the_route_leg_by_leg(world: World) -> None:
    await world.executor.run(claim())
    routing, building, submitted = metas(world.written)
    assert routing == {"step": "fetching quotes"}
    assert submitted == {"dex": "Raydium + Meteora"}
    legs = [
        ("Raydium", "1", "SOL", "USDT", "2000000000", "300000000"),
        ("Meteora", "2", "SOL", "USDT", "1000000000", "150000000"),
        ("Meteora", "3", "USDT", "USDC", "450000000", "449000000"),
    ]
    names = ("dex", "pool", "tokenIn", "tokenOut", "amountIn", "amountOut")
    amounts = {"amountIn": "3000000000", "amountOut": "449000000"}
    assert building["route"] == amounts | {
        # 3 SOL for 449 USDC, rounded up in the twelfth digit.
        "chosen": amounts | {"dex": "Raydium + Meteora", "price": 0.00668151447662, "fee": 0.0025, "liquidity": 5},
        "other": amounts
        | {"dex": "Raydium", "price": 0.00681818181819, "fee": 0.0025, "liquidity": 2, "amountOut": "440000000"},
        "decision": "Raydium + Meteora pays 2.045 % more than Raydium",
        "legs": [dict(zip(names, leg, strict=True)) for leg in legs],
        "minAmountOut": "440020000",
        "maxAmountIn": "3000000000",
        "priceImpact": 0.001235,
        "fees": {"Raydium": {"SOL": "5000000"}, "Meteora": {"SOL": "2000000", "USDT": "7"}},
        "bestSingle": "440000000",
    }


@pytest.mark.parametrize(
    ("terms", "bound"),
    [(TERMS, "440020000"), (msgspec.structs.replace(TERMS, amount=0, amount_out=440_020_000), "3000000000")],
    ids=["least output", "most input"],
)
async def test_a_write_ahead_holds_the_order_to_what_its_quote_allows(world: World, terms: Terms, bound: str) -> None:
    await world.executor.run(claim(terms=terms))
    (submission,) = [written.submission for written in world.written if written.submission]
    assert (submission.bound, submission.min_amount_out, submission.amount_in) == (bound, "440020000", "3000000000")
    assert [attempt.bound for attempt in world.attempts] == [None]


async def test_a_later_attempt_is_quoted_under_the_bound_of_the_first(world: World) -> None:
    await world.executor.run(claim(attempts=1, bound=440_020_000))
    assert [(attempt.number, attempt.bound) for attempt in world.attempts] == [(2, 440_020_000)]


@pytest.mark.parametrize("error", [ClaimLost("lost"), Unavailable("away")], ids=["lost", "away"])
async def test_what_was_not_written_ahead_is_never_sent(world: World, error: EngineError) -> None:
    world.write_error = error
    with pytest.raises(type(error)):
        await world.executor.run(claim())
    assert world.happened == []


async def test_a_failed_send_is_no_failure_of_the_attempt(world: World) -> None:
    world.send_error = Unavailable("the chain did not answer")
    found = await world.executor.run(claim())
    assert found.action == Action.SEND_AGAIN
    assert world.written[-1].open_tx == "MOCKTX_1"
    assert world.written[-1].released


@pytest.mark.parametrize("attempts", range(MAX_ATTEMPTS))
async def test_no_quote_is_a_retry_and_at_last_a_failure(world: World, attempts: int) -> None:
    world.quote_error = QuoteUnavailable("nobody quotes")
    found = await world.executor.run(claim(attempts=attempts))
    last = world.written[-1]
    assert last.attempts == attempts + 1
    assert last.released
    if attempts + 1 < MAX_ATTEMPTS:
        pause = 500 * 2**attempts
        assert metas([last]) == [{"retryAttempt": attempts + 1, "nextTryInMs": pause, "reason": "nobody quotes"}]
        assert (last.status, last.outcome, last.next_try_ms) == (Status.PENDING, None, pause)
        assert found == Disposition(Action.HAND_BACK, -(-pause // 1000))
    else:
        assert metas([last]) == [{"reason": "nobody quotes"}]
        assert (last.status, last.outcome, last.failure_reason) == (Status.FAILED, Status.FAILED, "nobody quotes")
        assert found == Disposition(Action.ACKNOWLEDGE)


@pytest.mark.parametrize("status", [Status.ROUTING, Status.BUILDING])
@pytest.mark.parametrize("attempts", range(1, MAX_ATTEMPTS + 1))
async def test_an_interrupted_attempt_is_over_and_the_next_begins_at_once(
    world: World, status: Status, attempts: int
) -> None:
    await world.executor.run(claim(status, attempts=attempts))
    if attempts < MAX_ATTEMPTS:
        assert world.happened == ["pending", "routing", "building+submitted", "send"]
        assert metas(world.written)[0] == {"retryAttempt": attempts, "nextTryInMs": 0, "reason": "interrupted"}
    else:
        assert world.happened == ["failed"]
        assert world.written[0].failure_reason == "interrupted"


async def test_a_landed_transaction_confirms(world: World) -> None:
    world.answer = SUCCEEDED
    assert await world.executor.run(submitted()) == Disposition(Action.ACKNOWLEDGE)
    assert world.happened == ["ask", "confirmed"]
    (last,) = world.written
    assert (last.outcome, last.open_tx, last.tx_hash) == (Status.CONFIRMED, None, "MOCKTX_1")
    assert last.resolved
    assert (last.resolved.tx_id, last.resolved.outcome) == ("MOCKTX_1", "succeeded")
    assert metas([last])[0]["executedPrice"] == pytest.approx(3 / 450)


@pytest.mark.parametrize("outcome", [Outcome.REVERTED, Outcome.DEAD])
@pytest.mark.parametrize("attempts", [1, MAX_ATTEMPTS])
async def test_a_transaction_that_moved_nothing_is_a_retryable_failure(
    world: World, outcome: Outcome, attempts: int
) -> None:
    world.answer = Answer(outcome=outcome, reason="slippage exceeded")
    await world.executor.run(submitted(attempts=attempts))
    (last,) = world.written
    assert last.status == (Status.PENDING if attempts < MAX_ATTEMPTS else Status.FAILED)
    assert last.open_tx is None
    assert last.resolved
    assert last.resolved.outcome == outcome
    assert metas([last])[0]["reason"] == "slippage exceeded"


@pytest.mark.parametrize("attempts", range(1, MAX_ATTEMPTS + 1))
@pytest.mark.parametrize("path", ["run", "resolve"])
async def test_a_transaction_that_could_not_be_tried_costs_no_attempt(world: World, path: str, attempts: int) -> None:
    world.answer = Answer(outcome=Outcome.DEAD, reason="it could not be tried", untried=True)
    found = await getattr(world.executor, path)(submitted(attempts=attempts))
    (last,) = world.written
    assert (last.status, last.attempts, last.open_tx) == (Status.PENDING, attempts - 1, None)
    assert last.resolved == Resolved("MOCKTX_1", Outcome.DEAD)
    pause = 500 * 2 ** max(attempts - 2, 0)
    assert metas([last]) == [{"retryAttempt": attempts - 1, "nextTryInMs": pause, "reason": "it could not be tried"}]
    assert last.next_try_ms == pause
    assert (found.action, found.seconds) == (Action.HAND_BACK if path == "run" else Action.SEND_AGAIN, 1)


def tried_for(seconds: float) -> dict[str, Any]:
    """Of a claim: the timeline of an order that was first tried so long ago."""
    began = int((SystemClock().now().timestamp() - seconds) * 1000)
    return {"timeline": ((Status.PENDING, 0), (Status.ROUTING, began), (Status.ROUTING, began + int(seconds * 1000)))}


async def test_an_order_that_could_not_be_tried_for_long_comes_to_its_end(world: World) -> None:
    world.answer = Answer(outcome=Outcome.DEAD, reason="its pools were in use", untried=True)
    await world.executor.run(submitted(**tried_for(UNTRIED_SECONDS - 10)))
    assert (world.written[-1].status, world.written[-1].attempts) == (Status.PENDING, 0)
    for attempts in range(1, MAX_ATTEMPTS + 1):
        await world.executor.run(submitted(attempts=attempts, **tried_for(UNTRIED_SECONDS + 1)))
        last = world.written[-1]
        assert (last.status, last.attempts) == (Status.FAILED if attempts == MAX_ATTEMPTS else Status.PENDING, attempts)
    assert last.failure_reason == "its pools were in use"


async def test_for_a_while_an_order_is_tried_however_often_it_could_not_be(world: World) -> None:
    world.answer = Answer(outcome=Outcome.DEAD, untried=True)
    attempts = MAX_ATTEMPTS - 1
    for _ in range(20):
        await world.executor.run(claim(attempts=attempts))
        assert world.attempts[-1].number == MAX_ATTEMPTS
        await world.executor.run(submitted(attempts=world.written[-1].attempts))
        attempts = world.written[-1].attempts
    assert world.written[-1].status == Status.PENDING
    world.answer = Answer(outcome=Outcome.REVERTED)
    await world.executor.run(submitted(attempts=MAX_ATTEMPTS))
    assert world.written[-1].status == Status.FAILED


@pytest.mark.parametrize(
    ("answer", "overdue", "crashes", "what"),
    [
        (Answer(outcome=Outcome.UNKNOWN, ask_again=2), 0.0, 0, "later"),
        (Answer(outcome=Outcome.UNKNOWN, ask_again=2), 10.0**6, MAX_CRASHES, "later"),
        (UNSEEN, -1.0, 0, "later"),
        (UNSEEN, -1.0, MAX_CRASHES, "later"),
        (UNSEEN, 1.0, 0, "later"),
        (UNSEEN, PARK_SECONDS + 1, 0, "parked"),
        (UNSEEN, 1.0, MAX_CRASHES, "parked"),
    ],
)
@pytest.mark.parametrize("path", ["run", "resolve"])
async def test_an_unknown_transaction_is_asked_for_again_or_parked_and_never_ends(
    world: World, path: str, *, answer: Answer, overdue: float, crashes: int, what: str
) -> None:
    world.answer, world.overdue = answer, overdue
    found = await getattr(world.executor, path)(submitted(attempts=MAX_ATTEMPTS, crashes=crashes))
    (last,) = world.written
    assert (last.status, last.open_tx, last.outcome, last.events) == (Status.SUBMITTED, "MOCKTX_1", None, ())
    assert last.released
    assert last.parked == (what == "parked")
    assert found.action == (Action.ACKNOWLEDGE if what == "parked" else Action.SEND_AGAIN)
    assert ("decide" in world.happened) == (overdue > 0 and answer.ask_again is None)


@pytest.mark.parametrize(("crashes", "parked"), [(MAX_LAST_RESORTS - 1, False), (MAX_LAST_RESORTS, True)])
async def test_the_dead_letters_ask_no_more_where_asking_keeps_crashing(
    world: World, crashes: int, *, parked: bool
) -> None:
    world.answer = Answer(outcome=Outcome.UNKNOWN, ask_again=2)
    found = await world.executor.resolve(submitted(crashes=crashes))
    (last,) = world.written
    assert (last.parked, last.released, last.outcome, last.open_tx) == (parked, True, None, "MOCKTX_1")
    assert ("ask" in world.happened) == (not parked)
    assert last.crashes == (crashes if parked else 0)
    assert found.action == (Action.ACKNOWLEDGE if parked else Action.SEND_AGAIN)


async def test_what_is_dead_is_decided_and_not_read(world: World) -> None:
    world.overdue, world.decided = 1.0, SUCCEEDED
    await world.executor.run(submitted())
    # Between asking and deciding it landed after all.
    assert world.happened == ["ask", "decide", "confirmed"]


@pytest.mark.parametrize("status", [Status.PENDING, Status.ROUTING, Status.BUILDING])
async def test_the_dead_letters_send_on_what_can_go_on_and_fail_what_cannot(world: World, status: Status) -> None:
    assert await world.executor.resolve(claim(status, attempts=1)) == Disposition(Action.SEND_AGAIN, 0)
    assert world.happened == ["release"]
    found = await world.executor.resolve(claim(status, attempts=1, crashes=MAX_CRASHES))
    assert found == Disposition(Action.ACKNOWLEDGE)
    assert world.happened == ["release", "failed"]
    assert f"crashed {MAX_CRASHES} times" in str(world.written[-1].failure_reason)


async def test_a_retry_found_by_the_dead_letters_goes_to_the_orders_queue(world: World) -> None:
    world.answer = Answer(outcome=Outcome.REVERTED)
    assert await world.executor.resolve(submitted()) == Disposition(Action.SEND_AGAIN, 1)


async def test_an_illegal_transition_is_a_defect_and_writes_nothing(world: World) -> None:
    with pytest.raises(AssertionError, match="is not a transition"):
        await world.executor.run(claim(Status.CONFIRMED))
    assert world.written == []

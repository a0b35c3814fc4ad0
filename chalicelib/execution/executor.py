"""One claimed order: from routing to a transaction sent, and from a transaction sent to its outcome."""

import asyncio
import math
from collections.abc import Awaitable
from enum import StrEnum
from typing import Protocol

import msgspec

from chalicelib.domain.claim import Claim, OpenSubmission
from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import AttemptFailed, BoundUnmet, EngineError
from chalicelib.domain.lifecycle import REASONS, Status
from chalicelib.domain.order_types.base import waiting_for
from chalicelib.domain.quote import Route, price
from chalicelib.domain.retry import (
    MAX_ATTEMPTS,
    MAX_CRASHES,
    MAX_LAST_RESORTS,
    UNTRIED_SECONDS,
    backoff_ms,
    rest_ms,
    whole_seconds,
)
from chalicelib.domain.transition import Resolved, Rest, Submission
from chalicelib.execution.hold import Hold, TransitionLog
from chalicelib.routing.describe import describe
from chalicelib.routing.router import Router
from chalicelib.telemetry import Telemetry
from chalicelib.venues.base import Answer, Attempt, Chain, Outcome

# An unresolved transaction that the chain still doesn't know so long after its validity waits for an operator.
PARK_SECONDS = 300
ASK_AGAIN_SECONDS = 2
# How long to wait for the chain; two of these fit into an invocation.
CHAIN_SECONDS = 2.0


class Action(StrEnum):
    """What becomes of the message that brought an order."""

    # Nothing more to do with it.
    ACKNOWLEDGE = "acknowledge"
    # A new message replaces it; this is no failure and burns no receive.
    SEND_AGAIN = "send again"
    # It comes back itself, as a retry does.
    HAND_BACK = "hand back"
    # Only the dead-letter function may go on.
    DEAD_LETTER = "dead letter"


class Disposition(msgspec.Struct, frozen=True):
    """An action, and after how many whole seconds it takes effect."""

    action: Action
    seconds: int = 0


DONE = Disposition(Action.ACKNOWLEDGE)


class Submissions(Protocol):
    """Where write-aheads are found again."""

    async def submission(self, tx_id: str) -> OpenSubmission:
        """The write-ahead of an unresolved transaction."""
        ...


class Executor:
    """Takes a claimed order as far as it goes without waiting for a transaction to land."""

    def __init__(
        self,
        *,
        journal: TransitionLog,
        submissions: Submissions,
        router: Router,
        chain: Chain,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._journal = journal
        self._submissions = submissions
        self._router = router
        self._chain = chain
        self._clock = clock
        self._telemetry = telemetry

    async def run(self, claim: Claim) -> Disposition:
        """Work on an order under a fresh claim, and give the claim back.

        Raises ClaimLost, Unavailable or StatementRefused from the journal; the claim is then its caller's to give back.
        """
        hold = Hold(claim, self._journal, self._clock, self._telemetry)
        if hold.open_tx is not None:
            return await self._reconcile(hold, hold.open_tx)
        if hold.ending is not None:
            return await self._end(hold, hold.ending)
        if hold.fresh and not hold.kind.at_once:
            return await self._rest(hold)
        if hold.status in (Status.ROUTING, Status.BUILDING):
            # The claim before this one died with nothing sent.
            if hold.attempts >= MAX_ATTEMPTS:
                return await self._end(hold, Status.FAILED, "interrupted")
            self._put_retry(hold, "interrupted", 0)
        return await self._attempt(hold)

    async def resolve(self, claim: Claim) -> Disposition:
        """The same for an order whose message ended among the dead letters: settles it, or sends it on its way."""
        hold = Hold(claim, self._journal, self._clock, self._telemetry)
        if hold.open_tx is not None and hold.crashes >= MAX_LAST_RESORTS:
            # Asking is what crashes. The count stays, so that nobody asks again until an operator resumes the order.
            found = await self._park(hold, f"its claims crashed {hold.crashes} times", crashes=hold.crashes)
        elif hold.open_tx is not None:
            found = await self._reconcile(hold, hold.open_tx)
        elif hold.ending is not None:
            found = await self._end(hold, hold.ending)
        elif hold.crashes >= MAX_CRASHES:
            found = await self._end(
                hold, Status.FAILED, f"the worker crashed {hold.crashes} times while it held the order"
            )
        else:
            found = await self._ask_later(hold, 0)
        # Its own message came from another queue than the one that retries belong to.
        return Disposition(Action.SEND_AGAIN, found.seconds) if found.action == Action.HAND_BACK else found

    async def _attempt(self, hold: Hold) -> Disposition:
        attempt = self._next_attempt(hold)
        hold.put(hold.event(Status.ROUTING, {"step": "fetching quotes"}))
        try:
            route = await self._router.route(attempt)
        except BoundUnmet as error:
            return await self._unfilled(hold, str(error), impact=error.price_impact)
        except AttemptFailed as error:
            return await self._unfilled(hold, str(error))
        self._telemetry.routed(hold.order_id, route.decision)
        return await self._submit(hold, attempt, route)

    def _next_attempt(self, hold: Hold) -> Attempt:
        if hold.kind.unfilled(hold.terms) is None:
            hold.attempts += 1
            return Attempt(hold.order_id, hold.attempts, hold.terms, hold.bound)
        # No attempt that counts: each evaluation is held to the order's own bound, or to what is quoted then.
        return Attempt(hold.order_id, hold.next_seq, hold.terms, hold.kind.bound(hold.terms))

    async def _submit(self, hold: Hold, attempt: Attempt, route: Route) -> Disposition:
        transaction = self._chain.prepare(attempt, route)
        building = hold.event(Status.BUILDING, {"route": describe(hold.terms, route)})
        submitted = hold.event(Status.SUBMITTED, {"dex": route.chosen.venue})
        hold.open_tx = transaction.tx_id
        # The claim ends with the write-ahead: whoever has the order from here on only asks the chain, and sending late
        # does no harm.
        ask_after = math.ceil(transaction.lands_after)
        hold.put(
            building,
            submitted,
            submission=Submission(
                tx_id=transaction.tx_id,
                attempt=attempt.number,
                venue=route.chosen.venue,
                amount_in=str(route.max_amount_in),
                min_amount_out=str(route.min_amount_out),
                bound=str(route.max_amount_in if hold.terms.amount_out else route.min_amount_out),
                valid_ms=transaction.valid_ms,
            ),
            released=True,
            next_try_ms=ask_after * 1000,
        )
        valid_until = await hold.sync()
        if valid_until is None:
            raise AssertionError(f"order {hold.order_id}: a write-ahead without a validity")
        try:
            async with asyncio.timeout(CHAIN_SECONDS):
                await self._chain.send(transaction, valid_until)
        except (EngineError, TimeoutError) as error:
            # It may have arrived all the same: from here on only the chain can say.
            self._telemetry.failure("sending failed, the chain will be asked", error, orderId=str(hold.order_id))
        return Disposition(Action.SEND_AGAIN, ask_after)

    async def _reconcile(self, hold: Hold, tx_id: str) -> Disposition:
        """Ask the chain for the unresolved transaction; it makes no difference why it is being asked."""
        answer = await _heard(self._chain.ask(tx_id))
        overdue = 0.0
        if answer.outcome == Outcome.UNKNOWN and answer.ask_again is None:
            submission = await self._submissions.submission(tx_id)
            overdue = submission.overdue
            if overdue > 0:
                answer = await _heard(self._chain.decide(tx_id, hold.order_id, submission.valid_until))
        if answer.outcome == Outcome.UNKNOWN:
            if overdue > (0 if hold.crashes >= MAX_CRASHES else PARK_SECONDS):
                return await self._park(hold, "its transaction is unknown")
            return await self._ask_later(hold, answer.ask_again or ASK_AGAIN_SECONDS)
        hold.open_tx = None
        if answer.outcome == Outcome.SUCCEEDED:
            return await self._confirm(hold, tx_id, answer)
        if answer.untried and hold.attempts and hold.seconds_tried() < UNTRIED_SECONDS:
            hold.attempts -= 1
        reason = answer.reason or "the transaction never landed"
        return await self._unfilled(hold, reason, Resolved(tx_id, answer.outcome))

    async def _confirm(self, hold: Hold, tx_id: str, answer: Answer) -> Disposition:
        hold.tx_hash = tx_id
        meta = {
            "txHash": tx_id,
            "executedPrice": price(hold.terms.token_in, hold.terms.token_out, answer.amount_in, answer.amount_out),
            "dex": answer.venue,
            "amountIn": str(answer.amount_in),
            "amountOut": str(answer.amount_out),
        }
        event = hold.event(Status.CONFIRMED, meta)
        hold.put(event, released=True, resolved=Resolved(tx_id, answer.outcome))
        await hold.sync()
        self._ended(hold, answer.venue)
        return DONE

    async def _unfilled(
        self, hold: Hold, reason: str, resolved: Resolved | None = None, impact: float | None = None
    ) -> Disposition:
        """An evaluation ended without a fill: its type says what follows, unless the order has to end."""
        match hold.ending or hold.kind.unfilled(hold.terms):
            case None:
                return await self._retry(hold, reason, resolved)
            case Status.OPEN:
                return await self._rest(hold, reason, resolved, impact)
            case ending:
                return await self._end(hold, ending, reason, resolved)

    async def _rest(
        self,
        hold: Hold,
        reason: str | None = None,
        resolved: Resolved | None = None,
        impact: float | None = None,
    ) -> Disposition:
        """Nobody works on the order any more until the reference price is where it has to be."""
        watch = hold.kind.watch(hold.terms, impact or 0.0)
        # Where the market stands still, what fires it would only fail again at once.
        pause = 0 if reason is None else rest_ms(hold.rests)
        meta = waiting_for(watch) | ({} if reason is None else {"reason": reason})
        hold.put(
            hold.event(Status.OPEN, meta),
            released=True,
            next_try_ms=pause,
            resolved=resolved,
            watch=Rest.of(hold.terms, watch),
        )
        await hold.sync()
        return DONE

    async def _retry(self, hold: Hold, reason: str, resolved: Resolved | None = None) -> Disposition:
        """A retryable failure: another attempt after a pause, or the end."""
        exhausted = hold.attempts >= MAX_ATTEMPTS or hold.crashes >= MAX_CRASHES
        if exhausted:
            return await self._end(hold, Status.FAILED, reason, resolved)
        pause = backoff_ms(hold.attempts)
        self._put_retry(hold, reason, pause, released=True, resolved=resolved)
        await hold.sync()
        return Disposition(Action.HAND_BACK, whole_seconds(pause))

    def _put_retry(
        self, hold: Hold, reason: str, pause: int, *, released: bool = False, resolved: Resolved | None = None
    ) -> None:
        self._telemetry.attempt_failed(hold.order_id, hold.attempts, reason)
        meta = {"retryAttempt": hold.attempts, "nextTryInMs": pause, "reason": reason}
        hold.put(hold.event(Status.PENDING, meta), released=released, next_try_ms=pause, resolved=resolved)

    async def _end(
        self, hold: Hold, ending: Status, why: str | None = None, resolved: Resolved | None = None
    ) -> Disposition:
        """The order ends without a fill."""
        hold.failure_reason = REASONS.get(hold.ending) if hold.ending else why
        hold.put(hold.event(ending, {"reason": hold.failure_reason}), released=True, resolved=resolved)
        await hold.sync()
        self._ended(hold, None)
        return DONE

    async def _park(self, hold: Hold, why: str, crashes: int = 0) -> Disposition:
        # An operator has been told of one that stays parked, but not that nobody asks for it any more.
        if crashes or not hold.parked:
            self._telemetry.failure("order parked for an operator", why, orderId=str(hold.order_id))
        hold.put(released=True, parked=True, crashes=crashes)
        await hold.sync()
        return DONE

    async def _ask_later(self, hold: Hold, seconds: int) -> Disposition:
        hold.put(released=True, next_try_ms=seconds * 1000)
        await hold.sync()
        return Disposition(Action.SEND_AGAIN, seconds)

    def _ended(self, hold: Hold, venue: str | None) -> None:
        self._telemetry.ended(
            hold.order_id,
            hold.status,
            attempts=hold.attempts,
            venue=venue,
            milliseconds=hold.milliseconds(),
            reason=hold.failure_reason,
        )


async def _heard(asked: Awaitable[Answer]) -> Answer:
    """What the chain answers; one that keeps silent does not know."""
    try:
        async with asyncio.timeout(CHAIN_SECONDS):
            return await asked
    except TimeoutError:
        return Answer(outcome=Outcome.UNKNOWN)

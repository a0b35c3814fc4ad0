"""The simulated chain: a swap lands two to three seconds after it was sent, once, or never."""

from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from chalicelib.domain.clock import Clock
from chalicelib.domain.quote import Route
from chalicelib.solana.clock import Clock as ChainClock
from chalicelib.store.ledger import Swap
from chalicelib.venues import ledger_chain
from chalicelib.venues.base import Answer, Attempt, Outcome, Transaction
from chalicelib.venues.ledger_chain import LANDING_SECONDS, VALID_MS, Entries
from chalicelib.venues.simulated.draws import Draws

# Sandbox tokens: as token_out, every attempt fails, or the first two do.
ALWAYS_FAILS = "FAIL"
FAILS_TWICE = "FLAKY"
FLAKY_FAILURES = 2
# Share by which an execution may differ from its quote, either way.
DRIFT = 0.004


class SwapLedger(Entries, Protocol):
    """Where the chain keeps its transactions."""

    async def land(self, swap: Swap) -> None:
        """Take a transaction in, unless its id is known already or it comes too late."""
        ...


class SimulatedChain:
    """Decides what a swap will pay when it is sent, and tells once it has landed."""

    def __init__(self, ledger: SwapLedger, draws: Draws, clock: Clock, time_scale: float) -> None:
        self._ledger = ledger
        self._draws = draws
        self._clock = clock
        self._time_scale = time_scale

    def clock(self) -> ChainClock:
        """The chain's time: its prices do not depend on slots."""
        return ChainClock(slot=0, epoch=0, timestamp=int(self._clock.now().timestamp()))

    def prepare(self, attempt: Attempt, route: Route) -> Transaction:
        """Make the transaction of a route."""
        delay = self._draws.uniform(attempt, route.chosen.venue, "landing", *LANDING_SECONDS) * self._time_scale
        return Transaction(self._draws.tx_id(attempt), attempt, route, VALID_MS, delay)

    async def send(self, transaction: Transaction, valid_until: datetime) -> None:
        """Send it; returns at once."""
        attempt, route = transaction.attempt, transaction.route
        venue, terms = route.chosen.venue, attempt.terms
        drift = 1 + Decimal(f"{self._draws.uniform(attempt, venue, 'drift', -DRIFT, DRIFT):.6f}")
        amount_in, amount_out = route.chosen.amount_in, route.chosen.amount_out
        if terms.amount_out:
            amount_in = max(1, int(amount_in * drift))
        else:
            amount_out = max(1, int(amount_out * drift))
        reason = _sandbox_failure(attempt) or route.objection(amount_in, amount_out)
        await self._ledger.land(
            Swap(
                tx_id=transaction.tx_id,
                order_id=attempt.order_id,
                outcome=Outcome.REVERTED if reason else Outcome.SUCCEEDED,
                venue=venue,
                amount_in=amount_in,
                amount_out=0 if reason else amount_out,
                reason=reason,
                delay=transaction.lands_after,
                valid_until=valid_until,
            )
        )

    async def ask(self, tx_id: str) -> Answer:
        """What became of it."""
        return await ledger_chain.ask(self._ledger, tx_id)

    async def decide(self, tx_id: str, order_id: UUID, valid_until: datetime) -> Answer:
        """The same for one past `valid_until` that the chain has not seen: from now on it can't land any more."""
        return await ledger_chain.decide(self._ledger, tx_id, order_id, valid_until)


def _sandbox_failure(attempt: Attempt) -> str | None:
    token = attempt.terms.token_out.name
    if token == ALWAYS_FAILS:
        return "the sandbox token FAIL fails every attempt"
    if token == FAILS_TWICE and attempt.number <= FLAKY_FAILURES:
        return f"the sandbox token FLAKY fails its first {FLAKY_FAILURES} attempts"
    return None

"""The simulated chain: a swap lands two to three seconds after it was sent, once, or never."""

from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from chalicelib.domain.quote import Route
from chalicelib.store.ledger import LedgerEntry, Swap
from chalicelib.venues.base import Answer, Attempt, Outcome, Transaction
from chalicelib.venues.simulated.draws import Draws

# Sandbox tokens: as token_out, every attempt fails, or the first two do.
ALWAYS_FAILS = "FAIL"
FAILS_TWICE = "FLAKY"
FLAKY_FAILURES = 2
LANDING_SECONDS = (2.0, 3.0)
# Share by which an execution may differ from its quote, either way.
DRIFT = 0.004
VALID_MS = 15_000


class SwapLedger(Protocol):
    """Where the chain keeps its transactions."""

    async def land(self, swap: Swap) -> None:
        """Take a transaction in, unless its id is known already or it comes too late."""
        ...

    async def look(self, tx_id: str) -> LedgerEntry | None:
        """What is known of a transaction."""
        ...

    async def tombstone(self, tx_id: str, order_id: UUID, valid_until: datetime) -> None:
        """Decide that a transaction past its validity never lands, unless it is there."""
        ...


class SimulatedChain:
    """Decides what a swap will pay when it is sent, and tells once it has landed."""

    def __init__(self, ledger: SwapLedger, draws: Draws, time_scale: float) -> None:
        self._ledger = ledger
        self._draws = draws
        self._time_scale = time_scale

    def prepare(self, attempt: Attempt, route: Route) -> Transaction:
        """Make the transaction of a route."""
        delay = self._draws.uniform(attempt, route.chosen.venue, "landing", *LANDING_SECONDS) * self._time_scale
        return Transaction(self._draws.tx_id(attempt), attempt, route, VALID_MS, delay)

    async def send(self, transaction: Transaction, valid_until: datetime) -> None:
        """Send it; returns at once."""
        attempt, route = transaction.attempt, transaction.route
        venue = route.chosen.venue
        drift = 1 + Decimal(f"{self._draws.uniform(attempt, venue, 'drift', -DRIFT, DRIFT):.6f}")
        amount_out = max(1, int(route.chosen.amount_out * drift))
        reason = _sandbox_failure(attempt) or _slippage(route, amount_out)
        await self._ledger.land(
            Swap(
                tx_id=transaction.tx_id,
                order_id=attempt.order_id,
                outcome=Outcome.REVERTED if reason else Outcome.SUCCEEDED,
                venue=venue,
                amount_in=attempt.terms.amount,
                amount_out=0 if reason else amount_out,
                reason=reason,
                delay=transaction.lands_after,
                valid_until=valid_until,
            )
        )

    async def ask(self, tx_id: str) -> Answer:
        """What became of it."""
        entry = await self._ledger.look(tx_id)
        if entry is None:
            return Answer(outcome=Outcome.UNKNOWN)
        if entry.wait > 0:
            return Answer(outcome=Outcome.UNKNOWN, ask_again=entry.wait)
        return Answer(
            outcome=Outcome(entry.outcome),
            venue=entry.venue or "",
            amount_in=entry.amount_in or 0,
            amount_out=entry.amount_out or 0,
            reason=entry.reason or "",
        )

    async def decide(self, tx_id: str, order_id: UUID, valid_until: datetime) -> Answer:
        """The same for one past `valid_until` that the chain has not seen: from now on it can't land any more."""
        await self._ledger.tombstone(tx_id, order_id, valid_until)
        # The unique key may have decided for the transaction, so what holds is read in a statement of its own.
        return await self.ask(tx_id)


def _sandbox_failure(attempt: Attempt) -> str | None:
    token = attempt.terms.token_out.name
    if token == ALWAYS_FAILS:
        return "the sandbox token FAIL fails every attempt"
    if token == FAILS_TWICE and attempt.number <= FLAKY_FAILURES:
        return f"the sandbox token FLAKY fails its first {FLAKY_FAILURES} attempts"
    return None


def _slippage(route: Route, amount_out: int) -> str | None:
    if amount_out >= route.min_amount_out:
        return None
    return f"slippage exceeded: {amount_out} is less than the minimum of {route.min_amount_out} base units"

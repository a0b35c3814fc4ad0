"""Asks every venue for a quote, side by side, and chooses the one that pays most."""

import asyncio
import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from chalicelib.domain.errors import EngineError, QuoteUnavailable
from chalicelib.domain.quote import Quote, Route
from chalicelib.venues.base import Attempt, Venue

# A venue that has not answered by then is left out.
QUOTE_DEADLINE_SECONDS = 2.0


class Router:
    """Chooses among venues."""

    def __init__(self, venues: Sequence[Venue], deadline: float = QUOTE_DEADLINE_SECONDS) -> None:
        self._venues = venues
        self._deadline = deadline

    async def route(self, attempt: Attempt) -> Route:
        """The best route now. Raises QuoteUnavailable, naming what each venue said, if none gave a quote in time."""
        asked = {venue.name: asyncio.ensure_future(venue.quote(attempt)) for venue in self._venues}
        try:
            _, late = await asyncio.wait(asked.values(), timeout=self._deadline)
        finally:
            for task in asked.values():
                task.cancel()
        if late:
            # Cancelled tasks end in the next turn of the loop.
            await asyncio.sleep(0)
        quotes: list[Quote] = []
        missing: list[str] = []
        for name, task in asked.items():
            if task in late:
                missing.append(f"{name}: no answer in {self._deadline:g} s")
            elif (error := task.exception()) is not None:
                missing.append(str(error) if isinstance(error, EngineError) else f"{name}: {error!r}")
            else:
                quotes.append(task.result())
        if not quotes:
            raise QuoteUnavailable("; ".join(missing))
        return choose(quotes, missing, attempt.terms.slippage_tolerance)


def choose(quotes: Sequence[Quote], missing: Sequence[str], slippage_tolerance: Decimal) -> Route:
    """The quote with the largest output, the best of the others, and the reason in words."""
    best, *others = sorted(quotes, key=lambda quote: (-quote.amount_out, quote.venue))
    reasons = [_compare(best, others[0])] if others else [f"{best.venue}: the only quote"]
    return Route(
        chosen=best,
        other=others[0] if others else None,
        decision="; ".join([*reasons, *missing]),
        min_amount_out=max(1, math.ceil(best.amount_out * (1 - Fraction(slippage_tolerance)))),
    )


def _compare(best: Quote, other: Quote) -> str:
    if best.amount_out == other.amount_out:
        return f"{best.venue} and {other.venue} pay the same"
    gain = (Decimal(best.amount_out) / other.amount_out - 1) * 100
    return f"{best.venue} pays {gain:.3f} % more than {other.venue}"

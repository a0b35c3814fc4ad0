"""recurring: a market order every so often, so many times; each run is an order of its own."""

from decimal import Decimal

import msgspec

from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Terms
from chalicelib.domain.order_types.base import EXPIRES_AT, GTC, GTD, Field, Kind, OrderType, priced, time_in_force

EVERY, COUNT, MIN_PRICE, MAX_PRICE = "every", "count", "minPrice", "maxPrice"
LEAST_SECONDS, MOST_SECONDS = 60, 366 * 24 * 3600
MOST_RUNS = 10_000


class Schedule(msgspec.Struct, frozen=True):
    """Every so many seconds, so many times."""

    every: int
    count: int


class Recurring(OrderType):
    """Stays open until its last run has ended. A run that would be late, overlap or be out of bounds is skipped."""

    name = "recurring"
    about = "a market order of the amount every so many seconds, count times; each run is an order of its own"
    fields = (
        Field(
            name=EVERY,
            kind=Kind.WHOLE,
            required=True,
            about="seconds from run to run",
            least=LEAST_SECONDS,
            most=MOST_SECONDS,
        ),
        Field(name=COUNT, kind=Kind.WHOLE, required=True, about="how many runs", least=1, most=MOST_RUNS),
        Field(name=MIN_PRICE, kind=Kind.PRICE, about="skip runs while the reference price is below"),
        Field(name=MAX_PRICE, kind=Kind.PRICE, about="skip runs while the reference price is above"),
        time_in_force(GTC, GTD),
        EXPIRES_AT,
    )
    at_once = False

    def unfilled(self, terms: Terms) -> Status | None:
        """It never executes itself."""
        return Status.OPEN

    def schedule(self, terms: Terms) -> Schedule:
        """When it runs."""
        return Schedule(int(terms.details[EVERY]), int(terms.details[COUNT]))

    def run(self, terms: Terms) -> Terms:
        """The terms of one run."""
        return msgspec.structs.replace(terms, order_type="market", details={})

    def objection(self, terms: Terms, reference: Decimal) -> str | None:
        """Why a run at a reference price is to be skipped; None where it is not."""
        low, high = priced(terms, MIN_PRICE), priced(terms, MAX_PRICE)
        if low is not None and reference < low:
            return f"the reference price {reference:f} is below minPrice {low:f}"
        if high is not None and reference > high:
            return f"the reference price {reference:f} is above maxPrice {high:f}"
        return None

    def bounded(self, terms: Terms) -> bool:
        """Whether a run depends on the reference price."""
        return MIN_PRICE in terms.details or MAX_PRICE in terms.details

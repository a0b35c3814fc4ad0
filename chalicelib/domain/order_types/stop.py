"""stop: swapped once the reference price has risen to its trigger, to lose no more."""

from collections.abc import Sequence

from chalicelib.domain.order import Terms
from chalicelib.domain.order_types.base import EXPIRES_AT, GTC, GTD, Field, Kind, Resting, Watch, priced, time_in_force
from chalicelib.domain.order_types.limit import LIMIT_PRICE, limit_bound

TRIGGER_PRICE = "triggerPrice"


def trigger_fields(when: str) -> Sequence[Field]:
    """Those of a type that fires at a price."""
    return (
        Field(name=TRIGGER_PRICE, kind=Kind.PRICE, required=True, about=f"fires when the reference price is {when}"),
        Field(name=LIMIT_PRICE, kind=Kind.PRICE, about="the most tokenIn for one tokenOut, once it has fired"),
        time_in_force(GTC, GTD),
        EXPIRES_AT,
    )


class Stop(Resting):
    """Fires when the reference price is at its trigger or above; within slippageTolerance of the quote then."""

    name = "stop"
    about = "swapped once the reference price, tokenIn for one tokenOut, is at triggerPrice or above"
    fields = trigger_fields("at least so high")
    at_once = False
    refused_past_trigger = True

    def bound(self, terms: Terms) -> int | None:
        """Of its limit price, where it has one."""
        return limit_bound(terms)

    def watch(self, terms: Terms, impact: float = 0.0) -> Watch | None:
        """A reference price at its trigger or above."""
        price = priced(terms, TRIGGER_PRICE)
        return None if price is None else Watch(True, price)

"""takeProfit: swapped once the reference price has come down to its trigger, to take what was won."""

from chalicelib.domain.order import Terms
from chalicelib.domain.order_types.base import Resting, Watch, priced
from chalicelib.domain.order_types.limit import limit_bound
from chalicelib.domain.order_types.stop import TRIGGER_PRICE, trigger_fields


class TakeProfit(Resting):
    """Fires when the reference price is at its trigger or below; within slippageTolerance of the quote then."""

    name = "takeProfit"
    about = "swapped once the reference price, tokenIn for one tokenOut, is at triggerPrice or below"
    fields = trigger_fields("at most so high")
    at_once = False

    def bound(self, terms: Terms) -> int | None:
        """Of its limit price, where it has one."""
        return limit_bound(terms)

    def watch(self, terms: Terms, impact: float = 0.0) -> Watch | None:
        """A reference price at its trigger or below."""
        price = priced(terms, TRIGGER_PRICE)
        return None if price is None else Watch(False, price)

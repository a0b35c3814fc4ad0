"""Whether the market is where a new order would fire already."""

from chalicelib.domain.clock import Clock, Entropy, uuid7
from chalicelib.domain.errors import AttemptFailed, ClientError, Fault
from chalicelib.domain.order import Terms
from chalicelib.domain.order_types import TYPES
from chalicelib.routing.router import Router
from chalicelib.venues.base import Attempt


class Triggers:
    """Refuses orders that must not be past their trigger when they are placed."""

    def __init__(self, *, market: Router, clock: Clock, entropy: Entropy) -> None:
        self._market = market
        self._clock = clock
        self._entropy = entropy

    async def check(self, terms: Terms) -> None:
        """Raises ClientError where the reference price fires the order already; one that is not known fires nothing."""
        kind = TYPES[terms.order_type]
        watch = kind.watch(terms)
        if watch is None or not kind.refused_past_trigger:
            return
        try:
            reference = await self._market.reference(Attempt(uuid7(self._clock, self._entropy), 1, terms))
        except AttemptFailed:
            return
        if watch.fires_at(reference):
            raise ClientError(
                Fault.ALREADY_TRIGGERED,
                f"triggerPrice {watch.price:f} is reached already: the reference price is {reference:f}",
            )

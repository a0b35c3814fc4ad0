"""What an order would get now, without one."""

from typing import Any

from chalicelib.domain.clock import Clock, Entropy, uuid7
from chalicelib.domain.errors import AttemptFailed, BoundUnmet, Fault, MarketUnavailable, NoRoute
from chalicelib.domain.order_types import TYPES
from chalicelib.intake.validation import asked
from chalicelib.routing.describe import describe
from chalicelib.routing.router import Router
from chalicelib.venues.base import Attempt, Catalogue


class Quoter:
    """Routes what an order's body asks for, and leaves it at that: nothing is stored or sent."""

    def __init__(self, *, router: Router, catalogue: Catalogue, clock: Clock, entropy: Entropy) -> None:
        self._router = router
        self._catalogue = catalogue
        self._clock = clock
        self._entropy = entropy

    async def quote(self, body: bytes, content_type: str | None) -> dict[str, Any]:
        """The route, and the bound that makes an order hold to it: {"route", "minAmountOut" or "maxAmountIn"}.

        Raises ClientError; NoRoute with what venues and pools said, or with both numbers where the client's bound is
        missed; MarketUnavailable where no venue could be asked, and Unavailable where tokens can't be looked up.
        """
        wanted = (await asked(body, content_type, self._catalogue, self._clock.now())).terms
        # No order has this id: it is the key of what is drawn for the attempt.
        attempt = Attempt(uuid7(self._clock, self._entropy), 1, wanted, TYPES[wanted.order_type].bound(wanted))
        try:
            route = await self._router.route(attempt)
        except MarketUnavailable:
            raise
        except BoundUnmet as error:
            raise NoRoute(Fault.BOUND_UNMET, f"no route within the bound that was given: {error}") from None
        except AttemptFailed as error:
            raise NoRoute(Fault.NO_ROUTE, f"no route: {error}") from None
        bound = (
            {"maxAmountIn": str(route.max_amount_in)}
            if wanted.amount_out
            else {"minAmountOut": str(route.min_amount_out)}
        )
        return {"route": describe(wanted, route)} | bound

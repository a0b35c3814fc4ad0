"""market: swapped at once, at the best price there is, within the slippage tolerance."""

from chalicelib.domain.order_types.base import OrderType


class Market(OrderType):
    """The default. What an attempt fails for is tried again; the third failure ends it."""

    name = "market"
    about = "swapped at once, within slippageTolerance of the first quote"

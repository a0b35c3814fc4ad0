"""Order types: each defined in a file of its own, and listed here."""

from chalicelib.domain.order_types.base import OrderType
from chalicelib.domain.order_types.limit import Limit
from chalicelib.domain.order_types.market import Market
from chalicelib.domain.order_types.recurring import Recurring
from chalicelib.domain.order_types.stop import Stop
from chalicelib.domain.order_types.take_profit import TakeProfit

TYPES: dict[str, OrderType] = {each.name: each for each in (Market(), Limit(), Stop(), TakeProfit(), Recurring())}

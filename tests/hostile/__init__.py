"""What no client should send, with the code each is refused with; for the parsers and the running stack alike."""

from tests.hostile.bodies import BODIES
from tests.hostile.frames import FRAMES, ORDER_ID, Frame
from tests.hostile.posts import JSON_TYPE, SOL_MINT, USDC_MINT, Body, order, purchase
from tests.hostile.shapes import nested

__all__ = [
    "BODIES",
    "FRAMES",
    "JSON_TYPE",
    "ORDER_ID",
    "SOL_MINT",
    "USDC_MINT",
    "Body",
    "Frame",
    "nested",
    "order",
    "purchase",
]

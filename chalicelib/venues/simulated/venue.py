"""Simulated venues: a price near a reference, after a plausible delay."""

from collections.abc import Collection
from decimal import Decimal
from hashlib import sha256

from chalicelib.domain.clock import Clock
from chalicelib.domain.order import DEFAULT_TYPE
from chalicelib.domain.token import Token
from chalicelib.venues.base import Attempt
from chalicelib.venues.simulated.draws import Draws
from chalicelib.venues.simulated.pool import SimulatedPool

# US dollars for one token.
REFERENCE = {
    "SOL": Decimal("150"),
    "USDC": Decimal("1"),
    "USDT": Decimal("1"),
    "MSOL": Decimal("192"),
    "JITOSOL": Decimal("178"),
    "JUP": Decimal("0.85"),
    "RAY": Decimal("2.4"),
    "BONK": Decimal("0.000022"),
    "WIF": Decimal("1.9"),
    "PYTH": Decimal("0.32"),
    "ETH": Decimal("3100"),
    "WBTC": Decimal("96000"),
}
# The venues, and the share of the input that each takes: 0.0025 = 0.25 %.
FEES = {"Raydium": Decimal("0.0025"), "Meteora": Decimal("0.002")}
# Share by which a quote may differ from the reference, either way.
BAND = 0.01
QUOTE_SECONDS = (0.18, 0.22)
# Dollars within about one percent of the price.
DEPTH = (200_000, 900_000)


def reference(token: Token) -> Decimal:
    """Dollars for one token: the known price, or a stable one between 0.01 and 100 derived from its name."""
    known = REFERENCE.get(token.name)
    if known is not None:
        return known
    digest = int.from_bytes(sha256(token.name.encode()).digest()[:4], "big")
    return Decimal(digest % 9_999 + 1) / 100


class SimulatedVenue:
    """A venue that takes `fee` (0.0025 = 0.25 %) of the input and quotes within a band around the reference price."""

    def __init__(self, name: str, fee: Decimal, draws: Draws, clock: Clock, time_scale: float) -> None:
        self.name = name
        self._fee = fee
        self._draws = draws
        self._clock = clock
        self._time_scale = time_scale

    async def pools(self, attempt: Attempt, mints: Collection[str]) -> list[SimulatedPool]:
        """One that trades the order's two tokens for each other."""
        await self._clock.sleep(self._draw(attempt, "delay", *QUOTE_SECONDS) * self._time_scale)
        sold, bought = attempt.terms.token_in, attempt.terms.token_out
        dollars = reference(sold)
        # The same for each attempt of a market order, which is held to what its first one was quoted. For orders that
        # rest the market moves.
        draw = self._draws.lasting if attempt.terms.order_type == DEFAULT_TYPE else self._draws.uniform
        band = 1 + Decimal(f"{draw(attempt, self.name, 'band', -BAND, BAND):.6f}")
        depth = int(self._draw(attempt, "depth", *DEPTH)) / dollars
        return [
            SimulatedPool(
                address=f"simulated {self.name}",
                venue=self.name,
                mints=(sold.key, bought.key),
                rate=(dollars / reference(bought) * band).scaleb(bought.decimals - sold.decimals),
                fee=self._fee,
                depth=int(depth.scaleb(sold.decimals)),
            )
        ]

    def _draw(self, attempt: Attempt, purpose: str, low: float, high: float) -> float:
        return self._draws.uniform(attempt, self.name, purpose, low, high)

"""Simulated venues: a quote near a reference price, after a plausible delay."""

from decimal import Decimal
from hashlib import sha256

from chalicelib.domain.clock import Clock
from chalicelib.domain.errors import QuoteUnavailable
from chalicelib.domain.quote import Quote
from chalicelib.domain.token import Token
from chalicelib.venues.base import Attempt
from chalicelib.venues.simulated.draws import Draws

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

    async def quote(self, attempt: Attempt) -> Quote:
        """What it would pay now. Raises QuoteUnavailable where that rounds to nothing."""
        await self._clock.sleep(self._draw(attempt, "delay", *QUOTE_SECONDS) * self._time_scale)
        terms = attempt.terms
        rate = reference(terms.token_in) / reference(terms.token_out)
        band = 1 + Decimal(f"{self._draw(attempt, 'band', -BAND, BAND):.6f}")
        decimals = terms.token_out.decimals - terms.token_in.decimals
        amount_out = int((terms.amount * rate * band * (1 - self._fee)).scaleb(decimals))
        if amount_out == 0:
            raise QuoteUnavailable(f"{self.name}: the output would round to zero")
        return Quote(
            venue=self.name,
            amount_in=terms.amount,
            amount_out=amount_out,
            fee=self._fee,
            liquidity=int(int(self._draw(attempt, "depth", *DEPTH)) / reference(terms.token_in)),
        )

    def _draw(self, attempt: Attempt, purpose: str, low: float, high: float) -> float:
        return self._draws.uniform(attempt, self.name, purpose, low, high)

"""Choosing among venues that answer, refuse, break, or keep silent."""

import asyncio
from decimal import Decimal
from uuid import UUID

import pytest

from chalicelib.domain.errors import QuoteUnavailable
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Quote
from chalicelib.domain.token import Token
from chalicelib.routing.router import Router, choose
from chalicelib.venues.base import Attempt

TERMS = Terms(Token("SOL", 9), Token("USDC", 6), 3_000_000_000, Decimal("0.02"))
ATTEMPT = Attempt(UUID(int=1), 1, TERMS)


def quote(venue: str, amount_out: int) -> Quote:
    return Quote(venue=venue, amount_in=TERMS.amount, amount_out=amount_out, fee=Decimal("0.002"), liquidity=1)


class FakeVenue:
    def __init__(self, name: str, answer: int | Exception | None) -> None:
        self.name = name
        self._answer = answer
        self.cancelled = False

    async def quote(self, attempt: Attempt) -> Quote:
        if isinstance(self._answer, Exception):
            raise self._answer
        if self._answer is None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        assert self._answer
        return quote(self.name, self._answer)


async def test_the_larger_output_wins_and_the_reason_says_by_how_much() -> None:
    route = await Router([FakeVenue("Raydium", 1000), FakeVenue("Meteora", 1010)]).route(ATTEMPT)
    assert (route.chosen.venue, route.other and route.other.venue) == ("Meteora", "Raydium")
    assert route.decision == "Meteora pays 1.000 % more than Raydium"


async def test_venues_are_asked_side_by_side() -> None:
    both_asked = asyncio.Event()
    asked: list[str] = []

    class Meeting(FakeVenue):
        async def quote(self, attempt: Attempt) -> Quote:
            asked.append(self.name)
            if len(asked) == 2:
                both_asked.set()
            await both_asked.wait()
            return await super().quote(attempt)

    route = await Router([Meeting("Raydium", 2), Meeting("Meteora", 1)]).route(ATTEMPT)
    assert route.chosen.venue == "Raydium"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (QuoteUnavailable("Raydium: no pool"), "Raydium: no pool"),
        (RuntimeError("boom"), "Raydium: RuntimeError('boom')"),
        (None, "Raydium: no answer in 0.05 s"),
    ],
    ids=["refuses", "breaks", "keeps silent"],
)
async def test_one_venue_is_enough_and_the_other_is_named(answer: Exception | None, reason: str) -> None:
    failing = FakeVenue("Raydium", answer)
    route = await Router([failing, FakeVenue("Meteora", 10)], deadline=0.05).route(ATTEMPT)
    assert (route.chosen.venue, route.other) == ("Meteora", None)
    assert route.decision == f"Meteora: the only quote; {reason}"
    await asyncio.sleep(0)
    assert failing.cancelled == (answer is None)


async def test_no_quote_at_all_is_a_failure_that_names_every_venue() -> None:
    venues = [FakeVenue("Raydium", None), FakeVenue("Meteora", QuoteUnavailable("Meteora: no pool"))]
    with pytest.raises(QuoteUnavailable) as raised:
        await Router(venues, deadline=0.05).route(ATTEMPT)
    assert str(raised.value) == "Raydium: no answer in 0.05 s; Meteora: no pool"


def test_equal_outputs_go_to_the_first_by_name_whoever_answered_first() -> None:
    for quotes in ([quote("Raydium", 5), quote("Meteora", 5)], [quote("Meteora", 5), quote("Raydium", 5)]):
        route = choose(quotes, [], Decimal(0))
        assert route.chosen.venue == "Meteora"
        assert route.decision == "Meteora and Raydium pay the same"


@pytest.mark.parametrize(
    ("amount_out", "tolerance", "least"),
    [
        (1000, "0", 1000),
        (1000, "0.02", 980),
        (999, "0.02", 980),
        (1, "0.5", 1),
        (1, "0.999999999999999999999999", 1),
        (2**64 - 1, "0.000000000000000000000001", 2**64 - 1),
        (10**30, "0.000000000000000000000001", 10**30 - 10**6),
    ],
)
def test_the_least_output_is_rounded_against_the_venue(amount_out: int, tolerance: str, least: int) -> None:
    assert choose([quote("Raydium", amount_out)], [], Decimal(tolerance)).min_amount_out == least

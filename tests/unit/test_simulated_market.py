"""The simulated market: plausible quotes, draws that a seed repeats, and swaps that happen once."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from chalicelib.domain.clock import SystemEntropy
from chalicelib.domain.errors import QuoteUnavailable
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Quote, price
from chalicelib.domain.token import KNOWN, Token, find
from chalicelib.routing.router import choose
from chalicelib.store.ledger import LedgerEntry, Swap
from chalicelib.venues.base import Attempt, Outcome
from chalicelib.venues.simulated.chain import SimulatedChain
from chalicelib.venues.simulated.draws import Draws
from chalicelib.venues.simulated.venue import BAND, QUOTE_SECONDS, SimulatedVenue, reference

FEE = Decimal("0.0025")
VALID_UNTIL = datetime(2026, 1, 1, tzinfo=UTC)


def attempt(token_in: str = "SOL", token_out: str = "USDC", amount: int = 3 * 10**9, **more: Any) -> Attempt:
    sold, bought = find(token_in), find(token_out)
    assert sold
    assert bought
    given = {"order_id": UUID(int=1), "number": 1, "tolerance": "0.02"} | more
    terms = Terms(sold, bought, amount, Decimal(given["tolerance"]))
    return Attempt(given["order_id"], given["number"], terms)


class StillClock:
    """A clock whose sleeps end at once."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return VALID_UNTIL

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class MemoryLedger:
    """A ledger in memory: `known` is what it says of any transaction."""

    def __init__(self) -> None:
        self.landed: list[Swap] = []
        self.known: LedgerEntry | None = None
        self.buried: list[str] = []

    async def land(self, swap: Swap) -> None:
        self.landed.append(swap)

    async def look(self, tx_id: str) -> LedgerEntry | None:
        return self.known

    async def tombstone(self, tx_id: str, order_id: UUID, valid_until: datetime) -> None:
        self.buried.append(tx_id)


def entry(outcome: str, wait: int = 0) -> LedgerEntry:
    return LedgerEntry(outcome=outcome, amount_in=1, amount_out=2, reason=None, venue="Raydium", wait=wait)


def venue(name: str = "Raydium", seed: str = "seed", scale: float = 1.0) -> tuple[SimulatedVenue, StillClock]:
    clock = StillClock()
    return SimulatedVenue(name, FEE, Draws(seed, SystemEntropy()), clock, scale), clock


async def quoted(asked: Attempt, name: str = "Raydium", seed: str = "seed") -> Quote:
    return await venue(name, seed)[0].quote(asked)


async def test_a_quote_is_near_the_reference_price_net_of_the_fee() -> None:
    for seed in map(str, range(50)):
        found = await quoted(attempt(), seed=seed)
        paid = price(find("SOL") or KNOWN[0], find("USDC") or KNOWN[0], found.amount_in, found.amount_out)
        fair = float(1 / (150 * (1 - FEE)))
        assert fair * (1 - 1.1 * BAND) < paid < fair * (1 + 1.1 * BAND)
        assert found.fee == FEE
        assert found.liquidity > 1000


async def test_a_quote_takes_about_200_ms_times_the_scale() -> None:
    for scale in (1.0, 0.5, 0.0):
        asked, clock = venue(scale=scale)
        await asked.quote(attempt())
        assert QUOTE_SECONDS[0] * scale <= clock.slept[0] <= QUOTE_SECONDS[1] * scale


async def test_an_output_of_less_than_a_unit_is_refused() -> None:
    with pytest.raises(QuoteUnavailable, match="round to zero"):
        await quoted(attempt(amount=1))


async def test_the_largest_order_is_quoted_to_the_last_unit() -> None:
    found = await quoted(attempt("WBTC", "BONK", 2**64 - 1))
    assert found.amount_out > 2**64
    assert isinstance(found.amount_out, int)


async def test_a_seed_repeats_draws_by_order_attempt_and_venue() -> None:
    asked = attempt()
    assert await quoted(asked) == await quoted(asked)
    others = [
        await quoted(attempt(number=2)),
        await quoted(attempt(order_id=UUID(int=2))),
        await quoted(asked, seed="another"),
        await quoted(asked, name="Meteora"),
    ]
    outputs = {found.amount_out for found in [await quoted(asked), *others]}
    assert len(outputs) == 5


async def test_without_a_seed_draws_are_fresh() -> None:
    assert len({(await quoted(attempt(), seed="")).amount_out for _ in range(20)}) > 10


def test_unknown_tokens_have_a_stable_price_of_their_own() -> None:
    assert reference(Token("ABC", 9)) == reference(Token("ABC", 6))
    prices = {reference(Token(f"T{number}", 9)) for number in range(100)}
    assert len(prices) > 90
    assert all(Decimal("0.01") <= each <= 100 for each in prices)
    assert {reference(token) for token in KNOWN}


async def swapped(asked: Attempt, seed: str = "seed") -> tuple[Swap, float]:
    ledger = MemoryLedger()
    chain = SimulatedChain(ledger, Draws(seed, SystemEntropy()), 1.0)
    route = choose([await quoted(asked, seed=seed)], [], asked.terms.slippage_tolerance)
    transaction = chain.prepare(asked, route)
    assert re.fullmatch(r"MOCKTX_[0-9a-f]{24}", transaction.tx_id)
    assert transaction.valid_ms <= 15_000
    await chain.send(transaction, VALID_UNTIL)
    return ledger.landed[0], transaction.lands_after


async def test_a_swap_lands_two_to_three_seconds_after_it_was_sent() -> None:
    for seed in map(str, range(20)):
        swap, lands_after = await swapped(attempt(), seed)
        assert 2 <= swap.delay == lands_after <= 3
        assert (swap.outcome, swap.reason, swap.valid_until) == ("succeeded", None, VALID_UNTIL)


@pytest.mark.parametrize(
    ("token_out", "outcomes"),
    [
        ("FAIL", ["reverted"] * 4),
        ("FLAKY", ["reverted", "reverted", "succeeded", "succeeded"]),
        ("flaky", ["reverted", "reverted", "succeeded", "succeeded"]),
        ("USDC", ["succeeded"] * 4),
    ],
)
async def test_sandbox_tokens_fail_as_they_say(token_out: str, outcomes: list[str]) -> None:
    found = [(await swapped(attempt(token_out=token_out, number=number)))[0] for number in (1, 2, 3, 4)]
    assert [swap.outcome for swap in found] == outcomes
    assert all(bool(swap.reason) == (swap.outcome == "reverted") for swap in found)
    assert all(swap.amount_out == 0 for swap in found if swap.outcome == "reverted")


async def test_a_price_worse_than_the_tolerance_reverts_and_says_both_numbers() -> None:
    outcomes = set()
    for seed in map(str, range(40)):
        swap, _ = await swapped(attempt(tolerance="0"), seed)
        outcomes.add(swap.outcome)
        if swap.outcome == "reverted":
            found = re.search(r"(\d+) is less than the minimum of (\d+)", swap.reason or "")
            assert found
            assert int(found[1]) < int(found[2])
    assert outcomes == {"succeeded", "reverted"}


@pytest.mark.parametrize(
    ("known", "outcome", "ask_again"),
    [
        (None, Outcome.UNKNOWN, None),
        (entry("succeeded", wait=2), Outcome.UNKNOWN, 2),
        (entry("succeeded"), Outcome.SUCCEEDED, None),
        (entry("reverted"), Outcome.REVERTED, None),
        (entry("dead"), Outcome.DEAD, None),
    ],
    ids=["not seen", "under way", "succeeded", "reverted", "dead"],
)
async def test_the_chain_answers_what_the_ledger_holds(
    known: LedgerEntry | None, outcome: Outcome, ask_again: int | None
) -> None:
    ledger = MemoryLedger()
    ledger.known = known
    chain = SimulatedChain(ledger, Draws("", SystemEntropy()), 1.0)
    for answer in (await chain.ask("MOCKTX_1"), await chain.decide("MOCKTX_1", UUID(int=1), VALID_UNTIL)):
        assert (answer.outcome, answer.ask_again) == (outcome, ask_again)
    assert ledger.buried == ["MOCKTX_1"]

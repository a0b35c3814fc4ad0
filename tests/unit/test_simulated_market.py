"""The simulated market: plausible quotes, draws that a seed repeats, and swaps that happen once."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from chalicelib.domain.clock import SystemEntropy
from chalicelib.domain.errors import PoolRefused, QuoteUnavailable
from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Quote, Route, price
from chalicelib.domain.token import KNOWN, Token, find
from chalicelib.routing.paths import Planner
from chalicelib.routing.router import Router
from chalicelib.solana.clock import Clock as ChainClock
from chalicelib.store.ledger import LedgerEntry, Swap
from chalicelib.venues.base import Attempt, Outcome
from chalicelib.venues.simulated.chain import DRIFT, SimulatedChain
from chalicelib.venues.simulated.draws import Draws
from chalicelib.venues.simulated.pool import SimulatedPool
from chalicelib.venues.simulated.venue import BAND, QUOTE_SECONDS, SimulatedVenue, reference

FEE = Decimal("0.0025")
VALID_UNTIL = datetime(2026, 1, 1, tzinfo=UTC)
CLOCK = ChainClock(slot=0, epoch=0, timestamp=0)


def attempt(token_in: str = "SOL", token_out: str = "USDC", amount: int = 3 * 10**9, **more: Any) -> Attempt:
    sold, bought = find(token_in), find(token_out)
    assert sold
    assert bought
    given = {"order_id": UUID(int=1), "number": 1, "tolerance": "0.02", "amount_out": 0, "bound": None} | more
    terms = Terms(sold, bought, amount, Decimal(given["tolerance"]), given["amount_out"])
    return Attempt(given["order_id"], given["number"], terms, given["bound"])


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


async def offered(asked: Attempt, name: str = "Raydium", seed: str = "seed") -> SimulatedPool:
    (found,) = await venue(name, seed)[0].pools(asked, ())
    return found


async def routed(asked: Attempt, names: Sequence[str] = ("Raydium",), seed: str = "seed") -> Route:
    venues = [venue(name, seed)[0] for name in names]
    chain = SimulatedChain(MemoryLedger(), Draws(seed, SystemEntropy()), StillClock(), 1.0)
    return await Router(venues, chain.clock, Planner(most_legs=1)).route(asked)


async def quoted(asked: Attempt, name: str = "Raydium", seed: str = "seed") -> Quote:
    return (await routed(asked, (name,), seed)).chosen


async def test_a_quote_is_near_the_reference_price_net_of_the_fee() -> None:
    for seed in map(str, range(50)):
        found = await quoted(attempt(), seed=seed)
        paid = price(find("SOL") or KNOWN[0], find("USDC") or KNOWN[0], found.amount_in, found.amount_out)
        fair = float(1 / (150 * (1 - FEE)))
        assert fair * (1 - 1.1 * BAND) < paid < fair * (1 + 1.1 * BAND)
        assert found.fee == FEE
        # 200,000 to 900,000 dollars.
        assert 1333 <= found.liquidity <= 6000


async def test_the_price_is_the_same_for_any_amount_so_that_one_venue_executes() -> None:
    for amount in (10**7, 10**12, 2**64 - 1):
        route = await routed(attempt(amount=amount), ("Raydium", "Meteora"))
        (leg,) = route.legs
        assert (leg.venue, leg.amount_in, leg.amount_out) == (
            route.chosen.venue,
            amount,
            route.chosen.amount_out,
        )
        assert route.other
        assert {route.chosen.venue, route.other.venue} == {"Raydium", "Meteora"}
        assert route.best_single == route.chosen.amount_out
        assert route.price_impact == pytest.approx(0, abs=1e-6)
        assert (leg.fee_in, leg.fee_out) == (int(amount * FEE), 0)


async def test_a_pool_sells_what_the_order_buys_and_nothing_else() -> None:
    found = await offered(attempt())
    sold, bought = find("SOL"), find("USDC")
    assert found.mints == (sold and sold.mint, bought and bought.mint)
    with pytest.raises(PoolRefused):
        found.curve(False, CLOCK)


async def test_a_quote_takes_about_200_ms_times_the_scale() -> None:
    for scale in (1.0, 0.5, 0.0):
        asked, clock = venue(scale=scale)
        await asked.pools(attempt(), ())
        assert QUOTE_SECONDS[0] * scale <= clock.slept[0] <= QUOTE_SECONDS[1] * scale


async def test_an_output_of_less_than_a_unit_is_refused() -> None:
    with pytest.raises(QuoteUnavailable, match=r"^SOL to USDC: the output would round to zero$"):
        await quoted(attempt(amount=1))


async def test_the_largest_order_is_quoted_to_the_last_unit() -> None:
    found = await quoted(attempt("WBTC", "BONK", 2**64 - 1))
    assert found.amount_out > 2**64
    assert isinstance(found.amount_out, int)
    most = await quoted(attempt("BONK", "WBTC", 0, amount_out=10**9))
    assert 2**49 < most.amount_in < 2**64
    with pytest.raises(QuoteUnavailable):
        await quoted(attempt("BONK", "WBTC", 0, amount_out=2**63))


async def test_an_output_is_bought_for_the_least_input_that_pays_it() -> None:
    for wanted in (1, 10**6, 10**12 + 7):
        curve = (await offered(attempt())).curve(True, CLOCK)
        found = await quoted(attempt(amount=0, amount_out=wanted))
        assert found.amount_in == curve.amount_in(wanted)
        assert curve.amount_out(found.amount_in) == found.amount_out >= wanted
        assert (found.amount_in - 1) * curve.spot < wanted


async def test_a_seed_repeats_draws_by_order_attempt_and_venue() -> None:
    asked = attempt()
    assert await quoted(asked) == await quoted(asked)
    others = [
        await quoted(attempt(order_id=UUID(int=2))),
        await quoted(asked, seed="another"),
        await quoted(asked, name="Meteora"),
    ]
    assert len({found.amount_out for found in [await quoted(asked), *others]}) == 4
    # How much it could take is drawn anew.
    assert (await quoted(attempt(number=2))).liquidity != (await quoted(asked)).liquidity


@pytest.mark.parametrize("seed", ["seed", ""])
async def test_the_price_lasts_over_the_attempts_at_an_order(seed: str) -> None:
    outputs = [(await quoted(attempt(number=number), seed=seed)).amount_out for number in (1, 2, 3)]
    assert outputs == [outputs[0]] * 3


async def test_without_a_seed_draws_are_fresh() -> None:
    asked = [attempt(order_id=UUID(int=order)) for order in range(20)]
    assert len({(await quoted(each, seed="")).amount_out for each in asked}) > 10
    assert len({(await quoted(attempt(), seed="")).liquidity for _ in range(20)}) > 10


def test_unknown_tokens_have_a_stable_price_of_their_own() -> None:
    assert reference(Token("ABC", 9)) == reference(Token("ABC", 6))
    prices = {reference(Token(f"T{number}", 9)) for number in range(100)}
    assert len(prices) > 90
    assert all(Decimal("0.01") <= each <= 100 for each in prices)
    assert {reference(token) for token in KNOWN}


async def swapped(asked: Attempt, seed: str = "seed") -> tuple[Swap, float]:
    ledger = MemoryLedger()
    chain = SimulatedChain(ledger, Draws(seed, SystemEntropy()), StillClock(), 1.0)
    transaction = chain.prepare(asked, await routed(asked, seed=seed))
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


async def test_a_flaky_order_confirms_at_its_third_attempt_under_the_bound_of_its_first() -> None:
    # Without drawing the price anew it could only fail by its drift, for which the tolerance leaves room.
    for order in range(100):
        first = attempt(token_out="FLAKY", order_id=UUID(int=order), tolerance="0.005")
        bound = (await routed(first, seed="")).min_amount_out
        third = attempt(token_out="FLAKY", order_id=UUID(int=order), tolerance="0.005", number=3, bound=bound)
        swap, _ = await swapped(third, seed="")
        assert swap.outcome == "succeeded", swap.reason


async def test_a_wanted_output_is_what_an_execution_pays_and_its_cost_drifts() -> None:
    drifts = set()
    for seed in map(str, range(40)):
        asked = attempt(amount=0, amount_out=450_000_000)
        found = await quoted(asked, seed=seed)
        swap, _ = await swapped(asked, seed)
        assert (swap.outcome, swap.amount_out) == ("succeeded", found.amount_out)
        drifts.add(round(swap.amount_in / found.amount_in - 1, 6))
    assert len(drifts) > 20
    assert all(abs(drift) <= DRIFT + 1e-6 for drift in drifts)
    assert min(drifts) < 0 < max(drifts)


async def test_a_cost_above_the_tolerance_reverts_and_says_both_numbers() -> None:
    outcomes = set()
    for seed in map(str, range(40)):
        asked = attempt(amount=0, amount_out=450_000_000, tolerance="0")
        swap, _ = await swapped(asked, seed)
        outcomes.add(swap.outcome)
        if swap.outcome == "reverted":
            most = (await quoted(asked, seed=seed)).amount_in
            found = re.search(r"(\d+) is more than the maximum of (\d+)", swap.reason or "")
            assert found
            assert int(found[1]) > int(found[2]) == most
            assert swap.amount_out == 0
    assert outcomes == {"succeeded", "reverted"}


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
        (entry("untried"), Outcome.DEAD, None),
    ],
    ids=["not seen", "under way", "succeeded", "reverted", "dead", "untried"],
)
async def test_the_chain_answers_what_the_ledger_holds(
    known: LedgerEntry | None, outcome: Outcome, ask_again: int | None
) -> None:
    ledger = MemoryLedger()
    ledger.known = known
    chain = SimulatedChain(ledger, Draws("", SystemEntropy()), StillClock(), 1.0)
    for answer in (await chain.ask("MOCKTX_1"), await chain.decide("MOCKTX_1", UUID(int=1), VALID_UNTIL)):
        assert (answer.outcome, answer.ask_again) == (outcome, ask_again)
        assert answer.untried == (known is not None and known.outcome == "untried")
    assert ledger.buried == ["MOCKTX_1"]

"""From pools to the swaps that pay most: what each leg says is what its pool then pays."""

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import QuoteUnavailable
from chalicelib.routing.paths import Plan, Planner, Wish
from chalicelib.solana.address import TOKEN_PROGRAM
from chalicelib.solana.clock import Clock
from chalicelib.solana.mint import Mint, TransferFee
from chalicelib.venues.raydium.pool import CpmmPool, Rates, Side

NOW = Clock(slot=1, epoch=1, timestamp=1_760_000_000)
SOL, USDC, USDT, RAY = (
    Mint(address=name, program=TOKEN_PROGRAM, decimals=6) for name in ("SOL", "USDC", "USDT", "RAY")
)
ENDS = {"mint_in": "SOL", "mint_out": "USDC"}


def pool(address: str, tokens: tuple[Mint, Mint], reserves: tuple[int, int], trade: int = 2500) -> CpmmPool:
    return CpmmPool(
        address=address,
        tokens=tokens,
        sides=(Side(reserves[0]), Side(reserves[1])),
        rates=Rates(trade=trade, creator=0, protocol=120_000, fund=40_000),
    )


def closed(address: str) -> CpmmPool:
    return msgspec.structs.replace(pool(address, (SOL, USDC), (10**12, 10**12)), open_time=NOW.timestamp + 1)


def executed(plan: Plan, pools: Sequence[CpmmPool]) -> None:
    """Every leg is exactly what its pool pays, and the legs are what the plan says."""
    by_address = {each.address: each for each in pools}
    assert len({leg.pool for leg in plan.legs}) == len(plan.legs)
    for leg in plan.legs:
        each = by_address[leg.pool]
        fill, _ = each.swap(leg.amount_in, each.mints[0] == leg.mint_in, NOW)
        assert (fill.amount_in, fill.amount_out, each.venue) == (leg.amount_in, leg.amount_out, leg.venue)
        assert {leg.mint_in, leg.mint_out} == set(each.mints)
    hops = [[leg for leg in plan.legs if leg.hop == hop] for hop in (1, 2)]
    last = hops[1] or hops[0]
    assert plan.amount_in == sum(leg.amount_in for leg in hops[0])
    assert plan.amount_out == sum(leg.amount_out for leg in last)
    carried = sum(leg.amount_out for leg in hops[0]) - sum(leg.amount_in for leg in hops[1])
    assert plan.surplus == (carried if hops[1] else 0)


reserves = st.tuples(st.integers(10**3, 10**12), st.integers(10**3, 10**12))
rates = st.sampled_from((0, 100, 2500, 10_000))


@st.composite
def markets(draw: st.DrawFn) -> list[CpmmPool]:
    pairs = st.sampled_from([(SOL, USDC), (USDC, SOL), (SOL, USDT), (USDT, SOL), (USDT, USDC), (RAY, SOL), (RAY, USDC)])
    return [
        pool(f"pool {number}", draw(pairs), draw(reserves), draw(rates)) for number in range(draw(st.integers(1, 8)))
    ]


def alone_directly(market: Sequence[CpmmPool], wish: Wish) -> list[int]:
    """What pools of the two tokens themselves pay or need, each alone."""
    found = []
    for each in market:
        if set(each.mints) == {wish.mint_in, wish.mint_out}:
            curve = each.curve(each.mints[0] == wish.mint_in, NOW)
            with suppress(QuoteUnavailable):
                found.append(
                    curve.amount_out(wish.amount_in) if wish.amount_in else curve.amount_in(wish.amount_out or 0)
                )
    return sorted(found)


planners = st.builds(
    Planner,
    middles=st.sampled_from(((), ("USDT",), ("USDT", "RAY"), ("SOL", "USDC", "RAY"))),
    most_legs=st.integers(1, 3),
    min_gain_bps=st.sampled_from((0, 1, 100)),
)


def alone(planner: Planner, market: Sequence[CpmmPool], wish: Wish) -> list[int]:
    """What single pools, or else one on each hop, pay or need."""

    def swaps(amounts: set[int], mint_in: str, mint_out: str) -> set[int]:
        found = set()
        for each in market:
            if set(each.mints) == {mint_in, mint_out}:
                for amount in amounts:
                    try:
                        curve = each.curve(each.mints[0] == mint_in, NOW)
                        found.add(curve.amount_out(amount) if wish.amount_in else curve.amount_in(amount))
                    except QuoteUnavailable:
                        pass
        return found

    start = {wish.amount_in or wish.amount_out or 0}
    if direct := swaps(start, "SOL", "USDC"):
        return sorted(direct)
    over: set[int] = set()
    for middle in planner.middles if planner.most_legs > 1 else ():
        hops = [("SOL", middle), (middle, "USDC")]
        amounts = start
        for hop in hops if wish.amount_in else reversed(hops):
            amounts = swaps(amounts, *hop)
        over |= amounts
    return sorted(over)


@given(planners, markets(), st.integers(1, 10**12))
def test_a_sale_is_what_its_pools_pay_and_no_less_than_single_pools_would(
    planner: Planner, market: list[CpmmPool], amount: int
) -> None:
    wish = Wish(**ENDS, amount_in=amount)
    singles = alone(planner, market, wish)
    try:
        plan = planner.plan(wish, market, NOW)
    except QuoteUnavailable:
        assert not singles
        return
    executed(plan, market)
    assert plan.amount_in == amount
    assert plan.surplus == 0
    assert len(plan.legs) <= planner.most_legs
    assert plan.single == (singles[-1] if singles else None)
    assert [leg.amount_out for leg in plan.alone] == alone_directly(market, wish)[::-1]
    assert plan.amount_out >= (plan.single or 0)


@given(planners, markets(), st.integers(1, 10**12))
def test_a_purchase_is_what_its_pools_need_and_no_more_than_single_pools_would(
    planner: Planner, market: list[CpmmPool], amount: int
) -> None:
    wish = Wish(**ENDS, amount_out=amount)
    singles = alone(planner, market, wish)
    try:
        plan = planner.plan(wish, market, NOW)
    except QuoteUnavailable:
        assert not singles
        return
    executed(plan, market)
    assert plan.amount_out >= amount
    assert plan.surplus >= 0
    assert len(plan.legs) <= planner.most_legs
    assert plan.single == (singles[0] if singles else None)
    assert [leg.amount_in for leg in plan.alone] == alone_directly(market, wish)
    assert plan.single is None or plan.amount_in <= plan.single


DIRECT = pool("direct", (SOL, USDC), (10**9, 10**9))
TO_USDT = [pool(f"first {number}", (USDT, SOL), (10**12, 10**12)) for number in (1, 2)]
TO_USDC = [pool(f"second {number}", (USDT, USDC), (10**12, 10**12)) for number in (1, 2)]


def test_a_large_order_goes_over_a_middle_token_where_that_pays_more() -> None:
    market = [DIRECT, *TO_USDT, *TO_USDC]
    wish = Wish(**ENDS, amount_in=10**10)
    planner = Planner(middles=("USDT",))
    plan = planner.plan(wish, market, NOW)
    executed(plan, market)
    assert sorted(leg.hop for leg in plan.legs) in ([1, 1, 2], [1, 2, 2])
    assert plan.single == DIRECT.curve(True, NOW).amount_out(10**10) < plan.amount_out
    assert [leg.pool for leg in Planner().plan(wish, market, NOW).legs] == ["direct"]
    small = planner.plan(Wish(**ENDS, amount_in=10**4), market, NOW)
    assert [leg.pool for leg in small.legs] == ["direct"]


def test_a_purchase_over_a_middle_token_tells_what_is_left_of_that() -> None:
    # One SOL buys some thousand USDT, so the hop's least input buys too many.
    market = [pool("first", (SOL, USDT), (10**6, 10**9)), pool("second", (USDT, USDC), (10**12, 10**12))]
    plan = Planner(middles=("USDT",)).plan(Wish(**ENDS, amount_out=12_345_678), market, NOW)
    executed(plan, market)
    assert plan.surplus > 0
    assert plan.amount_out == 12_345_678


def test_a_path_over_the_middle_is_what_single_pools_are_measured_by_where_none_is_direct() -> None:
    market = [TO_USDT[0], TO_USDC[0]]
    plan = Planner(middles=("RAY", "USDT")).plan(Wish(**ENDS, amount_in=10**8), market, NOW)
    assert [leg.pool for leg in plan.legs] == ["first 1", "second 1"]
    assert plan.single == plan.amount_out


def test_impact_is_measured_from_the_best_prices_after_fees() -> None:
    keep = Fraction(997_500, 10**6)
    one = Planner().plan(Wish(**ENDS, amount_in=10**7), [DIRECT], NOW)
    assert one.price_impact == float(1 - Fraction(one.amount_out, 10**7) / keep)
    assert 0.009 < one.price_impact < 0.011
    two = Planner(middles=("USDT",)).plan(Wish(**ENDS, amount_in=10**8), [TO_USDT[0], TO_USDC[0]], NOW)
    assert two.price_impact == float(1 - Fraction(two.amount_out, 10**8) / keep**2)
    # The best price counts, though that pool is too small to serve.
    cheap = pool("cheap", (SOL, USDC), (100, 200), trade=0)
    assert Planner().plan(Wish(**ENDS, amount_in=10**8), [DIRECT, cheap], NOW).price_impact > Fraction(1, 2)


def test_impact_is_nothing_where_a_transfer_takes_all_of_the_first_units() -> None:
    fee = TransferFee(maximum=1000, basis_points=10_000)
    taxed = msgspec.structs.replace(SOL, older_fee=fee, newer_fee=fee)
    market = [pool(name, (taxed, USDC), (10**9, 10**9)) for name in ("a", "b")]
    plan = Planner().plan(Wish(**ENDS, amount_in=10**7), market, NOW)
    executed(plan, market)
    assert (len(plan.legs), plan.price_impact) == (2, 0)


def test_equal_pools_are_chosen_by_address_and_equal_paths_by_fewer_legs() -> None:
    twins = [pool(name, (SOL, USDC), (10**9, 10**9)) for name in ("b", "a", "c")]
    for market in (twins, twins[::-1]):
        assert [leg.pool for leg in Planner(most_legs=1).plan(Wish(**ENDS, amount_in=10**6), market, NOW).legs] == ["a"]
    free = [
        pool("x", (SOL, USDT), (10**15, 10**15), trade=0),
        pool("y", (USDT, USDC), (10**15, 10**15), trade=0),
        pool("z", (SOL, USDC), (10**15, 85 * 10**13), trade=0),
    ]
    for market, chosen in ((free, ["z"]), (free[:2], ["x", "y"])):
        plan = Planner(middles=("USDT",), most_legs=2).plan(Wish(**ENDS, amount_in=10), market, NOW)
        assert ([leg.pool for leg in plan.legs], plan.amount_out) == (chosen, 8)
    over = [
        pool("a1", (SOL, RAY), (10**9, 10**9)),
        pool("a2", (RAY, USDC), (10**9, 10**9)),
        pool("b1", (SOL, USDT), (10**9, 10**9)),
        pool("b2", (USDT, USDC), (10**9, 10**9)),
    ]
    plan = Planner(middles=("USDT", "RAY")).plan(Wish(**ENDS, amount_in=10**6), over, NOW)
    assert [leg.pool for leg in plan.legs] == ["a1", "a2"]


def test_a_split_that_gains_too_little_is_not_made() -> None:
    twins = [pool(name, (SOL, USDC), (10**9, 10**9)) for name in ("a", "b")]
    wish = Wish(**ENDS, amount_in=10**6)
    assert len(Planner(min_gain_bps=1).plan(wish, twins, NOW).legs) == 2
    assert len(Planner(min_gain_bps=50).plan(wish, twins, NOW).legs) == 1
    # Such a small order hardly moves the price.
    assert len(Planner(min_gain_bps=1).plan(Wish(**ENDS, amount_in=10**4), twins, NOW).legs) == 1


def test_closed_and_empty_pools_are_left_out_and_named() -> None:
    empty = pool("empty", (USDC, SOL), (0, 0))
    plan = Planner().plan(Wish(**ENDS, amount_in=10**6), [closed("shut"), empty, DIRECT], NOW)
    assert [leg.pool for leg in plan.legs] == ["direct"]
    assert [reason.split(":")[0] for reason in plan.left_out] == ["empty", "shut"]


@pytest.mark.parametrize(
    ("market", "wish", "reason"),
    [
        ([], Wish(**ENDS, amount_in=1), "no pool trades SOL for USDC"),
        ([TO_USDT[0]], Wish(**ENDS, amount_in=1), "no pool trades SOL for USDC"),
        ([DIRECT], Wish(mint_in="SOL", mint_out="SOL", amount_in=1), "no pool trades SOL for SOL"),
        ([closed("shut")], Wish(**ENDS, amount_in=1), "shut"),
        ([DIRECT], Wish(**ENDS, amount_in=1), "SOL to USDC"),
        ([DIRECT], Wish(**ENDS, amount_in=0), "SOL to USDC"),
        ([DIRECT], Wish(**ENDS, amount_out=0), "SOL to USDC"),
        ([DIRECT], Wish(**ENDS, amount_out=10**9), "SOL to USDC"),
        ([DIRECT], Wish(**ENDS, amount_in=2**64), "SOL to USDC"),
        ([TO_USDT[0], TO_USDC[0]], Wish(**ENDS, amount_in=1), "SOL to USDT to USDC"),
    ],
)
def test_where_nothing_serves_the_reasons_are_told(market: list[CpmmPool], wish: Wish, reason: str) -> None:
    with pytest.raises(QuoteUnavailable, match=reason):
        Planner(middles=("USDT",)).plan(wish, market, NOW)


def test_one_amount_is_given() -> None:
    with pytest.raises(ValueError, match="one amount"):
        Wish(**ENDS)
    with pytest.raises(ValueError, match="one amount"):
        Wish(**ENDS, amount_in=1, amount_out=1)

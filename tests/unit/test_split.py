"""Sharing a swap among curves: worth what the best sharing is worth, to the last units."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import combinations
from math import ceil, exp, floor, log
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from chalicelib.domain.errors import IncompleteState, InsufficientLiquidity, PoolRefused, ZeroOutput
from chalicelib.routing.split import Allocation, split, split_out
from chalicelib.solana.mint import NO_FEE, TransferFee
from chalicelib.venues.pool import Curve
from chalicelib.venues.raydium.curve import CpmmCurve
from tests.curves import Linear, Product, Simple, Steps

fees = st.sampled_from((0, 1, 25, 100, 3000))
legs = st.integers(1, 3)


def ratios(largest: int) -> st.SearchStrategy[Fraction]:
    return st.builds(Fraction, st.integers(1, largest), st.integers(1, largest))


@st.composite
def steps(draw: st.DrawFn, largest: int, *, falling: bool) -> Steps:
    prices = draw(st.lists(ratios(20), min_size=1, max_size=5))
    if falling:
        prices.sort(reverse=True)
    return Steps([(price, draw(st.integers(1, largest))) for price in prices])


def products(least: int, largest: int) -> st.SearchStrategy[Product]:
    return st.builds(Product, st.integers(least, largest), st.integers(least, largest), fees)


def any_curves(largest: int) -> st.SearchStrategy[list[Simple]]:
    """Curves of all kinds: of few units or of many, able to take all or not, concave or not."""
    capped = st.builds(Product, st.integers(1, largest), st.integers(1, largest), fees, st.integers(1, largest))
    linear = st.builds(Linear, ratios(largest), st.integers(1, largest))
    one = st.one_of(products(1, largest), capped, linear, steps(largest, falling=False))
    return st.lists(one, min_size=1, max_size=5)


def pays(curve: Curve, amount_in: int) -> int | None:
    try:
        return curve.amount_out(amount_in) if amount_in else 0
    except PoolRefused:
        return None


def needs(curve: Curve, amount_out: int) -> int | None:
    try:
        return curve.amount_in(amount_out) if amount_out else 0
    except PoolRefused:
        return None


def check(found: Allocation, curves: Sequence[Curve], most_legs: int) -> None:
    for curve, amount_in, amount_out in zip(curves, found.inputs, found.outputs, strict=True):
        assert (amount_in > 0) == (amount_out > 0)
        assert amount_out == pays(curve, amount_in)
    assert 0 < sum(amount > 0 for amount in found.inputs) <= most_legs


many_curves = st.one_of(any_curves(50), any_curves(10**6), any_curves(10**15))
many_amounts = st.one_of(st.integers(1, 100), st.integers(1, 10**7), st.integers(1, 10**16))


@given(many_curves, many_amounts, legs)
def test_all_of_the_input_is_sold_for_no_less_than_one_curve_alone_pays(
    curves: list[Simple], amount: int, most_legs: int
) -> None:
    alone = [out for curve in curves if (out := pays(curve, amount))]
    try:
        found = split(curves, amount, most_legs)
    except PoolRefused:
        assert not alone
        return
    check(found, curves, most_legs)
    assert found.amount_in == amount
    assert found.amount_out >= max(alone, default=0)


@given(many_curves, many_amounts, legs)
def test_all_of_the_output_is_bought_for_no_more_than_one_curve_alone_needs(
    curves: list[Simple], amount: int, most_legs: int
) -> None:
    alone = [needed for curve in curves if (needed := needs(curve, amount)) is not None]
    try:
        found = split_out(curves, amount, most_legs)
    except PoolRefused:
        assert not alone
        return
    check(found, curves, most_legs)
    assert found.amount_out >= amount
    assert not alone or found.amount_in <= min(alone)
    for curve, amount_in, amount_out in zip(curves, found.inputs, found.outputs, strict=True):
        assert amount_in == needs(curve, amount_out)


def shared(tables: Sequence[Sequence[int | None]], amount: int, most_legs: int, best: Callable[..., Any]) -> int | None:
    """The best of all ways to share an amount; each curve's table says what each part is worth, None where refused."""
    found = {(0, 0): 0}
    for table in tables:
        for (used, count), worth in list(found.items()):
            for part in range(1, amount - used + 1) if count < most_legs else ():
                if more := table[part]:
                    key = (used + part, count + 1)
                    found[key] = best(found.get(key, worth + more), worth + more)
    return best((worth for (used, _), worth in found.items() if used == amount), default=None)


small_markets = st.lists(
    st.one_of(
        # A higher fee takes whole units of small amounts, and what is left is not concave.
        st.builds(Product, st.integers(20, 200), st.integers(20, 200), st.sampled_from((0, 1, 25, 100))),
        st.builds(Linear, ratios(9), st.integers(100, 200)),
        st.lists(ratios(9), min_size=1, max_size=3).map(
            lambda prices: Steps([(price, 40) for price in sorted(prices, reverse=True)])
        ),
    ),
    min_size=2,
    max_size=4,
)
small_amounts = st.integers(1, 40)


@given(small_markets, small_amounts, legs)
def test_an_exhaustive_search_finds_at_most_a_unit_a_leg_more(
    curves: list[Simple], amount: int, most_legs: int
) -> None:
    tables = [[pays(curve, part) for part in range(amount + 1)] for curve in curves]
    best = shared(tables, amount, most_legs, max)
    if best is None:
        with pytest.raises(ZeroOutput):
            split(curves, amount, most_legs)
    else:
        assert best - most_legs <= split(curves, amount, most_legs).amount_out <= best


@given(small_markets, small_amounts, legs)
def test_an_exhaustive_search_finds_an_output_for_at_most_a_unit_a_leg_less(
    curves: list[Simple], amount: int, most_legs: int
) -> None:
    tables = [[needs(curve, part) for part in range(amount + 1)] for curve in curves]
    best = shared(tables, amount, most_legs, min)
    if best is None:
        with pytest.raises(InsufficientLiquidity):
            split_out(curves, amount, most_legs)
    else:
        assert best <= split_out(curves, amount, most_legs).amount_in <= best + most_legs


large_curves = st.one_of(
    products(10**9, 10**13),
    st.builds(Linear, ratios(9), st.integers(10**12, 10**14)),
    steps(10**12, falling=True),
)


def dual_bound(curves: Sequence[Simple], amount: int) -> int:
    """The least of bounds above what any split pays: whatever the price, no leg can gain more against it."""

    def bound(price: Fraction) -> Fraction:
        return amount * price + sum(curve.gain(price) for curve in curves)

    spots = [float(curve.spot) for curve in curves]
    sought = minimize_scalar(
        lambda power: float(bound(Fraction(exp(power)))),
        bounds=(log(min(spots)) - 20, log(max(spots))),
        method="bounded",
        options={"xatol": 1e-13},
    )
    prices = [price for curve in curves if isinstance(curve, Steps) for price, _ in curve.bins]
    return floor(min(map(bound, [Fraction(exp(sought.x)), *prices])))


@given(st.lists(large_curves, min_size=2, max_size=3), st.integers(10**6, 10**13))
def test_a_large_split_reaches_the_bound_of_the_dual_to_some_units(curves: list[Simple], amount: int) -> None:
    assume(sum(min(curve.capacity, amount) for curve in curves) >= amount)
    bound = dual_bound(curves, amount)
    # Rounding takes up to a unit of each leg's input, for the fee, and one of its output.
    unit = ceil(max(curve.spot for curve in curves)) + 1
    assert bound - unit * len(curves) <= split(curves, amount, 3).amount_out <= bound


@st.composite
def nearly_exhausted(draw: st.DrawFn) -> tuple[list[Simple], int]:
    """Curves of about one price, some of which end, and an amount that hardly any two of them can serve."""
    sizes = draw(st.lists(st.integers(10**8, 4 * 10**9), min_size=4, max_size=6))
    prices = st.integers(95, 110).map(lambda percent: Fraction(percent, 100))
    curves = [
        Steps([(price, size)]) if draw(st.booleans()) else Product(4 * size, int(4 * size * price), 25)
        for size, price in ((size, draw(prices)) for size in sizes)
    ]
    return curves, sum(sorted(sizes)[-2:]) * draw(st.integers(30, 400)) // 100


def total(sharing: Callable[..., Allocation], curves: Sequence[Curve], amount: int) -> int | None:
    """What sharing an amount between two pays, or needs; None where it is refused."""
    try:
        found: Allocation = sharing(curves, amount, 2)
    except PoolRefused:
        return None
    return found.amount_out if sharing is split else -found.amount_in


@given(nearly_exhausted(), st.sampled_from((split, split_out)))
def test_no_two_curves_do_better_than_the_two_that_are_chosen(
    market: tuple[list[Simple], int], sharing: Callable[..., Allocation]
) -> None:
    curves, amount = market
    pairs = [found for pair in combinations(curves, 2) if (found := total(sharing, pair, amount)) is not None]
    best = total(sharing, curves, amount)
    assert (best is None) == (not pairs)
    assert best is None or max(pairs) - 4 <= best


@given(st.lists(large_curves, min_size=1, max_size=5), st.integers(10**6, 10**13), legs)
def test_what_a_sale_pays_is_bought_for_as_much(curves: list[Simple], amount: int, most_legs: int) -> None:
    try:
        sold = split(curves, amount, most_legs)
    except PoolRefused:
        assume(False)
    bought = split_out(curves, sold.amount_out, most_legs)
    # A purchase may miss a unit of output a leg, which may cost many of input.
    purchases = [bought.amount_in]
    if sold.amount_out > most_legs:
        purchases.append(split_out(curves, sold.amount_out - most_legs, most_legs).amount_in)
    assert min(purchases) <= amount + most_legs
    # And it cannot be had for so much less that the rest would pay more. A sale may miss a unit of input a leg, which
    # may pay many of output; but where one is all that a curve takes, there is no more to be sold.
    sales = [split(curves, bought.amount_in, most_legs).amount_out]
    with suppress(PoolRefused):
        sales.append(split(curves, bought.amount_in + most_legs, most_legs).amount_out)
    assert max(sales) >= bought.amount_out - most_legs


def test_curves_share_where_their_prices_meet() -> None:
    curves = [Product(10**9, 10**9), Product(2 * 10**9, 2 * 10**9)]
    found = split(curves, 3 * 10**6, 3)
    assert found.inputs == pytest.approx((10**6, 2 * 10**6), abs=1)
    assert found.amount_out > max(curve.amount_out(3 * 10**6) for curve in curves)


def test_what_legs_are_rounded_down_by_buys_another_unit() -> None:
    curves = [Product(100, 50, 25), Product(100, 20, 25)]
    best = max(curves[0].amount_out(part) + curves[1].amount_out(317 - part) for part in range(10, 300))
    assert split(curves, 317, 2).amount_out == best


def test_what_legs_are_rounded_up_by_is_not_bought_twice() -> None:
    curves = [Product(200, 1000), Product(200, 1000)]
    best = min(curves[0].amount_in(part) + curves[1].amount_in(202 - part) for part in range(1, 202))
    assert split_out(curves, 202, 2).amount_in == best


def test_a_curve_that_ends_takes_what_it_can() -> None:
    found = split([Steps([(Fraction(2), 100)]), Product(10**6, 10**6)], 1000, 3)
    assert found.inputs == (100, 900)
    with pytest.raises(InsufficientLiquidity):
        split([Steps([(Fraction(2), 100)]), Linear(Fraction(1), 50)], 151, 3)


def test_a_remainder_too_small_for_its_pool_is_made_large_enough() -> None:
    found = split([Steps([(Fraction(2), 100)]), Product(100, 10)], 103, 3)
    assert found.inputs == (91, 12)


def test_of_legs_that_end_those_are_chosen_that_can_take_all() -> None:
    curves = [Steps([(Fraction(price), size)]) for price, size in ((9, 10), (8, 10), (1, 100))]
    assert split(curves, 105, 2).inputs == (10, 0, 95)


@pytest.mark.parametrize("basis_points", [1000, 9_900, 10_000])
@pytest.mark.parametrize("taken_of", ["transfer_in", "transfer_out"])
def test_a_fee_that_reaches_its_maximum_does_not_keep_amounts_from_being_split(
    taken_of: str, basis_points: int
) -> None:
    fees = {"transfer_in": NO_FEE, "transfer_out": NO_FEE, taken_of: TransferFee(0, 1000, basis_points)}
    pool = CpmmCurve(reserve_in=10**9, reserve_out=10**9, room=10**15, rate_in=0, rate_out=0, **fees)
    # Alone a pool would pay less for each unit than it seems to pay for the first, a third of it more.
    part = 47 * 10**6
    assert split([pool] * 3, 3 * part, 3).amount_out >= 3 * pool.amount_out(part)
    assert split_out([pool] * 3, 3 * part, 3).amount_in <= 3 * pool.amount_in(part)


class Unread(Simple):
    """Takes nothing it says it takes: an account is missing."""

    def _pays(self, amount_in: int) -> int:
        raise IncompleteState("not loaded")

    def input_at(self, price: float) -> int:
        return self.capacity


def test_a_curve_that_refuses_everything_is_left_out() -> None:
    unread = Unread(Fraction(100), 10**9)
    assert split([unread, Product(10**6, 10**6)], 1000, 3).inputs == (0, 1000)
    assert split_out([unread, Product(10**6, 10**6)], 900, 3).inputs[0] == 0
    with pytest.raises(InsufficientLiquidity, match="not loaded"):
        split([unread], 1000, 3)
    with pytest.raises(InsufficientLiquidity, match="not loaded"):
        split_out([unread], 1000, 3)


def test_what_pays_nothing_is_refused() -> None:
    with pytest.raises(ZeroOutput):
        split([Product(10**6, 10)] * 3, 5, 3)
    with pytest.raises(ZeroOutput):
        split([Product(10**6, 10**6)], 0, 3)
    with pytest.raises(ZeroOutput):
        split_out([Product(10**6, 10**6)], 0, 3)
    with pytest.raises(InsufficientLiquidity):
        split([], 5, 3)


def test_prices_that_rise_are_taken_whole_or_not_at_all() -> None:
    # Halves of the rising one would pay less than either alone.
    rising = Steps([(Fraction(1), 1000), (Fraction(3), 1000)])
    assert split([rising, Product(10**5, 10**5)], 2000, 3).amount_out >= rising.amount_out(2000)


def test_a_split_must_gain_as_much_as_is_asked() -> None:
    curves = [Product(10**9, 10**9), Product(10**9, 10**9)]
    one, two = curves[0].amount_out(10**6), split(curves, 10**6, 3).amount_out
    gain = floor((two - one) * 10_000 / one)
    assert gain > 0
    assert split(curves, 10**6, 3, gain).amount_out == two
    assert split(curves, 10**6, 3, gain + 1).inputs == (10**6, 0)
    needed = curves[0].amount_in(10**6)
    gain = floor((needed - split_out(curves, 10**6, 3).amount_in) * 10_000 / needed)
    assert gain > 0
    assert split_out(curves, 10**6, 3, gain).inputs[1] > 0
    assert split_out(curves, 10**6, 3, gain + 1).inputs == (needed, 0)


def test_a_split_that_gains_exactly_as_much_as_is_asked_is_made() -> None:
    # Alone the first pays 19,800 for all; with the second, one percent of that more.
    curves = [Steps([(Fraction(1), 10_000), (Fraction(98, 100), 10_000)]), Steps([(Fraction(9998, 10_000), 10_000)])]
    assert split(curves, 20_000, 2, 100).amount_out == 19_998
    assert split(curves, 20_000, 2, 101).inputs == (20_000, 0)


def test_a_unit_that_costs_much_does_not_hide_the_best_two() -> None:
    # Each unit of output costs about ten of input, and rounding takes up to one of a leg.
    curves = [Product(225, 21), Product(3979, 361), Product(384, 36)]
    assert split_out(curves, 64, 2).inputs == (0, 762, 77)


def test_a_purchase_gives_up_units_that_pay_nothing() -> None:
    risen = [
        Steps([(Fraction(1), 1), (Fraction(1, 2), 3), (Fraction(6), 1), (Fraction(1), 2)]),
        Steps([(Fraction(1), 1), (Fraction(6), 1)]),
    ]
    assert split_out(risen, 8, 2).inputs == (1, 2)

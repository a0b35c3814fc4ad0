"""What holds of every DLMM pool, whatever is in its bins."""

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from msgspec import structs

from chalicelib.domain.errors import PoolRefused, ZeroOutput
from chalicelib.domain.token import U64_MAX
from chalicelib.solana.clock import Clock
from chalicelib.venues.meteora.curve import DlmmCurve
from chalicelib.venues.meteora.pool import DlmmPool
from chalicelib.venues.meteora.walk import walk
from tests.dlmm_pools import clocks, inputs, pools, without_transfer_fees

# Inputs around those at which a bin ends.
NEAR = range(-3, 5)

# Prices in floating point are so far off at most.
NEARLY_ONE = 1 + Fraction(1, 10**9)
# Of seven bins with three layers each, of which a fee leaves nine tenths at least.
LAYERS = 21
LEAST_KEPT = Fraction(9, 10)
MORE_THAN_ALL = 2 * LAYERS * U64_MAX

directions = st.booleans()


def outcome(ask: Callable[[], int]) -> int | str:
    """An amount, or why there is none."""
    try:
        return ask()
    except PoolRefused as error:
        return error.kind


def bought(curve: DlmmCurve, amount_in: int) -> int:
    """What an input buys, 0 where that is too little."""
    paid = outcome(lambda: curve.amount_out(amount_in))
    if paid == "zero_output":
        return 0
    assert isinstance(paid, int)
    return paid


def curve_of(pool: DlmmPool, direction: bool, clock: Clock) -> DlmmCurve:
    """Its curve, of a pool that has something to sell."""
    try:
        return pool.curve(direction, clock)
    except PoolRefused:
        reject()


def edges(pool: DlmmPool, direction: bool, clock: Clock) -> list[int]:
    """The largest inputs that end in each of the bins which a walk meets."""
    regime = pool.regime(clock)

    def active(arrives: int) -> int | None:
        with suppress(PoolRefused):
            return walk(pool.pair, pool.snapshot, regime.references, arrives, direction).active_id
        return None

    found, first = [], 1
    while (here := active(first)) is not None:
        low, high = first, MORE_THAN_ALL
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if active(middle) == here else (low, middle)
        found.append(regime.transfer_fees[not direction].gross(low))
        first = low + 1
    return found


@settings(max_examples=300)
@given(pools(), clocks, directions, st.lists(inputs, max_size=10))
def test_the_table_answers_as_the_walk(pool: DlmmPool, clock: Clock, direction: bool, some: list[int]) -> None:
    curve = curve_of(pool, direction, clock)
    near = {edge + step for edge in (*edges(pool, direction, clock), curve.capacity) for step in NEAR}
    # A fresh one grows by being asked, in any order.
    fresh = pool.curve(direction, clock)
    for amount in (*some, *sorted(near, reverse=True), *range(60)):
        walked = outcome(lambda amount=amount: pool.swap(amount, direction, clock)[0].amount_out)
        assert outcome(lambda amount=amount: curve.amount_out(amount)) == walked
        assert outcome(lambda amount=amount: fresh.amount_out(amount)) == walked


@given(pools(), clocks, directions, inputs)
def test_no_curve_is_no_swap(pool: DlmmPool, clock: Clock, direction: bool, amount: int) -> None:
    refused = outcome(lambda: pool.curve(direction, clock).capacity)
    if isinstance(refused, str):
        amount = min(amount, U64_MAX)
        assert outcome(lambda: pool.swap(amount, direction, clock)[0].amount_out) in (refused, "zero_output")


@given(pools(), clocks, directions, st.lists(inputs, min_size=2, max_size=10))
def test_more_input_never_buys_less(pool: DlmmPool, clock: Clock, direction: bool, some: list[int]) -> None:
    curve = curve_of(pool, direction, clock)
    taken = sorted(min(amount, curve.capacity) for amount in some)
    paid = [bought(curve, amount) for amount in taken]
    assert paid == sorted(paid)


@given(pools(), clocks, directions)
def test_the_capacity_is_the_largest_input_that_is_not_too_much(pool: DlmmPool, clock: Clock, direction: bool) -> None:
    curve = curve_of(pool, direction, clock)
    too_much = ("insufficient_liquidity", "incomplete_state", "reserve_short")
    most = outcome(lambda: curve.amount_out(curve.capacity))
    more = outcome(lambda: curve.amount_out(curve.capacity + 1))
    assert most not in too_much
    # That too much is paid in does not show where nothing is paid out.
    assert more in too_much or most == more == "zero_output"


@given(pools(), clocks, directions, st.lists(inputs, max_size=10), st.lists(inputs, max_size=10))
def test_buying_takes_the_least_input(
    pool: DlmmPool, clock: Clock, direction: bool, some: list[int], wanted: list[int]
) -> None:
    curve = curve_of(pool, direction, clock)
    most = bought(curve, curve.capacity)
    outputs = {
        bought(curve, min(amount, curve.capacity)) + step
        for amount in (*some, *edges(pool, direction, clock))
        for step in (-1, 0, 1)
    }
    for amount_out in (*outputs, *wanted, most + 1):
        needed = outcome(lambda amount_out=amount_out: curve.amount_in(amount_out))
        if amount_out <= 0:
            assert needed == "zero_output"
        elif amount_out > most:
            assert needed in ("insufficient_liquidity", "incomplete_state", "reserve_short")
        else:
            assert isinstance(needed, int)
            assert bought(curve, needed) >= amount_out > bought(curve, needed - 1)
            assert pool.swap_out(amount_out, direction, clock)[0].amount_in == needed


@given(pools(tidy=True), clocks, directions, st.floats(0.5, 1.01), inputs)
def test_input_behind_input_at_pays_less(
    pool: DlmmPool, clock: Clock, direction: bool, share: float, more: int
) -> None:
    curve = curve_of(without_transfer_fees(pool), direction, clock)
    price = float(curve.spot) * share
    amount = min(curve.input_at(price), curve.capacity)
    more = min(more, curve.capacity - amount)
    assert bought(curve, amount + more) - bought(curve, amount) <= more * Fraction(price) * NEARLY_ONE + 1


@given(pools(tidy=True), clocks, directions, st.floats(0.5, 1), inputs)
def test_input_up_to_input_at_pays_as_much(
    pool: DlmmPool, clock: Clock, direction: bool, share: float, less: int
) -> None:
    # A fee that does not move makes later bins worse ones.
    pool = without_transfer_fees(pool)
    fees = structs.replace(pool.pair.fees, variable_fee_control=0)
    curve = curve_of(DlmmPool(structs.replace(pool.pair, fees=fees), pool.snapshot), direction, clock)
    price = float(curve.spot) * share
    amount = min(curve.input_at(price), curve.capacity)
    less = min(less, amount)
    # Each layer may lose two units of input and two of output to rounding.
    lost = LAYERS * (2 * curve.spot / LEAST_KEPT + 2)
    assert bought(curve, amount) - bought(curve, amount - less) >= less * Fraction(price) / NEARLY_ONE - lost


@given(pools(tidy=True), clocks, directions, inputs)
def test_there_and_back_gains_nothing(pool: DlmmPool, clock: Clock, direction: bool, amount: int) -> None:
    curve = curve_of(pool, direction, clock)
    amount = min(amount, curve.capacity)
    assume(bought(curve, amount))
    there, moved = pool.swap(amount, direction, clock)
    back = curve_of(moved, not direction, clock)
    assert bought(back, min(there.amount_out, back.capacity)) <= amount


@given(pools(), clocks, st.lists(st.tuples(directions, inputs), max_size=6))
def test_a_resumed_pool_is_the_pool(pool: DlmmPool, clock: Clock, swaps: list[tuple[bool, int]]) -> None:
    traded = pool
    for direction, amount in swaps:
        with suppress(PoolRefused):
            capacity = traded.curve(direction, clock).capacity
            _, traded = traded.swap(min(amount, capacity), direction, clock)
    assert pool.resumed(traded.state()) == traded
    # Also where it was resumed before.
    assert pool.resumed(pool.state()).resumed(traded.state()) == traded


@given(pools(), clocks, directions, inputs)
def test_reserves_move_by_what_arrives_and_is_sent(pool: DlmmPool, clock: Clock, direction: bool, amount: int) -> None:
    amount = min(amount, curve_of(pool, direction, clock).capacity)
    try:
        fill, after = pool.swap(amount, direction, clock)
    except ZeroOutput:
        return
    fee_in, fee_out = (mint.transfer_fee(clock.epoch) for mint in pool.pair.mints[:: 1 if direction else -1])
    arrived, left = (
        after.snapshot.reserves[side] - pool.snapshot.reserves[side] for side in (not direction, direction)
    )
    assert arrived == amount - fee_in.of(amount)
    assert fill.amount_out == -left - fee_out.of(-left)
    # Bins hold all that the reserves do but fees, and what filled orders were paid.
    name_in, name_out = ("amount_x", "amount_y")[:: 1 if direction else -1]
    kept = _total(after, name_in) - _total(pool, name_in)
    assert kept <= arrived - fill.fee_in if pool.pair.limit_orders else kept == arrived - fill.fee_in
    names_out = (name_out, "open_order", "processed_order_remaining")
    assert sum(_total(after, name) - _total(pool, name) for name in names_out) == left - fill.fee_out


def _total(pool: DlmmPool, name: str) -> int:
    return sum(getattr(found, name) for found in pool.snapshot.bins.values())

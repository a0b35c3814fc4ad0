"""What single swaps do to a DLMM pool with few bins."""

from fractions import Fraction

import pytest
from msgspec import structs

from chalicelib.domain.errors import InsufficientLiquidity, ReserveShort, ZeroOutput
from chalicelib.domain.token import U64_MAX
from chalicelib.solana.address import TOKEN_PROGRAM
from chalicelib.solana.clock import Clock
from chalicelib.solana.mint import Mint, TransferFee
from chalicelib.venues.meteora.bins import Bin, Pair, Snapshot
from chalicelib.venues.meteora.fees import FeeRules, Volatility
from chalicelib.venues.meteora.pool import DlmmPool
from chalicelib.venues.meteora.price import ONE
from chalicelib.venues.pool import Fill

X_TO_Y, Y_TO_X = True, False
NOW = Clock(slot=1, epoch=1, timestamp=1_000)
MINT_X, MINT_Y = (Mint(address=name, program=TOKEN_PROGRAM, decimals=0) for name in ("x", "y"))
# One in ten.
FEES = FeeRules(
    base_rate=10**8,
    bin_step=100,
    variable_fee_control=0,
    max_accumulator=10**6,
    filter_period=10,
    decay_period=100,
    reduction_factor=5_000,
)


def pool(
    bins: dict[int, Bin],
    *,
    mint_x: Mint = MINT_X,
    fee_in_y: bool = False,
    limit_orders: bool = True,
    reserves: tuple[int, int] = (10**9, 10**9),
) -> DlmmPool:
    """A pool of these bins, 0 the active one."""
    pair = Pair(
        address="pair",
        mints=(mint_x, MINT_Y),
        fees=FEES,
        fee_in_y=fee_in_y,
        limit_orders=limit_orders,
        disabled=False,
        opens_at_slot=0,
        opens_at_timestamp=0,
        arrays=(-1, 0),
        loaded=frozenset((-1, 0)),
        bins=bins,
    )
    return DlmmPool(
        pair,
        Snapshot(active_id=0, volatility=Volatility(30_000, 7, 3, 950), reserves=reserves, bins=bins),
    )


def test_fees_are_taken_of_the_input_or_of_y() -> None:
    bins = {0: Bin(ONE, 1_000, 1_000)}
    both = Fill(amount_in=100, amount_out=90, fee_in=10, fee_out=0)
    assert pool(bins).swap(100, X_TO_Y, NOW)[0] == both
    assert pool(bins).swap(100, Y_TO_X, NOW)[0] == both
    assert pool(bins, fee_in_y=True).swap(100, Y_TO_X, NOW)[0] == both
    fill, after = pool(bins, fee_in_y=True).swap(100, X_TO_Y, NOW)
    assert fill == Fill(amount_in=100, amount_out=90, fee_in=0, fee_out=10)
    # What it was paid is all in the bin, and the fee has left it.
    assert after.snapshot.bins[0] == Bin(ONE, 1_100, 900)


def test_market_makers_sell_first_then_orders_touched_before() -> None:
    orders = pool({0: Bin(ONE, 0, 100, open_order=50, processed_order_remaining=30)})
    for net, left in [
        (99, Bin(ONE, 99, 1, 50, 30)),
        (100, Bin(ONE, 100, 0, 50, 30)),
        (110, Bin(ONE, 100, 0, 50, 20)),
        (130, Bin(ONE, 100, 0, 50, 0)),
        # From now on the open orders are the ones that were touched.
        (131, Bin(ONE, 100, 0, 0, 49)),
        (180, Bin(ONE, 100, 0, 0, 0)),
    ]:
        amount = orders.curve(X_TO_Y, NOW).amount_in(net)
        fill, after = orders.swap(amount, X_TO_Y, NOW)
        assert fill.amount_out == net
        assert after.snapshot.bins[0] == left


def test_open_orders_that_are_paid_too_little_for_a_unit_stay_open() -> None:
    # A unit of Y costs two of X: net of the fee, one is left for the orders.
    orders = pool({0: Bin(ONE // 2, 0, 1, open_order=50)})
    fill, after = orders.swap(4, X_TO_Y, NOW)
    assert (fill.amount_out, after.snapshot.bins[0]) == (1, Bin(ONE // 2, 2, 0, open_order=50))
    fill, after = orders.swap(5, X_TO_Y, NOW)
    assert (fill.amount_out, after.snapshot.bins[0]) == (2, Bin(ONE // 2, 2, 0, processed_order_remaining=49))


@pytest.mark.parametrize(("ask_side", "direction"), [(0, Y_TO_X), (1, X_TO_Y)])
def test_orders_sell_in_one_direction_only(ask_side: int, direction: bool) -> None:
    held = Bin(ONE, 100, 100, open_order=50, processed_order_remaining=30, limit_order_ask_side=ask_side)
    most = {way: pool({0: held}).curve(way, NOW).capacity for way in (X_TO_Y, Y_TO_X)}
    assert most[direction] == 112
    assert most[not direction] == 201
    assert pool({0: held}, limit_orders=False).curve(not direction, NOW).capacity == 112


def test_a_bin_drained_to_the_unit_stays_the_active_one() -> None:
    bins = {0: Bin(ONE, 0, 90), -1: Bin(ONE, 0, 90)}
    _, after = pool(bins).swap(100, X_TO_Y, NOW)
    assert (after.snapshot.active_id, after.snapshot.bins[0].amount_y) == (0, 0)
    # 101 leave 90 as well, and the fee keeps the unit; 102 go on.
    fill, after = pool(bins).swap(101, X_TO_Y, NOW)
    assert (fill.amount_out, fill.fee_in, after.snapshot.active_id) == (90, 11, 0)
    assert pool(bins).swap(102, X_TO_Y, NOW)[1].snapshot.active_id == -1


def test_the_unit_that_a_fee_keeps_buys_nothing_of_a_next_bin_without_fee() -> None:
    fees = structs.replace(FEES, base_rate=0, variable_fee_control=10**7)
    found = pool({0: Bin(ONE, 0, 90), -1: Bin(ONE, 0, 90)})
    snapshot = structs.replace(found.snapshot, volatility=Volatility(0, 0, -1, 1_000))
    curve = DlmmPool(structs.replace(found.pair, fees=fees), snapshot).curve(X_TO_Y, NOW)
    assert [curve.amount_out(amount) for amount in (100, 101, 102, 103)] == [90, 90, 92, 93]
    assert curve.amount_in(91) == 102


def test_a_bin_that_takes_more_than_64_bits_hold_is_the_end() -> None:
    found = pool({0: Bin(ONE, 0, 90), -1: Bin(ONE * 2 // 3, 0, U64_MAX)}, reserves=(0, U64_MAX))
    assert found.curve(X_TO_Y, NOW).capacity == 101
    with pytest.raises(InsufficientLiquidity):
        found.swap(102, X_TO_Y, NOW)


def test_layers_before_one_that_takes_more_than_64_bits_hold_are_filled() -> None:
    found = pool({0: Bin(ONE // 2, 0, 10, open_order=U64_MAX, processed_order_remaining=10)}, reserves=(0, U64_MAX))
    curve = found.curve(X_TO_Y, NOW)
    fill, after = found.swap(45, X_TO_Y, NOW)
    assert fill.amount_out == curve.amount_out(45) == 20
    assert after.snapshot.bins[0] == Bin(ONE // 2, 20, 0, open_order=U64_MAX)
    assert curve.capacity == 45
    with pytest.raises(InsufficientLiquidity):
        found.swap(46, X_TO_Y, NOW)


@pytest.mark.parametrize(
    ("timestamp", "reference", "index"),
    [(959, 7, 3), (960, 15_000, 0), (1_049, 15_000, 0), (1_050, 0, 0), (949, 7, 3)],
)
def test_volatility_decays_and_grows(timestamp: int, reference: int, index: int) -> None:
    bins = {bin_id: Bin(ONE, 0, 90) for bin_id in (0, -2)}
    still, moving = (
        pool(bins).swap(amount, X_TO_Y, Clock(1, 1, timestamp))[1].snapshot.volatility for amount in (50, 150)
    )
    assert still == Volatility(reference + index * 10_000, reference, index, 950)
    assert moving == Volatility(reference + (index + 2) * 10_000, reference, index, timestamp)


def test_transfer_fees_stay_outside_of_the_pool() -> None:
    half = TransferFee(epoch=2, maximum=1_000, basis_points=5_000)
    taxed = pool({0: Bin(ONE, 1_000, 1_000)}, mint_x=structs.replace(MINT_X, newer_fee=half))
    later = Clock(slot=1, epoch=2, timestamp=1_000)
    assert taxed.swap(200, X_TO_Y, NOW)[0].amount_out == 180
    fill, after = taxed.swap(200, X_TO_Y, later)
    assert (fill.amount_in, fill.fee_in, fill.amount_out) == (200, 10, 90)
    assert after.snapshot.reserves == (10**9 + 100, 10**9 - 90)
    fill, after = taxed.swap(100, Y_TO_X, later)
    assert (fill.amount_in, fill.fee_in, fill.amount_out) == (100, 10, 45)
    assert after.snapshot.reserves == (10**9 - 90, 10**9 + 100)
    assert taxed.swap_out(44, Y_TO_X, later)[0].amount_in == 98


def test_a_reserve_may_hold_less_than_the_bins() -> None:
    short = pool({0: Bin(ONE, 0, 90)}, reserves=(0, 80))
    assert short.swap(89, X_TO_Y, NOW)[0].amount_out == 80
    with pytest.raises(ReserveShort):
        short.swap(90, X_TO_Y, NOW)
    assert short.curve(X_TO_Y, NOW).capacity == 89


def test_a_reserve_holds_no_more_than_64_bits() -> None:
    nearly_full = pool({0: Bin(ONE, 0, 90)}, reserves=(U64_MAX - 50, 90))
    curve = nearly_full.curve(X_TO_Y, NOW)
    assert curve.capacity == curve.input_at(0.1) == 50
    assert nearly_full.swap(50, X_TO_Y, NOW)[1].snapshot.reserves == (U64_MAX, 45)
    with pytest.raises(InsufficientLiquidity):
        nearly_full.swap(51, X_TO_Y, NOW)
    assert curve.amount_in(45) == 50
    with pytest.raises(InsufficientLiquidity):
        curve.amount_in(46)


def test_nothing_left_for_the_trader_is_told_before_a_short_reserve() -> None:
    everything = structs.replace(MINT_X, newer_fee=TransferFee(maximum=U64_MAX, basis_points=10_000))
    short = pool({0: Bin(ONE, 90, 0)}, reserves=(80, 0), mint_x=everything)
    with pytest.raises(ZeroOutput):
        short.swap(99, Y_TO_X, NOW)
    with pytest.raises(ZeroOutput):
        short.curve(Y_TO_X, NOW).amount_out(99)


@pytest.mark.parametrize("amount", [-1, 0, 1])
def test_too_little_pays_nothing(amount: int) -> None:
    with pytest.raises(ZeroOutput):
        pool({0: Bin(ONE, 0, 90)}).swap(amount, X_TO_Y, NOW)
    with pytest.raises(ZeroOutput):
        pool({0: Bin(ONE, 0, 90)}).swap_out(min(amount, 0), X_TO_Y, NOW)


def test_input_at_goes_on_past_bins_that_pay_less() -> None:
    # The fee falls from 5 % to 1.25 % and nothing toward bin -2.
    fees = structs.replace(FEES, base_rate=0, variable_fee_control=1_250_000)
    found = pool({0: Bin(ONE, 0, 950), -1: Bin(ONE * 99 // 100, 0, 990), -2: Bin(ONE * 98 // 100, 0, 980)})
    snapshot = structs.replace(found.snapshot, volatility=Volatility(0, 0, -2, 1_000))
    curve = DlmmPool(structs.replace(found.pair, fees=fees), snapshot).curve(X_TO_Y, NOW)
    assert curve.spot == Fraction(95, 100)
    assert curve.input_at(0.981) == 0
    assert curve.input_at(0.979) == curve.input_at(0.1) == curve.capacity == 1_000 + 1_014 + 1_001


@pytest.mark.parametrize(("maximum", "price", "amount"), [(10**6, 0.46, 0), (10**6, 0.44, 2_000), (100, 0.89, 1_100)])
def test_input_at_is_what_the_trader_pays(maximum: int, price: float, amount: int) -> None:
    # Half of it does not arrive, or only the maximum, which is reached within the bin.
    half = TransferFee(maximum=maximum, basis_points=5_000)
    curve = pool({0: Bin(ONE, 0, 900)}, mint_x=structs.replace(MINT_X, newer_fee=half)).curve(X_TO_Y, NOW)
    assert curve.spot == Fraction(45, 100)
    assert curve.input_at(price) == amount


def test_input_at_ends_where_the_reserve_does() -> None:
    short = pool({0: Bin(ONE, 0, 90)}, reserves=(0, 80)).curve(X_TO_Y, NOW)
    assert short.input_at(0.5) == short.capacity == 89

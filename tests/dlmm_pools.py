"""Random DLMM pools, for properties that hold of all."""

from hypothesis import strategies as st
from msgspec import structs

from chalicelib.domain.token import U64_MAX
from chalicelib.solana.address import TOKEN_2022_PROGRAM
from chalicelib.solana.clock import Clock
from chalicelib.solana.mint import BASIS_POINTS, Mint, TransferFee
from chalicelib.venues.meteora.bins import BINS_PER_ARRAY, Bin, Pair, Snapshot
from chalicelib.venues.meteora.fees import FeeRules, Volatility
from chalicelib.venues.meteora.pool import DlmmPool
from chalicelib.venues.meteora.price import price_of

NOW = 1_760_000_000
# Bins lie within so many of the active one.
SPREAD = 9
# In 10^-9; no fee is higher.
HIGHEST_RATE = 10**8

# Small amounts show rounding, large ones overflow.
payable = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 10**6), st.integers(0, 10**13))
amounts = st.one_of(payable, st.just(U64_MAX))
inputs = st.one_of(st.integers(0, 30), st.integers(0, 10**7), st.integers(0, 10**14), st.integers(0, 2 * U64_MAX))
clocks = st.builds(Clock, slot=st.just(1), epoch=st.integers(0, 2), timestamp=st.integers(NOW - 5, NOW + 200))
transfer_fees = st.one_of(
    st.just(TransferFee()),
    st.builds(
        TransferFee,
        epoch=st.integers(0, 2),
        maximum=st.one_of(st.integers(0, 50), st.integers(0, 10**9)),
        basis_points=st.one_of(st.integers(0, 300), st.integers(0, BASIS_POINTS)),
    ),
)


@st.composite
def mints(draw: st.DrawFn, address: str) -> Mint:
    """A mint that may take a transfer fee, another one from an epoch on."""
    fees = [draw(transfer_fees), draw(transfer_fees)] if draw(st.booleans()) else [TransferFee()] * 2
    return Mint(address=address, program=TOKEN_2022_PROGRAM, decimals=6, older_fee=fees[0], newer_fee=fees[1])


@st.composite
def rules(draw: st.DrawFn) -> FeeRules:
    """How a fee is derived. High ones leave the most to rounding, and some change much from bin to bin."""
    return FeeRules(
        base_rate=draw(st.sampled_from((0, 0, 100_000, 30_000_000, HIGHEST_RATE))),
        bin_step=draw(st.sampled_from((1, 10, 80, 250, 400))),
        variable_fee_control=draw(st.sampled_from((0, 7_500, 10**6, 10**8))),
        max_accumulator=draw(st.sampled_from((0, 25_000, 150_000))),
        filter_period=draw(st.integers(0, 50)),
        decay_period=draw(st.integers(0, 150)),
        reduction_factor=draw(st.integers(0, BASIS_POINTS)),
    )


@st.composite
def bins(draw: st.DrawFn, bin_id: int, active_id: int, bin_step: int, tidy: bool) -> Bin:
    """A bin; a tidy one sells Y below the active bin, and X above."""
    x, y, open_order, processed = (draw(payable if tidy else amounts) for _ in range(4))
    # A bin may keep another price than its own.
    price = price_of(bin_id, bin_step) if tidy or draw(st.integers(0, 19)) else draw(st.integers(1, 2**128 - 1))
    ask_side = draw(st.integers(0, 1))
    if tidy and bin_id != active_id:
        ask_side = int(bin_id > active_id)
        x, y = x * ask_side, y * (1 - ask_side)
    return Bin(price, x, y, open_order, processed, ask_side)


@st.composite
def pools(draw: st.DrawFn, *, tidy: bool = False) -> DlmmPool:
    """A pool with one to seven bins that hold anything, which may promise more than its reserve or lack an array.

    A tidy one is as trades leave it: its bins in the order of prices, all loaded, and able to pay.
    """
    fee_rules = draw(rules())
    active_id = draw(st.one_of(st.integers(-75, 75), st.integers(-1_000, 1_000)))
    ids = draw(st.sets(st.integers(active_id - SPREAD, active_id + SPREAD), min_size=1, max_size=7))
    held = {bin_id: draw(bins(bin_id, active_id, fee_rules.bin_step, tidy)) for bin_id in sorted(ids)}
    existing = {bin_id // BINS_PER_ARRAY for bin_id in held}
    # Arrays that exist and hold nothing, and maybe one that was not loaded.
    existing |= draw(st.sets(st.integers(-4, 4), max_size=2))
    missing = set() if tidy or not existing else draw(st.sets(st.sampled_from(sorted(existing)), max_size=1))
    pair = Pair(
        address="pair",
        mints=(draw(mints("x")), draw(mints("y"))),
        fees=fee_rules,
        fee_in_y=draw(st.booleans()),
        limit_orders=draw(st.booleans()),
        disabled=False,
        opens_at_slot=0,
        opens_at_timestamp=0,
        arrays=tuple(sorted(existing)),
        loaded=frozenset(existing - missing),
        bins={bin_id: found for bin_id, found in held.items() if bin_id // BINS_PER_ARRAY not in missing},
    )
    volatility = Volatility(
        accumulator=draw(st.integers(0, 500_000)),
        reference=draw(st.one_of(st.just(0), st.integers(0, 150_000))),
        index_reference=active_id + draw(st.integers(-SPREAD, SPREAD)),
        last_update=NOW,
    )
    orders = sum(found.open_order + found.processed_order_remaining for found in held.values())
    x = orders + sum(found.amount_x for found in held.values())
    y = orders + sum(found.amount_y for found in held.values())
    if not tidy and draw(st.booleans()):
        x, y = draw(st.integers(0, x)), draw(st.integers(0, y))
    reserves = (min(x, U64_MAX), min(y, U64_MAX))
    return DlmmPool(pair, Snapshot(active_id=active_id, volatility=volatility, reserves=reserves, bins=pair.bins))


def without_transfer_fees(pool: DlmmPool) -> DlmmPool:
    """The same pool, its tokens without a fee of their own."""
    x, y = (structs.replace(mint, older_fee=TransferFee(), newer_fee=TransferFee()) for mint in pool.pair.mints)
    return DlmmPool(structs.replace(pool.pair, mints=(x, y)), pool.snapshot)

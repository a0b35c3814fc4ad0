"""Raydium's constant product pools: what must hold of every pool, swap and account."""

from fractions import Fraction
from functools import cache

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.domain.errors import (
    IncompleteState,
    InsufficientLiquidity,
    MalformedAccount,
    PoolClosed,
    PoolRefused,
    ZeroOutput,
)
from chalicelib.solana import address
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.solana.mint import NO_FEE, Mint, TransferFee
from chalicelib.venues.raydium import state
from chalicelib.venues.raydium.curve import CpmmCurve
from chalicelib.venues.raydium.pool import CpmmPool, Rates, Side
from tests.vectors import cpmm
from tests.vectors.__main__ import VECTORS

U64_MAX = 2**64 - 1
NOW = Clock(slot=370_000_000, epoch=857, timestamp=1_760_100_000)
# Small ones are where rounding shows, and each size of number is as likely as another.
AMOUNTS = st.integers(1, 64).flatmap(lambda bits: st.integers(1, 2**bits - 1))
RATES = st.integers(0, 10_000) | st.integers(0, 400_000)
TRANSFER_FEES = st.just(NO_FEE) | st.builds(TransferFee, st.just(0), AMOUNTS, st.integers(0, 10_000))


def mint(name: str, fee: TransferFee = NO_FEE) -> Mint:
    return Mint(address=name, program=address.TOKEN_2022_PROGRAM, decimals=6, newer_fee=fee)


def pool(vault_0: int = 10**12, vault_1: int = 10**9, **changes: object) -> CpmmPool:
    made = CpmmPool(
        address="pool",
        tokens=(mint("0"), mint("1")),
        sides=(Side(vault_0), Side(vault_1)),
        rates=Rates(trade=2_500, creator=0, protocol=120_000, fund=40_000),
    )
    return msgspec.structs.replace(made, **changes)


@st.composite
def sides(draw: st.DrawFn) -> Side:
    reserve = draw(AMOUNTS)
    protocol, fund, creator = (draw(st.integers(0, (U64_MAX - reserve) // 3)) for _ in range(3))
    return Side(reserve + protocol + fund + creator, protocol, fund, creator)


POOLS = st.builds(
    CpmmPool,
    address=st.just("pool"),
    tokens=st.tuples(TRANSFER_FEES, TRANSFER_FEES).map(lambda fees: (mint("0", fees[0]), mint("1", fees[1]))),
    sides=st.tuples(sides(), sides()),
    rates=st.builds(Rates, trade=RATES, creator=RATES, protocol=RATES, fund=RATES),
    creator_fee_on=st.integers(0, 2),
)


def paid_out(curve: CpmmCurve, amount_in: int) -> int:
    """What an input pays, 0 where that is refused as nothing."""
    try:
        return curve.amount_out(amount_in)
    except ZeroOutput:
        return 0


# What holds of every swap.


@given(POOLS, AMOUNTS, st.booleans())
def test_there_and_back_never_gains(before: CpmmPool, amount: int, zero_for_one: bool) -> None:
    try:
        there, between = before.swap(amount, zero_for_one, NOW)
        back, _ = between.swap(there.amount_out, not zero_for_one, NOW)
    except PoolRefused:
        return
    assert back.amount_out <= amount


@given(POOLS, AMOUNTS, AMOUNTS, st.booleans())
def test_more_input_never_pays_less(before: CpmmPool, one: int, other: int, zero_for_one: bool) -> None:
    curve = before.curve(zero_for_one, NOW)
    less, more = sorted((min(one, curve.capacity), min(other, curve.capacity)))
    assert paid_out(curve, less) <= paid_out(curve, more)


@given(POOLS, st.integers(0, 10**6), st.booleans())
def test_the_input_for_an_output_is_the_least(before: CpmmPool, millionths: int, zero_for_one: bool) -> None:
    curve = before.curve(zero_for_one, NOW)
    wanted = max(1, before.sides[zero_for_one].reserve * millionths // 10**6)
    try:
        needed = curve.amount_in(wanted)
    except InsufficientLiquidity:
        # Then the largest input doesn't pay so much either.
        assert paid_out(curve, curve.capacity) < wanted
        return
    assert paid_out(curve, needed) >= wanted
    assert paid_out(curve, needed - 1) < wanted


@given(POOLS, AMOUNTS, st.booleans())
def test_a_swap_pays_what_the_curve_says_and_moves_that_much(before: CpmmPool, amount: int, zero_for_one: bool) -> None:
    curve = before.curve(zero_for_one, NOW)
    given_index = 0 if zero_for_one else 1
    try:
        fill, after = before.swap(amount, zero_for_one, NOW)
    except PoolRefused as error:
        with pytest.raises(type(error)):
            curve.amount_out(amount)
        return
    assert (fill.amount_in, fill.amount_out, fill.unspent) == (amount, curve.amount_out(amount), 0)
    fees = [token.transfer_fee(NOW.epoch) for token in before.tokens]
    gained = after.sides[given_index].vault - before.sides[given_index].vault
    lost = before.sides[1 - given_index].vault - after.sides[1 - given_index].vault
    assert gained == amount - fees[given_index].of(amount)
    assert fill.amount_out == lost - fees[1 - given_index].of(lost)
    # Nobody who holds a share of the pool loses by it.
    (x, y), (u, v) = ([side.reserve for side in each.sides] for each in (before, after))
    assert u * v >= x * y
    assert all(0 <= field <= U64_MAX for side in after.sides for field in msgspec.structs.astuple(side))


@given(POOLS, AMOUNTS, st.booleans())
def test_a_purchase_pays_exactly_what_is_wanted(before: CpmmPool, amount: int, zero_for_one: bool) -> None:
    curve = before.curve(zero_for_one, NOW)
    try:
        fill, after = before.swap_out(amount, zero_for_one, NOW)
    except PoolRefused as error:
        with pytest.raises(type(error)):
            curve.amount_in(amount)
        return
    assert (fill.amount_in, fill.amount_out, fill.unspent) == (curve.amount_in(amount), amount, 0)
    (x, y), (u, v) = ([side.reserve for side in each.sides] for each in (before, after))
    assert u * v >= x * y


@given(POOLS, st.tuples(*2 * [st.integers(0, 10_000)]), st.booleans())
def test_no_input_pays_better_than_spot(before: CpmmPool, points: tuple[int, int], zero_for_one: bool) -> None:
    # Beyond a transfer fee's maximum it would: a further unit pays none of it.
    tokens = tuple(mint("mint", TransferFee(0, U64_MAX, each)) for each in points)
    curve = msgspec.structs.replace(before, tokens=tokens).curve(zero_for_one, NOW)
    for amount in (1, 10**3, 10**6, curve.capacity):
        if amount <= curve.capacity:
            assert paid_out(curve, amount) <= amount * curve.spot


@pytest.mark.parametrize("zero_for_one", [True, False])
def test_a_small_swap_pays_about_spot(zero_for_one: bool) -> None:
    deep = pool(10**18, 10**18, tokens=(mint("0", TransferFee(0, U64_MAX, 100)), mint("1", TransferFee(0, 0, 50))))
    curve = deep.curve(zero_for_one, NOW)
    assert curve.spot == Fraction(9_975, 10_000) * Fraction(99, 100)
    assert paid_out(curve, 10**9) == pytest.approx(float(curve.spot) * 10**9, rel=1e-6)


@given(POOLS, st.booleans())
def test_beyond_its_capacity_a_pool_refuses(before: CpmmPool, zero_for_one: bool) -> None:
    curve = before.curve(zero_for_one, NOW)
    # That too much is paid in does not show where nothing is paid out.
    pays = paid_out(curve, curve.capacity) > 0
    with pytest.raises(InsufficientLiquidity if pays else (InsufficientLiquidity, ZeroOutput)):
        curve.amount_out(curve.capacity + 1)
    if curve.capacity < U64_MAX:
        fee = before.tokens[0 if zero_for_one else 1].transfer_fee(NOW.epoch)
        arrived = curve.capacity + 1 - fee.of(curve.capacity + 1)
        assert before.sides[0 if zero_for_one else 1].vault + arrived > U64_MAX


def test_a_vault_holds_no_more_than_a_u64() -> None:
    nearly_full = pool(U64_MAX - 100, 10**18, tokens=(mint("0", TransferFee(0, U64_MAX, 5_000)), mint("1")))
    curve = nearly_full.curve(True, NOW)
    # Of 201, 101 are withheld.
    assert curve.capacity == 201
    _, after = nearly_full.swap(201, True, NOW)
    assert after.sides[0].vault == U64_MAX
    with pytest.raises(InsufficientLiquidity):
        nearly_full.swap(202, True, NOW)
    assert curve.amount_in(5) == 188
    with pytest.raises(InsufficientLiquidity):
        curve.amount_in(6)


def test_nothing_paid_out_is_told_before_a_full_vault() -> None:
    nearly_full = pool(U64_MAX - 100, 10**18, tokens=(mint("0"), mint("1", TransferFee(0, U64_MAX, 10_000))))
    with pytest.raises(ZeroOutput):
        nearly_full.swap(101, True, NOW)


# Where the price is.


@given(AMOUNTS, AMOUNTS, RATES, st.tuples(*2 * [st.integers(0, 9_000)]), AMOUNTS)
def test_the_input_at_a_price_is_where_its_last_unit_pays_it(
    x: int, y: int, trade: int, points: tuple[int, int], amount: int
) -> None:
    tokens = (mint("0", TransferFee(0, U64_MAX, points[0])), mint("1", TransferFee(0, U64_MAX, points[1])))
    rates = Rates(trade=trade, creator=0, protocol=0, fund=0)
    curve = pool(x, y, rates=rates, tokens=tokens).curve(True, NOW)
    assume(amount <= curve.capacity)
    kept = Fraction(10**6 - trade, 10**6) * Fraction(10**4 - points[0], 10**4)
    price = float(kept * Fraction(10**4 - points[1], 10**4) * x * y / (x + kept * amount) ** 2)
    # The net input is a whole number, of which each stands for some units of input.
    assert curve.input_at(price) == pytest.approx(amount, abs=float(3 / kept) + 1e-9 * (x / kept + amount))


@given(st.tuples(TRANSFER_FEES, TRANSFER_FEES), AMOUNTS, st.integers(1, 10**4), st.booleans())
def test_beyond_the_input_at_a_price_nothing_pays_more(
    fees: tuple[TransferFee, TransferFee], more: int, share: int, zero_for_one: bool
) -> None:
    deep = pool(10**15, 10**17, tokens=(mint("0", fees[0]), mint("1", fees[1])))
    curve = deep.curve(zero_for_one, NOW)
    price = float((100 if zero_for_one else Fraction(1, 100)) * Fraction(share, 10**4))
    start = curve.input_at(price)
    end = min(start + more, curve.capacity)
    gained = paid_out(curve, end) - paid_out(curve, start)
    assert gained <= price * (end - start) * (1 + 1e-6) + 100 * (1 + price)


@given(POOLS, st.booleans(), st.floats(0, allow_nan=False))
def test_any_price_has_an_input_within_capacity(before: CpmmPool, zero_for_one: bool, price: float) -> None:
    curve = before.curve(zero_for_one, NOW)
    assert 0 <= curve.input_at(price) <= curve.capacity


def test_a_price_above_spot_has_no_input() -> None:
    curve = pool().curve(True, NOW)
    assert curve.input_at(float(curve.spot) * 1.000001) == 0
    assert curve.input_at(0) == curve.capacity


# Fees.

CREATORS = Rates(trade=20_000, creator=5_000, protocol=120_000, fund=40_000)


@pytest.mark.parametrize(("creator_fee_on", "zero_for_one"), [(0, True), (0, False), (1, True), (2, False)])
def test_a_creators_fee_on_the_input_is_a_part_of_the_whole_fee(creator_fee_on: int, zero_for_one: bool) -> None:
    before = pool(10**12, 10**12, creator_fee_on=creator_fee_on, rates=CREATORS)
    fill, after = before.swap(10_000, zero_for_one, NOW)
    assert (fill.fee_in, fill.fee_out, fill.amount_out) == (250, 0, 9_749)
    assert set(after.sides) == {Side(10**12 + 10_000, 24, 8, 50), Side(10**12 - 9_749)}


@pytest.mark.parametrize(("creator_fee_on", "zero_for_one"), [(1, False), (2, True)])
def test_a_creators_fee_on_the_output_is_taken_off_it(creator_fee_on: int, zero_for_one: bool) -> None:
    before = pool(10**12, 10**12, creator_fee_on=creator_fee_on, rates=CREATORS)
    fill, after = before.swap(10_000, zero_for_one, NOW)
    assert (fill.fee_in, fill.fee_out, fill.amount_out) == (200, 49, 9_750)
    assert set(after.sides) == {Side(10**12 + 10_000, 24, 8), Side(10**12 - 9_750, creator_fees=49)}


def test_a_pool_without_a_fee_trades() -> None:
    free = pool(10**6, 10**6, rates=Rates(trade=0, creator=0, protocol=120_000, fund=40_000))
    fill, after = free.swap(1_000, True, NOW)
    assert (fill.amount_out, fill.fee_in, fill.fee_out) == (999, 0, 0)
    assert after.sides == (Side(1_001_000), Side(999_001))


# What is refused.


def test_a_pool_that_is_closed_says_so() -> None:
    for closed in (pool(status=4), pool(status=7), pool(open_time=NOW.timestamp + 1)):
        for call in (closed.swap, closed.swap_out):
            with pytest.raises(PoolClosed):
                call(1_000_000, True, NOW)
        with pytest.raises(PoolClosed):
            closed.curve(True, NOW)
    for opened in (pool(status=3), pool(open_time=NOW.timestamp)):
        assert opened.swap(1_000_000, True, NOW)


@pytest.mark.parametrize("vaults", [(0, 10**9), (10**9, 0)])
def test_an_empty_pool_has_no_liquidity(vaults: tuple[int, int]) -> None:
    with pytest.raises(InsufficientLiquidity):
        pool(*vaults).curve(True, NOW)


def test_no_more_is_bought_than_there_is() -> None:
    with pytest.raises(InsufficientLiquidity):
        pool(10**6, 10**6).swap_out(10**6, True, NOW)
    assert pool(10**6, 10**6).swap_out(10**6 - 1, True, NOW)[0].amount_in > 10**12


def test_nothing_is_neither_sold_nor_bought() -> None:
    for amount in (0, -1):
        with pytest.raises(ZeroOutput):
            pool().swap(amount, True, NOW)
        with pytest.raises(ZeroOutput):
            pool().swap_out(amount, True, NOW)


# States and accounts.


@given(POOLS, st.lists(st.tuples(AMOUNTS, st.booleans()), max_size=3))
def test_a_pool_goes_on_from_its_state(before: CpmmPool, swaps: list[tuple[int, bool]]) -> None:
    after = before
    for amount, zero_for_one in swaps:
        try:
            _, after = after.swap(amount, zero_for_one, NOW)
        except PoolRefused:
            continue
    assert before.resumed(after.state()) == after


def test_a_state_is_compact() -> None:
    assert pool().state() == b"[[1000000000000,0,0,0],[1000000000,0,0,0]]"


@cache
def recorded() -> tuple[str, dict[str, Account]]:
    """A pool's address and its accounts."""
    cases = msgspec.json.decode((VECTORS / "raydium_cpmm.json").read_bytes())
    found = cpmm.from_accounts(documents := next(case["accounts"] for case in cases if "accounts" in case))
    return found.address, {pubkey: cpmm.account(pubkey, document) for pubkey, document in documents.items()}


def test_a_pool_names_the_accounts_that_it_is_read_from() -> None:
    pubkey, accounts = recorded()
    needed = state.parts(accounts[pubkey])
    read = state.read(pubkey, {part: accounts[part] for part in (pubkey, *needed)})
    assert read.mints == needed[3:]
    assert read.decimals == (0, 6)
    for missing in (pubkey, *needed):
        with pytest.raises(IncompleteState, match=missing):
            state.read(pubkey, {key: value for key, value in accounts.items() if key != missing})


def patched(account: Account, offset: int, *values: int) -> Account:
    """The account with these u64 from an offset on."""
    patch = b"".join(value.to_bytes(8, "little") for value in values)
    data = account.data[:offset] + patch + account.data[offset + len(patch) :]
    return msgspec.structs.replace(account, data=data)


@pytest.mark.parametrize(("enabled", "creator"), [(0, 0), (1, 777)])
def test_every_number_has_its_place(enabled: int, creator: int) -> None:
    pubkey, accounts = recorded()
    config, vault_0, vault_1, *_ = (accounts[part] for part in state.parts(accounts[pubkey]))
    changed = patched(accounts[pubkey], 341, 1, 2, 3, 4, 5)
    changed = patched(changed, 397, 6, 7)
    changed = msgspec.structs.replace(changed, data=changed.data[:389] + bytes([2, enabled]) + changed.data[391:])
    rated = patched(patched(config, 12, 10, 20, 30), 108, 777)
    amounts = [patched(vault_0, 64, 100), patched(vault_1, 64, 200)]
    found = state.read(pubkey, accounts | {each.pubkey: each for each in (changed, rated, *amounts)})
    assert found.sides == (Side(100, 1, 3, 6), Side(200, 2, 4, 7))
    assert found.rates == Rates(trade=10, protocol=20, fund=30, creator=creator)
    assert (found.creator_fee_on, found.open_time, found.status) == (2, 5, 0)


@pytest.mark.parametrize(
    ("part", "offset", "value"),
    [
        (0, 0, b"\0"),
        (0, 389, b"\3"),
        (0, 168, bytes(32)),
        (1, 0, b"\0"),
        (1, 12, (10**6).to_bytes(8, "little")),
        (1, 20, (960_001).to_bytes(8, "little")),
        (2, 0, bytes(32)),
    ],
)
def test_an_account_that_is_not_what_it_should_be_is_malformed(part: int, offset: int, value: bytes) -> None:
    pubkey, accounts = recorded()
    changed = accounts[(pubkey, *state.parts(accounts[pubkey]))[part]]
    data = changed.data[:offset] + value + changed.data[offset + len(value) :]
    other = {changed.pubkey: msgspec.structs.replace(changed, data=data)}
    with pytest.raises((MalformedAccount, IncompleteState)):
        state.read(pubkey, accounts | other)
    with pytest.raises(MalformedAccount, match=changed.pubkey):
        state.read(pubkey, accounts | {changed.pubkey: msgspec.structs.replace(changed, owner=address.SYSVARS)})


@given(st.data(), AMOUNTS, st.booleans())
def test_random_accounts_are_read_or_malformed(drawn: st.DataObject, amount: int, zero_for_one: bool) -> None:
    pubkey, accounts = recorded()
    changed = accounts[drawn.draw(st.sampled_from([pubkey, *state.parts(accounts[pubkey])]))]
    patch, offset = drawn.draw(st.binary(max_size=64)), drawn.draw(st.integers(0, len(changed.data)))
    patched = changed.data[:offset] + patch + changed.data[offset + len(patch) :]
    data = drawn.draw(st.sampled_from([patched, changed.data[:offset], patch]))
    try:
        found = state.read(pubkey, accounts | {changed.pubkey: msgspec.structs.replace(changed, data=data)})
        found.swap(amount, zero_for_one, NOW)
    except (MalformedAccount, PoolRefused) as error:
        assert str(error)

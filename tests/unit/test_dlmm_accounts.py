"""DLMM pools from the accounts of the chain: real ones, changed ones, missing ones, and nonsense."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chalicelib.domain.errors import IncompleteState, InsufficientLiquidity, MalformedAccount, PoolClosed, PoolRefused
from chalicelib.solana import address as addresses
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.venues.meteora import state
from chalicelib.venues.meteora.pool import DlmmPool
from tests.vectors.dlmm import accounts, clock, from_accounts

# Fees of the input; of Y and with limit orders, open from a slot on; with a transfer fee of X.
PLAIN = "EtAdVRLFH22rjWh3mcUasKFF27WtHhsaCvK27tPFFWig"
ORDERS = "9t3EyC9FweyL7PBWvKz3mrXg8B9fwFc9SK3QxM4ENqhd"
TAXED = "B5Eia4cE71tKuEDaqPHucJLG2fxySKyKzLMewd2nUvoc"
NOW = clock(1_760_000_000)
X_TO_Y, Y_TO_X = True, False


def patched(address: str, pubkey: str, *changes: tuple[int, bytes]) -> dict[str, Account]:
    """A pool's accounts, some bytes of one replaced."""
    found = accounts(address)
    data = bytearray(found[pubkey].data)
    for offset, value in changes:
        data[offset : offset + len(value)] = value
    return found | {pubkey: structs.replace(found[pubkey], data=bytes(data))}


def bitmap(*arrays: int) -> tuple[int, bytes]:
    """The pair's bits for these arrays."""
    return 584, sum(1 << array + 512 for array in arrays).to_bytes(128, "little")


def rich(found: dict[str, Account], address: str) -> dict[str, Account]:
    """The accounts, the pool's reserves large enough for all its bins."""
    reserves = {pubkey: found[pubkey] for pubkey in state.parts(found[address])[2:4]}
    return found | {
        pubkey: structs.replace(account, data=account.data[:64] + (2**60).to_bytes(8, "little") + account.data[72:])
        for pubkey, account in reserves.items()
    }


def i32(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=True)


def moved(found: dict[str, Account], address: str, array: int, to: int) -> dict[str, Account]:
    """The accounts, one bin array of them under another index; its bins keep their prices."""
    account = found[state.array_address(address, array)]
    pubkey = state.array_address(address, to)
    data = account.data[:8] + to.to_bytes(8, "little", signed=True) + account.data[16:]
    return found | {pubkey: structs.replace(account, pubkey=pubkey, data=data)}


def extension(address: str, *arrays: int) -> dict[str, Account]:
    """A bitmap extension that names these arrays."""
    positive = sum(1 << array - 512 for array in arrays if array > 0).to_bytes(768, "little")
    negative = sum(1 << -array - 513 for array in arrays if array < 0).to_bytes(768, "little")
    discriminator = sha256(b"account:BinArrayBitmapExtension").digest()[:8]
    data = discriminator + addresses.to_bytes(address) + positive + negative
    pubkey = state.extension_address(address)
    return {pubkey: Account(pubkey, state.PROGRAM, data)}


@pytest.mark.parametrize("address", [PLAIN, ORDERS, TAXED])
def test_a_loader_is_told_of_all_parts(address: str) -> None:
    found = accounts(address)
    told = {address, *state.parts(found[address])}
    assert found.keys() - {"So11111111111111111111111111111111111111112"} <= told
    # None of the three has an extension.
    absent = told - found.keys() - {state.array_address(PLAIN, 1)}
    assert absent == {state.extension_address(address)}


def test_arrays_are_those_nearest_to_the_active_bin() -> None:
    changed = patched(PLAIN, PLAIN, bitmap(-300, -2, -1, 0, 5, 9))
    told = state.parts(changed[PLAIN], arrays=2)
    assert [array for array in range(-400, 400) if state.array_address(PLAIN, array) in told] == [-1, 0, 5]


def test_a_pool_is_what_its_accounts_say() -> None:
    pool = from_accounts(TAXED)
    assert (pool.address, pool.venue, pool.decimals) == (TAXED, "Meteora", (9, 9))
    assert pool.mints == (
        "B4rGSdcBrmLEPUQXpZa91PMsRE3GqNcjLd6EMvM3yaj2",
        "So11111111111111111111111111111111111111112",
    )
    assert pool.snapshot.reserves == (999_994_987, 999_999_984)


@pytest.mark.parametrize("direction", [X_TO_Y, Y_TO_X])
@pytest.mark.parametrize("address", [PLAIN, ORDERS, TAXED])
def test_small_swaps_pay_the_spot_price(address: str, direction: bool) -> None:
    curve = from_accounts(address).curve(direction, NOW)
    amount = 100_000
    # At each of four steps less than a unit is rounded away.
    assert 0 <= amount * curve.spot - curve.amount_out(amount) < 2 * curve.spot + 2


@pytest.mark.parametrize("address", [PLAIN, ORDERS, TAXED])
def test_prices_that_bins_do_not_store_are_derived(address: str) -> None:
    stored = state.read(address, accounts(address))
    found = accounts(address)
    for pubkey in [pubkey for pubkey, account in found.items() if len(account.data) == 10_136]:
        unpriced = [(56 + 144 * position + 16, bytes(16)) for position in range(70)]
        data = bytearray(found[pubkey].data)
        for offset, value in unpriced:
            data[offset : offset + 16] = value
        found[pubkey] = structs.replace(found[pubkey], data=bytes(data))
    assert state.read(address, found) == stored


def test_an_array_that_was_not_loaded_is_not_an_empty_one() -> None:
    found = rich(accounts(PLAIN), PLAIN)
    whole = state.read(PLAIN, found)
    del found[state.array_address(PLAIN, -1)]
    pool = state.read(PLAIN, found)
    known = pool.curve(X_TO_Y, NOW).capacity
    assert pool.swap(known, X_TO_Y, NOW)[0] == whole.swap(known, X_TO_Y, NOW)[0]
    with pytest.raises(IncompleteState):
        pool.swap(known + 1, X_TO_Y, NOW)
    with pytest.raises(IncompleteState):
        pool.curve(X_TO_Y, NOW).amount_out(known + 1)


def test_arrays_without_a_bit_are_skipped() -> None:
    skipping = state.read(PLAIN, rich(patched(PLAIN, PLAIN, bitmap(0)), PLAIN))
    with pytest.raises(InsufficientLiquidity):
        skipping.swap(skipping.curve(X_TO_Y, NOW).capacity + 1, X_TO_Y, NOW)
    # A gap is crossed, and the array behind it entered at its nearest bin.
    gap = moved(rich(patched(PLAIN, PLAIN, bitmap(-500, 0)), PLAIN), PLAIN, -1, -500)
    del gap[state.array_address(PLAIN, -1)]
    pool = state.read(PLAIN, gap)
    capacity = skipping.curve(X_TO_Y, NOW).capacity
    _, after = pool.swap(capacity + 100, X_TO_Y, NOW)
    assert after.snapshot.active_id // 70 == -500


@pytest.mark.parametrize(("direction", "beyond"), [(X_TO_Y, -513), (X_TO_Y, -6_000), (Y_TO_X, 512), (Y_TO_X, 6_000)])
def test_arrays_far_away_have_their_bits_in_the_extension(direction: bool, beyond: int) -> None:
    ids = (24, i32(-443_636)), (28, i32(443_636))
    found = moved(rich(patched(PLAIN, PLAIN, bitmap(0), *ids), PLAIN), PLAIN, -1 if direction else 0, beyond)
    near = state.read(PLAIN, found | {state.extension_address(PLAIN): None})
    known = near.curve(direction, NOW).capacity
    with pytest.raises(InsufficientLiquidity) as ended:
        near.swap(known + 100, direction, NOW)
    assert ended.type is InsufficientLiquidity
    with pytest.raises(IncompleteState):
        state.read(PLAIN, found).swap(known + 100, direction, NOW)
    reaching = state.read(PLAIN, found | extension(PLAIN, beyond))
    assert reaching.curve(direction, NOW).capacity > known + 100
    del found[state.array_address(PLAIN, beyond)]
    with pytest.raises(IncompleteState):
        state.read(PLAIN, found | extension(PLAIN, beyond)).swap(known + 100, direction, NOW)


@pytest.mark.parametrize("direction", [X_TO_Y, Y_TO_X])
@pytest.mark.parametrize("active", [-600, 600])
def test_a_price_far_away_needs_the_extension_both_ways(active: int, direction: bool) -> None:
    ids = (24, i32(-443_636)), (28, i32(443_636)), (76, i32(active * 70))
    found = moved(patched(PLAIN, PLAIN, bitmap(), *ids), PLAIN, -1 if direction else 0, active)
    with pytest.raises(IncompleteState):
        state.read(PLAIN, found).curve(direction, NOW)
    # The first bin of an array is its only one that a swap down meets.
    pool = state.read(PLAIN, found | extension(PLAIN, active))
    if not direction:
        assert pool.curve(direction, NOW).capacity > 0


@pytest.mark.parametrize(("direction", "inside", "last"), [(Y_TO_X, -512, -35_840), (X_TO_Y, 511, 35_839)])
def test_a_price_outside_of_the_pairs_own_bits_buys_nothing_without_an_extension(
    direction: bool, inside: int, last: int
) -> None:
    outside = last + 1 if direction else last - 1
    for active in (last, outside):
        ids = (24, i32(-443_636)), (28, i32(443_636)), (76, i32(active))
        found = rich(patched(PLAIN, PLAIN, bitmap(inside), *ids), PLAIN)
        found = moved(found, PLAIN, -1 if direction else 0, inside) | {state.extension_address(PLAIN): None}
        pool = state.read(PLAIN, found)
        if active == last:
            assert pool.swap(10**6, direction, NOW)[0].amount_out
        else:
            with pytest.raises(InsufficientLiquidity):
                pool.swap(10**6, direction, NOW)


def test_a_pool_whose_bins_all_lie_near_needs_no_extension() -> None:
    pool = from_accounts(ORDERS)
    with pytest.raises(InsufficientLiquidity) as ended:
        pool.swap(2**63, X_TO_Y, NOW)
    assert ended.type is InsufficientLiquidity


@pytest.mark.parametrize(
    ("changes", "filled"),
    [
        ([(35, b"\x00")], True),
        ([(35, b"\x00"), (264, b"\x01")], False),
        ([(35, b"\x00"), (408, b"\x01")], False),
        ([(35, b"\x01")], False),
        ([(35, b"\x02"), (264, b"\x01")], True),
    ],
)
def test_limit_orders_are_filled_unless_a_pool_farms_rewards(changes: list[tuple[int, bytes]], filled: bool) -> None:
    pool = state.read(ORDERS, patched(ORDERS, ORDERS, *changes))
    with_orders, found = (one.curve(Y_TO_X, NOW).capacity for one in (from_accounts(ORDERS), pool))
    assert (found == with_orders) == filled
    assert found <= with_orders


OPENS = (816, (1_000).to_bytes(8, "little"))


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize(
    ("unit", "before", "at"),
    [(0, Clock(999, 0, 5_000), Clock(1_000, 0, 5)), (1, Clock(5_000, 0, 999), Clock(5, 0, 1_000))],
)
def test_a_pool_opens_at_its_activation_point(kind: int, unit: int, before: Clock, at: Clock) -> None:
    pool = state.read(ORDERS, patched(ORDERS, ORDERS, OPENS, (75, bytes([kind])), (86, bytes([unit]))))
    for refused in (pool.regime, lambda clock: pool.curve(Y_TO_X, clock), lambda clock: pool.swap(9**9, Y_TO_X, clock)):
        with pytest.raises(PoolClosed):
            refused(before)
    assert pool.swap(9**9, Y_TO_X, at)


@pytest.mark.parametrize("kind", [0, 3])
def test_other_pools_are_open_from_the_start(kind: int) -> None:
    pool = state.read(ORDERS, patched(ORDERS, ORDERS, OPENS, (75, bytes([kind]))))
    assert pool.swap(9**9, Y_TO_X, Clock(0, 0, 0))


def test_a_disabled_pool_is_closed() -> None:
    pool = state.read(PLAIN, patched(PLAIN, PLAIN, (82, b"\x01")))
    with pytest.raises(PoolClosed):
        pool.curve(X_TO_Y, NOW)


def test_quotes_keep_until_the_fee_changes_with_time() -> None:
    pool = from_accounts(PLAIN)
    last = pool.snapshot.volatility.last_update
    # Its filter period is 300 seconds, its decay period 1,200.
    moments = [(0, 1, 299), (300, 1_199), (1_200, 10**6)]
    quotes = []
    for period in moments:
        [regime] = {pool.regime(clock(last + seconds)) for seconds in period}
        quotes.append((regime, pool.curve(X_TO_Y, clock(last + period[0])).amount_out(10**6)))
    assert len({regime for regime, _ in quotes}) == 3
    assert len({paid for _, paid in quotes}) > 1


def array_of(address: str, array: int, *changes: tuple[int, bytes]) -> tuple[Any, ...]:
    return address, state.array_address(address, array), *changes


@pytest.mark.parametrize(
    ("address", "pubkey", "change"),
    [
        (PLAIN, PLAIN, (0, bytes(8))),
        (PLAIN, PLAIN, (36, b"\x02")),
        (PLAIN, PLAIN, (35, b"\x03")),
        (PLAIN, PLAIN, (75, b"\x04")),
        (PLAIN, PLAIN, (86, b"\x02")),
        (PLAIN, PLAIN, (80, bytes(2))),
        (PLAIN, PLAIN, (76, i32(443_637))),
        # Its reserves change places.
        (ORDERS, ORDERS, (152, addresses.to_bytes("9LqVUn45rtZqMmNSr7wSpJUy2Qqd6VE5q3QN7t7oJL8v"))),
        array_of(PLAIN, 0, (0, bytes(8))),
        array_of(PLAIN, 0, (8, b"\x01")),
        array_of(PLAIN, 0, (24, bytes(32))),
    ],
)
def test_accounts_that_are_not_what_they_should_be(address: str, pubkey: str, change: tuple[int, bytes]) -> None:
    with pytest.raises(MalformedAccount):
        state.read(address, patched(address, pubkey, change))


@pytest.mark.parametrize("address", [PLAIN, ORDERS, TAXED])
def test_accounts_of_others_or_cut_short(address: str) -> None:
    for pubkey in accounts(address).keys() & {address, *state.parts(accounts(address)[address])}:
        account = accounts(address)[pubkey]
        for wrong in ({"owner": "11111111111111111111111111111111"}, {"data": account.data[:80]}):
            with pytest.raises(MalformedAccount):
                state.read(address, accounts(address) | {pubkey: structs.replace(account, **wrong)})


def test_an_extension_of_another_pair_is_refused() -> None:
    [foreign] = extension(ORDERS).values()
    with pytest.raises(MalformedAccount):
        state.read(PLAIN, accounts(PLAIN) | {state.extension_address(PLAIN): foreign})


@pytest.mark.parametrize("state_text", [b"", b"{}", b"null", b'{"active_id":"1"}', b"\xff"])
def test_what_is_no_state_is_not_resumed(state_text: bytes) -> None:
    with pytest.raises(MalformedAccount):
        from_accounts(PLAIN).resumed(state_text)


def test_a_state_of_other_accounts_is_not_resumed() -> None:
    _, traded = from_accounts(PLAIN).swap(10**6, X_TO_Y, NOW)
    found = accounts(PLAIN)
    del found[state.array_address(PLAIN, 0)]
    with pytest.raises(MalformedAccount):
        state.read(PLAIN, found).resumed(traded.state())


@settings(max_examples=300)
@given(
    st.sampled_from((PLAIN, ORDERS, TAXED)),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(0, 12_000), st.binary(min_size=1, max_size=40)), min_size=1, max_size=4),
    st.booleans(),
    st.integers(1, 2**64),
)
def test_changed_bytes_make_another_pool_or_no_pool(
    address: str, which: int, changes: list[tuple[int, bytes]], direction: bool, amount: int
) -> None:
    pubkeys = sorted(accounts(address))
    pubkey = pubkeys[which % len(pubkeys)]
    length = len(accounts(address)[pubkey].data)
    try:
        pool = state.read(address, patched(address, pubkey, *((at % length, value) for at, value in changes)))
    except (MalformedAccount, IncompleteState):
        return
    answers(pool, direction, amount)


@given(st.binary(max_size=1_000), st.booleans(), st.sampled_from(("LbPair", "BinArray")))
def test_random_bytes_are_no_pool(noise: bytes, named: bool, name: str) -> None:
    data = (sha256(f"account:{name}".encode()).digest()[:8] if named else b"") + noise
    pubkey = PLAIN if name == "LbPair" else state.array_address(PLAIN, 0)
    with pytest.raises((MalformedAccount, IncompleteState)):
        state.read(PLAIN, accounts(PLAIN) | {pubkey: Account(pubkey, state.PROGRAM, data)})


def answers(pool: DlmmPool, direction: bool, amount: int) -> None:
    """Ask for everything; only a PoolRefused may come instead."""
    for ask in (
        lambda: pool.swap(amount, direction, NOW),
        lambda: pool.curve(direction, NOW).amount_out(amount),
        lambda: pool.swap_out(amount, direction, NOW),
        lambda: pool.curve(direction, NOW).capacity,
        lambda: pool.curve(direction, NOW).input_at(1.0),
    ):
        try:
            ask()
        except PoolRefused as error:
            assert error.kind
    assert pool.resumed(pool.state()) == pool

"""Accounts of Solana: addresses, mints, token accounts and the clock, read from bytes."""

import json
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain import base58
from chalicelib.domain.errors import MalformedAccount
from chalicelib.solana import address
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.solana.mint import Mint, TransferFee
from chalicelib.solana.token_account import TokenAccount

SOL = "So11111111111111111111111111111111111111112"
U64 = st.integers(0, 2**64 - 1)
FEES = st.builds(TransferFee, st.just(0), U64 | st.integers(0, 10_000), st.integers(0, 10_000))


def account(data: bytes, owner: str = address.TOKEN_PROGRAM, pubkey: str = SOL) -> Account:
    return Account(pubkey, owner, data)


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


# Addresses.


@given(st.binary(max_size=70))
def test_base58_goes_both_ways(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


@pytest.mark.parametrize("text", ["0", "l", "é", " 1"])
def test_base58_has_no_other_letters(text: str) -> None:
    with pytest.raises(ValueError, match="base58"):
        base58.decode(text)


@pytest.mark.parametrize("text", ["", "1" * 31, "1" * 33, "z" * 44, "2" * 100_000, SOL[:-1] + "0"])
def test_what_is_not_32_bytes_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="base58"):
        address.to_bytes(text)


@pytest.mark.parametrize(
    ("seeds", "program", "derived"),
    [
        (
            (b"vault_and_lp_mint_auth_seed",),
            "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C",
            "GpMZbSM2GgvTKHJirzeGfMFoaZ8UR2X7F4v8vHTvxFbL",
        ),
        (
            (b"__event_authority",),
            "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo",
            "D1ZN9Wj1fRSUQfCjhvnu1hqDMT7hzjzBBpi12nVniYD6",
        ),
        (
            (b"oracle", address.to_bytes("9t3EyC9FweyL7PBWvKz3mrXg8B9fwFc9SK3QxM4ENqhd")),
            "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo",
            "FviPunh9kSt1XRBdHiWd5FNdTe5MJmqGfSEQdNfHTQV4",
        ),
    ],
)
def test_a_program_derives_the_address_that_it_has_on_the_chain(
    seeds: tuple[bytes, ...], program: str, derived: str
) -> None:
    assert address.derived(seeds, program) == derived


@pytest.mark.parametrize("seeds", [(b"s" * 33,), (b"s",) * 16])
def test_seeds_are_few_and_short(seeds: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="seeds"):
        address.derived(seeds, address.TOKEN_PROGRAM)


# Documents of the Solana CLI.


def test_an_account_is_read_from_what_the_solana_cli_prints() -> None:
    text = json.dumps(
        {
            "pubkey": SOL,
            "account": {
                "lamports": 10**18,
                "data": [b64encode(b"abc").decode(), "base64"],
                "owner": address.TOKEN_PROGRAM,
                "executable": False,
                "rentEpoch": 18446744073709551615,
                "space": 3,
            },
            "slot": 7,
        }
    )
    assert Account.from_json(text) == Account(SOL, address.TOKEN_PROGRAM, b"abc", 7, 10**18)


@given(st.binary(max_size=300), st.none() | U64, U64)
def test_an_account_survives_its_document(data: bytes, slot: int | None, lamports: int) -> None:
    before = Account(SOL, address.TOKEN_2022_PROGRAM, data, slot, lamports)
    assert Account.from_json(before.to_json()) == before


@pytest.mark.parametrize(
    "change",
    [
        {"pubkey": "SOL"},
        {"pubkey": None},
        {"account": None},
        {"account": {"owner": "1", "data": ["", "base64"]}},
        {"account": {"owner": SOL, "data": ["", "base64+zstd"]}},
        {"account": {"owner": SOL, "data": ["a", "base64"]}},
        {"account": {"owner": SOL, "data": ["é", "base64"]}},
        {"account": {"owner": SOL, "data": "abc"}},
        {"slot": "7"},
    ],
)
def test_another_document_is_refused(change: dict[str, object]) -> None:
    good: dict[str, object] = {"pubkey": SOL, "account": {"owner": SOL, "data": ["", "base64"]}}
    assert Account.from_json(json.dumps(good)) == Account(SOL, SOL, b"")
    with pytest.raises(MalformedAccount):
        Account.from_json(json.dumps(good | change))


# Integers.


@given(st.integers(0, 2**128 - 1), st.integers(0, 20))
def test_integers_are_little_endian(value: int, offset: int) -> None:
    found = account(bytes(offset) + value.to_bytes(16, "little"))
    assert found.u128(offset) == value
    unsigned = found.u8(offset), found.u16(offset), found.u32(offset), found.u64(offset)
    assert unsigned == tuple(value % 2**bits for bits in (8, 16, 32, 64))
    assert found.i32(offset) % 2**32 == value % 2**32
    assert found.i64(offset) % 2**64 == value % 2**64
    assert -(2**31) <= found.i32(offset) < 2**31
    assert -(2**63) <= found.i64(offset) < 2**63


@pytest.mark.parametrize("offset", [-1, 1, 100])
def test_nothing_is_read_beside_the_data(offset: int) -> None:
    with pytest.raises(MalformedAccount, match=SOL):
        account(bytes(8)).u64(offset)


def test_an_account_names_its_owner_length_and_discriminator() -> None:
    # sha256("account:PoolState")[:8], as it stands in every pool of Raydium's.
    found = account(bytes.fromhex("f7ede3f5d7c3de46"))
    found.require((address.TOKEN_PROGRAM,), 8, "PoolState")
    for owners, length, name in [
        ((SOL,), 8, "PoolState"),
        ((address.TOKEN_PROGRAM,), 9, "PoolState"),
        ((address.TOKEN_PROGRAM,), 8, "AmmConfig"),
    ]:
        with pytest.raises(MalformedAccount, match=SOL):
            found.require(owners, length, name)


# Mints.


def mint(decimals: int = 6, *, initialised: int = 1, authority: int = 0) -> bytes:
    optional = authority.to_bytes(4, "little") + bytes([1]) * 32
    return optional + u64(10**15) + bytes([decimals, initialised]) + bytes(36)


def extended(*extensions: tuple[int, bytes]) -> bytes:
    return (
        mint().ljust(165, b"\0") + b"\1" + b"".join(u16(kind) + u16(len(value)) + value for kind, value in extensions)
    )


def transfer_fees(older: TransferFee, newer: TransferFee) -> tuple[int, bytes]:
    fees = b"".join(u64(fee.epoch) + u64(fee.maximum) + u16(fee.basis_points) for fee in (older, newer))
    return 1, bytes(72) + fees


def test_a_mint_is_read() -> None:
    found = Mint.read(account(mint(9, authority=1)))
    assert found == Mint(
        address=SOL,
        program=address.TOKEN_PROGRAM,
        decimals=9,
        supply=10**15,
        mint_authority=base58.encode(bytes([1]) * 32),
    )
    assert found.transfer_fee(10**6).of(10**9) == 0


def test_the_transfer_fee_in_force_is_the_newer_from_its_epoch_on() -> None:
    older, newer = TransferFee(1, 10, 100), TransferFee(100, 5_000, 1)
    data = extended((18, bytes(64)), transfer_fees(older, newer), (19, bytes(9)))
    found = Mint.read(account(data, address.TOKEN_2022_PROGRAM))
    assert [found.transfer_fee(epoch) for epoch in (0, 99, 100, 2**64 - 1)] == [older, older, newer, newer]


def test_a_mint_of_token_2022_may_have_no_transfer_fee() -> None:
    for data in (mint(), extended(), extended((18, bytes(64))), extended((0, b""), (1, b"")), extended() + b"\1"):
        found = Mint.read(account(data, address.TOKEN_2022_PROGRAM))
        assert found.transfer_fee(0).of(10**9) == 0


@pytest.mark.parametrize(
    ("data", "owner"),
    [
        (mint()[:-1], address.TOKEN_PROGRAM),
        (mint() + b"\0", address.TOKEN_PROGRAM),
        (mint(), SOL),
        (mint(initialised=0), address.TOKEN_PROGRAM),
        (mint(authority=2), address.TOKEN_PROGRAM),
        (extended(), address.TOKEN_PROGRAM),
        (mint() + bytes(83), address.TOKEN_2022_PROGRAM),
        (mint() + bytes(84), address.TOKEN_2022_PROGRAM),
        # A multisig whose signers' bytes look like a mint's.
        (extended().ljust(355, b"\0"), address.TOKEN_2022_PROGRAM),
        (extended((1, bytes(107))), address.TOKEN_2022_PROGRAM),
        (extended(transfer_fees(TransferFee(), TransferFee()))[:-1], address.TOKEN_2022_PROGRAM),
        (extended((18, bytes(64)))[:-1], address.TOKEN_2022_PROGRAM),
        (extended() + b"\1\0\1", address.TOKEN_2022_PROGRAM),
        (extended(transfer_fees(TransferFee(0, 0, 10_001), TransferFee())), address.TOKEN_2022_PROGRAM),
    ],
)
def test_what_is_no_mint_is_refused(data: bytes, owner: str) -> None:
    with pytest.raises(MalformedAccount, match=SOL):
        Mint.read(account(data, owner))


# From spl-token-2022's own tests: one basis point, at most 5,000.
@pytest.mark.parametrize(
    ("gross", "fee"),
    [(0, 0), (1, 1), (10_000, 1), (10_001, 2), (49_999_999, 5_000), (50_000_001, 5_000), (2**64 - 1, 5_000)],
)
def test_a_transfer_fee_is_rounded_up_and_capped(gross: int, fee: int) -> None:
    assert TransferFee(0, 5_000, 1).of(gross) == fee


@given(FEES, U64)
def test_the_gross_of_a_net_is_the_least_of_which_that_arrives(fee: TransferFee, net: int) -> None:
    gross = fee.gross(net)
    assert gross - fee.of(gross) == net
    assert gross == 0 or gross - 1 - fee.of(gross - 1) < net


# Token accounts and the clock.


def token_account(amount: int, state: int = 1) -> bytes:
    return bytes([1]) * 32 + bytes([2]) * 32 + u64(amount) + bytes(36) + bytes([state]) + bytes(56)


@pytest.mark.parametrize(
    ("data", "owner"),
    [
        (token_account(2**64 - 1), address.TOKEN_PROGRAM),
        (token_account(2**64 - 1), address.TOKEN_2022_PROGRAM),
        (token_account(2**64 - 1) + b"\2\7\0\0\0", address.TOKEN_2022_PROGRAM),
    ],
)
def test_a_token_account_is_read(data: bytes, owner: str) -> None:
    mint_address, holder = base58.encode(bytes([1]) * 32), base58.encode(bytes([2]) * 32)
    assert TokenAccount.read(account(data, owner)) == TokenAccount(SOL, mint_address, holder, 2**64 - 1)


@pytest.mark.parametrize(
    ("data", "owner"),
    [
        (token_account(1)[:-1], address.TOKEN_PROGRAM),
        (token_account(1), SOL),
        (token_account(1, state=0), address.TOKEN_PROGRAM),
        (token_account(1) + b"\2", address.TOKEN_PROGRAM),
        (token_account(1) + b"\1", address.TOKEN_2022_PROGRAM),
    ],
)
def test_what_is_no_token_account_is_refused(data: bytes, owner: str) -> None:
    with pytest.raises(MalformedAccount, match=SOL):
        TokenAccount.read(account(data, owner))


def test_the_clock_is_read() -> None:
    data = b"".join(map(u64, (370_000_000, 1_759_000_000, 857, 858, 1_760_100_000)))
    clock = Clock(slot=370_000_000, epoch=857, timestamp=1_760_100_000)
    assert Clock.read(account(data, address.SYSVARS, address.CLOCK)) == clock
    for bad in (
        account(data[:-1], address.SYSVARS, address.CLOCK),
        account(data, SOL, address.CLOCK),
        account(data, address.SYSVARS),
    ):
        with pytest.raises(MalformedAccount):
            Clock.read(bad)


@pytest.mark.parametrize(
    ("read", "owners", "pubkey", "likely"),
    [
        (Mint.read, address.TOKEN_PROGRAMS, SOL, extended()),
        (TokenAccount.read, address.TOKEN_PROGRAMS, SOL, token_account(1) + b"\2"),
        (Clock.read, (address.SYSVARS,), address.CLOCK, b""),
    ],
)
@given(drawn=st.data())
def test_random_bytes_are_read_or_malformed(
    read: Callable[[Account], object], owners: tuple[str, ...], pubkey: str, likely: bytes, drawn: st.DataObject
) -> None:
    data = drawn.draw(st.binary(max_size=600) | st.binary(max_size=200).map(likely.__add__))
    found = account(data, drawn.draw(st.sampled_from(owners)), pubkey)
    try:
        read(found)
    except MalformedAccount as error:
        assert pubkey in str(error)

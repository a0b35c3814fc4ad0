"""Makes up the sandbox's synthetic pools: `python -m local.sandbox` writes them anew, always the same bytes.

Layouts as `chalicelib.venues.raydium.state` and `chalicelib.venues.meteora.state` read them.
"""

import math
import shutil
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from chalicelib.domain import base58
from chalicelib.domain.token import Token, find
from chalicelib.solana import address
from chalicelib.solana.account import Account
from chalicelib.venues.meteora import state as meteora
from chalicelib.venues.meteora.bins import BINS_PER_ARRAY
from chalicelib.venues.meteora.price import ONE, price_of
from chalicelib.venues.pools.directory import SANDBOX
from chalicelib.venues.raydium import state as raydium

SYNTHETIC = SANDBOX / "synthetic"
_MINT_BYTES, _TOKEN_ACCOUNT_BYTES = 82, 165
# The array whose bit is the first of a pair's bitmap.
_FIRST_ARRAY = -512
_BITMAP, _BINS, _BIN_BYTES = 584, 56, 144


class RaydiumPool(NamedTuple):
    """A constant product pool, in whole tokens; `fee` is in millionths."""

    name: str
    mints: tuple[str, str]
    amounts: tuple[int, int]
    fee: int


class MeteoraPool(NamedTuple):
    """A DLMM pair: each of `bins` bins on each side of `price` (whole Y for one X) holds the worth of `depth` Y."""

    name: str
    mints: tuple[str, str]
    price: float
    depth: int
    bins: int
    # In basis points.
    bin_step: int
    # The base fee is base_factor * bin_step / 10^8.
    base_factor: int


RAYDIUM = (
    RaydiumPool("raydium-sol-usdc-1", ("SOL", "USDC"), (2_000, 300_400), 2_500),
    RaydiumPool("raydium-sol-usdc-2", ("SOL", "USDC"), (1_500, 224_850), 1_000),
    RaydiumPool("raydium-sol-bonk", ("SOL", "BONK"), (1_800, 13_500_000_000), 2_500),
)
METEORA = (
    MeteoraPool("meteora-sol-usdc-1", ("SOL", "USDC"), 150.05, 5_000, 60, 10, 10_000),
    MeteoraPool("meteora-sol-usdc-2", ("SOL", "USDC"), 149.98, 4_000, 60, 4, 5_000),
    MeteoraPool("meteora-bonk-sol", ("BONK", "SOL"), 1.335e-7, 20, 50, 20, 10_000),
)


def documents() -> dict[Path, bytes]:
    """All files, by their paths below the directory."""
    accounts = {Path("mints", symbol): _mint(_token(symbol)) for symbol in ("SOL", "USDC", "BONK")}
    for cpmm in RAYDIUM:
        accounts |= {Path(cpmm.name, part): account for part, account in _raydium(cpmm)}
    for dlmm in METEORA:
        accounts |= {Path(dlmm.name, part): account for part, account in _meteora(dlmm)}
    return {path.with_suffix(".json"): account.to_json() + b"\n" for path, account in accounts.items()}


def main() -> None:
    """Write them in the place of whatever is there."""
    shutil.rmtree(SYNTHETIC, ignore_errors=True)
    for path, document in documents().items():
        (SYNTHETIC / path).parent.mkdir(parents=True, exist_ok=True)
        (SYNTHETIC / path).write_bytes(document)


def _raydium(pool: RaydiumPool) -> Iterator[tuple[str, Account]]:
    """A pool's accounts, by the names of their files."""
    tokens = [_token(symbol) for symbol in pool.mints]
    authority = address.derived((b"vault_and_lp_mint_auth_seed",), raydium.PROGRAM)
    config, *vaults = (_made_up(f"{pool.name} {part}") for part in ("config", "vault_0", "vault_1"))
    own = {
        8: _raw(config),
        72: _raw(vaults[0]),
        104: _raw(vaults[1]),
        168: _raw(tokens[0].mint),
        200: _raw(tokens[1].mint),
        232: _raw(address.TOKEN_PROGRAM),
        264: _raw(address.TOKEN_PROGRAM),
        331: bytes(token.decimals for token in tokens),
    }
    yield "pool", Account(_made_up(pool.name), raydium.PROGRAM, contents(637, own, "PoolState"))
    # Of the fee the protocol gets 12 %, a fund 4 %.
    rates = {12: _u64(pool.fee), 20: _u64(120_000), 28: _u64(40_000)}
    yield "config", Account(config, raydium.PROGRAM, contents(236, rates, "AmmConfig"))
    for index, (vault, token, amount) in enumerate(zip(vaults, tokens, pool.amounts, strict=True)):
        yield f"vault_{index}", _holding(vault, token, authority, amount * 10**token.decimals)


def _meteora(pool: MeteoraPool) -> Iterator[tuple[str, Account]]:
    """A pair's accounts, by the names of their files."""
    x, y = (_token(symbol) for symbol in pool.mints)
    pair = _made_up(pool.name)
    price = pool.price * 10**y.decimals / 10**x.decimals
    active = round(math.log(price) / math.log1p(pool.bin_step / 10_000))
    depth = pool.depth * 10**y.decimals
    # Each bin's amounts: the active one and those above sell X, the active one and those below sell Y.
    held = {
        bin_id: (
            depth * ONE // price_of(bin_id, pool.bin_step) if bin_id >= active else 0,
            depth if bin_id <= active else 0,
        )
        for bin_id in range(active - pool.bins, active + pool.bins + 1)
    }
    arrays = sorted({bin_id // BINS_PER_ARRAY for bin_id in held})
    reserves = {name: _made_up(f"{pool.name} {name}") for name in ("reserve_x", "reserve_y")}
    bitmap = sum(1 << array - _FIRST_ARRAY for array in arrays)
    own = {
        # How the fee grows with volatility: base_factor, three periods and shares, two bounds.
        8: b"".join(value.to_bytes(2, "little") for value in (pool.base_factor, 30, 600, 5_000)),
        16: b"".join(value.to_bytes(4, "little") for value in (20_000, 350_000)),
        24: b"".join(value.to_bytes(4, "little", signed=True) for value in (-443_636, 443_636)),
        48: active.to_bytes(4, "little", signed=True),
        76: active.to_bytes(4, "little", signed=True),
        80: pool.bin_step.to_bytes(2, "little"),
        88: _raw(x.mint) + _raw(y.mint) + _raw(reserves["reserve_x"]) + _raw(reserves["reserve_y"]),
        _BITMAP: bitmap.to_bytes(128, "little"),
    }
    yield "lb_pair", Account(pair, meteora.PROGRAM, contents(904, own, "LbPair"))
    for array in arrays:
        data = {8: array.to_bytes(8, "little", signed=True), 24: _raw(pair)}
        for place, bin_id in enumerate(range(array * BINS_PER_ARRAY, (array + 1) * BINS_PER_ARRAY)):
            amounts = b"".join(map(_u64, held.get(bin_id, (0, 0))))
            data[_BINS + place * _BIN_BYTES] = amounts + price_of(bin_id, pool.bin_step).to_bytes(16, "little")
        yield (
            f"bin_array_{array}",
            Account(meteora.array_address(pair, array), meteora.PROGRAM, contents(10_136, data, "BinArray")),
        )
    for index, (name, token) in enumerate(zip(reserves, (x, y), strict=True)):
        yield name, _holding(reserves[name], token, pair, sum(amounts[index] for amounts in held.values()))


def _mint(token: Token) -> Account:
    """A plain mint of the SPL token program, without supply or authorities."""
    return Account(token.mint, address.TOKEN_PROGRAM, contents(_MINT_BYTES, {44: bytes([token.decimals, 1])}))


def _holding(pubkey: str, token: Token, owner: str, amount: int) -> Account:
    """A token account."""
    held = {0: _raw(token.mint) + _raw(owner) + _u64(amount), 108: b"\1"}
    return Account(pubkey, address.TOKEN_PROGRAM, contents(_TOKEN_ACCOUNT_BYTES, held))


def contents(length: int, parts: Mapping[int, bytes], name: str = "") -> bytes:
    """An account's bytes: parts by their offsets, behind the discriminator of a named Anchor account."""
    data = bytearray(length)
    if name:
        data[:8] = sha256(f"account:{name}".encode()).digest()[:8]
    for offset, part in parts.items():
        data[offset : offset + len(part)] = part
    return bytes(data)


def _made_up(name: str) -> str:
    """An address that nobody has."""
    return base58.encode(sha256(f"order engine sandbox: {name}".encode()).digest())


def _token(symbol: str) -> Token:
    token = find(symbol)
    if token is None:
        raise AssertionError(f"{symbol} is no token")
    return token


def _raw(pubkey: str) -> bytes:
    return address.to_bytes(pubkey)


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


if __name__ == "__main__":
    main()

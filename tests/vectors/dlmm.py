"""Cases of Meteora's DLMM: a real pool, swaps before, a swap, and what the program did."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from chalicelib.domain.errors import PoolRefused
from chalicelib.solana import address as addresses
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.venues.meteora import state
from chalicelib.venues.meteora.pool import DlmmPool
from chalicelib.venues.pools.directory import accounts_in

# A link to the sandbox's real pools.
POOLS = Path(__file__).parents[1] / "data" / "pools"
_MINT_BYTES, _TOKEN_ACCOUNT_BYTES = 82, 165
_BIN_ARRAY = sha256(b"account:BinArray").digest()[:8]
_WRAPPED_SOL = "So11111111111111111111111111111111111111112"


def differences(case: dict[str, Any], directory: Path = POOLS) -> list[str]:
    """What the pool does otherwise than the program. Its folder is in the directory, or one of pools near it."""
    pool = from_accounts(case["pool"], _pools(case["pool"], directory))
    for swap in case.get("before", ()):
        _, pool = pool.swap(swap["amount_in"], swap["swap_for_y"], clock(swap["timestamp"]))
    now, zero_for_one = clock(case["timestamp"]), case["swap_for_y"]
    try:
        fill, after = pool.swap(case["amount_in"], zero_for_one, now)
    except PoolRefused as error:
        return [] if case.get("error") == error.kind else [f"refused: {error}; not {case.get('error', 'a swap')}"]
    if "error" in case:
        return [f"pays {fill.amount_out}, not {case['error']}"]
    found = _state(after) | {
        "amount_out": fill.amount_out,
        "unspent": fill.unspent,
        "quoted": pool.curve(zero_for_one, now).amount_out(case["amount_in"]),
    }
    wanted = _wanted(case["after"]) | {
        "amount_out": case["amount_out"],
        "unspent": case["unspent"],
        "quoted": case["amount_out"],
    }
    return [
        f"{name} is {found.get(name)}, not {wanted.get(name)}"
        for name in sorted(found.keys() | wanted)
        if found.get(name) != wanted.get(name)
    ]


def clock(timestamp: int) -> Clock:
    """A time at which every pool is open; the transfer fee of the one that has one never changes."""
    return Clock(slot=2**63, epoch=1_000, timestamp=timestamp)


def _pools(address: str, directory: Path) -> Path:
    """The first place that has the pool's folder."""
    places = (directory, directory / "pools", directory.parent / "pools", POOLS)
    return next((place for place in places if (place / address).is_dir()), POOLS)


@cache
def from_accounts(address: str, pools: Path = POOLS) -> DlmmPool:
    """The pool at an address; where its folder has no bitmap extension, it had none."""
    return state.read(address, {state.extension_address(address): None} | accounts(address, pools))


def accounts(address: str, pools: Path = POOLS) -> dict[str, Account]:
    """A pool's accounts, by address: of the sandbox's files, or of raw ones where its folder has those."""
    folder = pools / address
    sol = _wrapped_sol()
    return {sol.pubkey: sol} | (_raw(folder) if (folder / "lb_pair.bin").exists() else accounts_in(folder))


def _raw(folder: Path) -> dict[str, Account]:
    """Accounts of which there are only the bytes: what a file is called tells the account."""
    pair = Account(folder.name, state.PROGRAM, (folder / "lb_pair.bin").read_bytes())
    found = [pair]
    names = ("token_x_mint", "token_y_mint", "reserve_x", "reserve_y")
    for name, pubkey in zip(names, state.parts(pair), strict=False):
        if (file := folder / f"{name}.bin").exists():
            found.append(_of_token_program(pubkey, file.read_bytes()))
    for file in folder.glob("*bin_array*.bin"):
        data, pubkey = file.read_bytes(), state.extension_address(folder.name)
        if data.startswith(_BIN_ARRAY):
            pubkey = state.array_address(folder.name, int.from_bytes(data[8:16], "little", signed=True))
        found.append(Account(pubkey, state.PROGRAM, data))
    return {account.pubkey: account for account in found}


def _of_token_program(pubkey: str, data: bytes) -> Account:
    extended = len(data) not in (_MINT_BYTES, _TOKEN_ACCOUNT_BYTES)
    return Account(pubkey, addresses.TOKEN_2022_PROGRAM if extended else addresses.TOKEN_PROGRAM, data)


def _wrapped_sol() -> Account:
    """The mint that no folder has: 9 decimals, initialised, nobody's."""
    return Account(_WRAPPED_SOL, addresses.TOKEN_PROGRAM, bytes(44) + bytes([9, 1]) + bytes(_MINT_BYTES - 46))


def _state(pool: DlmmPool) -> dict[str, Any]:
    """A pool's state by the names of a case, bins by id."""
    numbers = msgspec.json.decode(pool.state())
    return {name: value for name, value in numbers.items() if name not in ("bins", "reserves")} | {
        f"bin {bin_id}": amounts for bin_id, amounts in numbers["bins"].items()
    }


def _wanted(after: dict[str, Any]) -> dict[str, Any]:
    """The same of a case."""
    numbers = {name: value for name, value in after.items() if not name.startswith("changed_bins")}
    [bins] = (value for name, value in after.items() if name not in numbers)
    return numbers | {f"bin {bin_id}": amounts for bin_id, amounts in bins.items()}

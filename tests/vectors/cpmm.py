"""Cases of Raydium's CPMM: a pool's numbers, maybe its raw accounts, a swap, and what the program did."""

from base64 import b64decode
from hashlib import sha256
from typing import Any

import msgspec

from chalicelib.domain.errors import PoolRefused
from chalicelib.solana import address
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.solana.mint import Mint
from chalicelib.venues.raydium import state
from chalicelib.venues.raydium.pool import CpmmPool, Rates, Side

_POOL_STATE = sha256(b"account:PoolState").digest()[:8]
_MINTS = ("mint of token 0", "mint of token 1")


def differences(case: dict[str, Any]) -> list[str]:
    """What the pool of the numbers, and the one of the accounts, do otherwise than the program."""
    numbers = from_numbers(case["pool"])
    if "accounts" not in case:
        return _compared(case, numbers)
    read = from_accounts(case["accounts"])
    # The numbers do not tell what transfers cost.
    found = _compared(case, msgspec.structs.replace(numbers, tokens=read.tokens))
    return found + [f"from accounts: {line}" for line in _compared(case, read)]


def from_numbers(numbers: dict[str, int]) -> CpmmPool:
    """The pool of these numbers."""
    mint_0, mint_1 = (
        Mint(address=name, program=address.TOKEN_PROGRAM, decimals=numbers[f"decimals_{index}"])
        for index, name in enumerate(_MINTS)
    )
    side_0, side_1 = (
        Side(
            vault=numbers[f"vault_{index}"],
            protocol_fees=numbers[f"protocol_fees_{index}"],
            fund_fees=numbers[f"fund_fees_{index}"],
            creator_fees=numbers[f"creator_fees_{index}"],
        )
        for index in range(2)
    )
    return CpmmPool(
        address="pool",
        tokens=(mint_0, mint_1),
        sides=(side_0, side_1),
        rates=Rates(
            trade=numbers["trade_fee_rate"],
            protocol=numbers["protocol_fee_rate"],
            fund=numbers["fund_fee_rate"],
            creator=numbers["creator_fee_rate"] if numbers["enable_creator_fee"] else 0,
        ),
        creator_fee_on=numbers["creator_fee_on"],
    )


def from_accounts(documents: dict[str, dict[str, str]]) -> CpmmPool:
    """The pool among these accounts, given as owner and base64 by address."""
    accounts = {pubkey: account(pubkey, document) for pubkey, document in documents.items()}
    [pool] = (found.pubkey for found in accounts.values() if found.data.startswith(_POOL_STATE))
    return state.read(pool, accounts)


def account(pubkey: str, document: dict[str, str]) -> Account:
    """One of them."""
    return Account(pubkey, document["owner"], b64decode(document["data"]))


def _compared(case: dict[str, Any], pool: CpmmPool) -> list[str]:
    # No case has a time: every pool is open, and the latest transfer fees are in force.
    clock = Clock(slot=2**63, epoch=2**63, timestamp=pool.open_time)
    zero_for_one, amount, exact_in = case["zero_for_one"], case["amount"], case["exact"] == "in"
    try:
        fill, after = (pool.swap if exact_in else pool.swap_out)(amount, zero_for_one, clock)
    except PoolRefused as error:
        return [] if case.get("error") == error.kind else [f"refused: {error}; not {case.get('error', 'a swap')}"]
    if "error" in case:
        return [f"pays {fill.amount_out}, not {case['error']}"]
    curve = pool.curve(zero_for_one, clock)
    quoted = curve.amount_out(amount) if exact_in else curve.amount_in(amount)
    compared = {
        "amount_in": (fill.amount_in - fill.unspent, case["amount_in"]),
        "amount_out": (fill.amount_out, case["amount_out"]),
        "quoted": (quoted, case["amount_out"] if exact_in else case["amount_in"]),
    }
    for name, value in case["after"].items():
        field, _, side = name.rpartition("_")
        compared[f"{name} after"] = getattr(after.sides[int(side)], field), value
    return [f"{name} is {found}, not {wanted}" for name, (found, wanted) in compared.items() if found != wanted]

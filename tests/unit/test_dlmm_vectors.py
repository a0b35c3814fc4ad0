"""That the comparison of real DLMM pools with the real program can fail."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from chalicelib.solana.account import Account
from tests.vectors import dlmm
from tests.vectors.__main__ import VECTORS
from tests.vectors.dlmm import differences

# Of the accounts' addresses, owners and bytes.
CHAIN = "8c1a558345cbe654ad48c5c3eed14cf914448528aedee5fabd9c570a9b856e78"
CASES: list[dict[str, Any]] = json.loads((VECTORS / "meteora_dlmm.json").read_text())
BINS = "changed_bins [amount_x, amount_y, open_order, processed_order_remaining, limit_order_ask_side]"


def paid() -> dict[str, Any]:
    """A copy of a case in which the program pays after other swaps."""
    case: dict[str, Any] = json.loads(json.dumps(next(case for case in CASES if case["before"] and "after" in case)))
    assert not differences(case)
    return case


@pytest.mark.parametrize("name", ["amount_out", "unspent"])
def test_another_payment_is_told(name: str) -> None:
    case = paid()
    case[name] += 1
    assert any(line.startswith(f"{name} is ") for line in differences(case))


@pytest.mark.parametrize(
    "name",
    ["active_id", "volatility_accumulator", "volatility_reference", "index_reference", "last_update_timestamp"],
)
def test_another_state_is_told(name: str) -> None:
    case = paid()
    case["after"][name] += 1
    [line] = differences(case)
    assert line.startswith(f"{name} is ")


@pytest.mark.parametrize("position", range(5))
def test_another_bin_is_told(position: int) -> None:
    case = paid()
    changed = next(iter(case["after"][BINS]))
    case["after"][BINS][changed][position] += 1
    [line] = differences(case)
    assert line.startswith(f"bin {changed} is ")


def test_a_bin_too_many_or_too_few_is_told() -> None:
    case = paid()
    bins = case["after"][BINS]
    bins["-999"] = bins.pop(next(iter(bins)))
    assert len(differences(case)) == 2


def test_a_refusal_is_told() -> None:
    refused = next(case for case in CASES if "error" in case)
    assert differences(refused | {"error": "pool_closed"})
    assert differences(paid() | {"error": "zero_output"})
    assert differences({key: value for key, value in refused.items() if key != "error"})


def test_real_pools_hold_what_the_chain_had() -> None:
    found = sha256()
    for pool in sorted(folder.name for folder in dlmm.POOLS.iterdir()):
        for pubkey, account in sorted(dlmm.accounts(pool).items()):
            found.update(f"{pool} {pubkey} {account.owner} {len(account.data)} ".encode() + account.data)
    assert found.hexdigest() == CHAIN


@pytest.mark.parametrize("address", sorted({case["pool"] for case in CASES}))
def test_raw_accounts_make_the_same_pool(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = dlmm.accounts(address)
    (tmp_path / address).mkdir()
    for file in (dlmm.POOLS / address).glob("*.json"):
        data = Account.from_json(file.read_bytes()).data
        (tmp_path / address / file.with_suffix(".bin").name).write_bytes(data)
    monkeypatch.setattr(dlmm, "POOLS", tmp_path)
    assert dlmm.accounts(address) == wanted

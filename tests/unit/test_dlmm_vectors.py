"""That the comparison of real DLMM pools with the real program can fail."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from chalicelib.solana import address as addresses
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


def raw(address: str, pools: Path) -> Path:
    """A folder among pools that has a real one's accounts as their bytes."""
    (folder := pools / address).mkdir(parents=True)
    for file in (dlmm.POOLS / address).glob("*.json"):
        (folder / file.with_suffix(".bin").name).write_bytes(Account.from_json(file.read_bytes()).data)
    return folder


@pytest.mark.parametrize("address", sorted({case["pool"] for case in CASES}))
def test_raw_accounts_make_the_same_pool(address: str, tmp_path: Path) -> None:
    raw(address, tmp_path)
    assert dlmm.accounts(address, tmp_path) == dlmm.accounts(address)


@pytest.mark.parametrize("place", ["vectors", "vectors/pools", "pools"])
def test_a_pool_near_the_file_counts_before_the_known_one(place: str, tmp_path: Path) -> None:
    case = paid()
    pair = raw(case["pool"], tmp_path / place) / "lb_pair.bin"
    disabled = bytearray(pair.read_bytes())
    disabled[82] = 1
    pair.write_bytes(disabled)
    assert not differences(case)
    closed = {"error": "pool_closed", "before": []}
    assert not differences(case | closed, tmp_path / "vectors")
    assert not differences(case, tmp_path / "others" / "vectors")


def test_a_raw_bitmap_extension_is_no_bin_array(tmp_path: Path) -> None:
    address = CASES[0]["pool"]
    positive = (1 << 88).to_bytes(768, "little")
    discriminator = sha256(b"account:BinArrayBitmapExtension").digest()[:8]
    data = discriminator + addresses.to_bytes(address) + positive + bytes(768)
    (raw(address, tmp_path) / "bin_array_bitmap_extension.bin").write_bytes(data)
    assert 600 in dlmm.from_accounts(address, tmp_path).pair.arrays
    assert 600 not in dlmm.from_accounts(address).pair.arrays

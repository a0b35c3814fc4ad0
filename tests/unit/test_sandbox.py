"""The pools that come with the engine, and directories of others."""

import shutil
from pathlib import Path

import msgspec
import pytest

from chalicelib.domain.errors import PoolsUnreadable
from chalicelib.domain.token import find
from chalicelib.solana.account import Account
from chalicelib.solana.clock import Clock
from chalicelib.venues.pool import Pool
from chalicelib.venues.pools.directory import SANDBOX, accounts_in, pools_in
from chalicelib.venues.pools.programs import PROGRAMS
from local.sandbox import SYNTHETIC, documents

NOW = Clock(slot=2**62, epoch=2**62, timestamp=1_764_000_000)
SOL, USDC, BONK = (token.mint for name in ("SOL", "USDC", "BONK") if (token := find(name)))


@pytest.fixture(scope="module")
def pools() -> list[Pool]:
    accounts = accounts_in(SANDBOX)
    programs = {program.venue: program for program in PROGRAMS}
    return [programs[each.venue].read(each.address, accounts) for each in pools_in(SANDBOX).snapshots]


def between(pools: list[Pool], *mints: str) -> list[str]:
    return sorted(pool.venue for pool in pools if set(pool.mints) == set(mints))


def test_the_synthetic_files_are_what_the_script_writes() -> None:
    committed = {path.relative_to(SYNTHETIC): path.read_bytes() for path in SYNTHETIC.rglob("*") if path.is_file()}
    assert committed == documents()


def test_sol_and_usdc_have_two_pools_of_each_program_and_bonk_trades_for_sol_alone(pools: list[Pool]) -> None:
    assert between(pools, SOL, USDC) == ["Meteora", "Meteora", "Raydium", "Raydium"]
    assert between(pools, SOL, BONK) == ["Meteora", "Raydium"]
    assert all(SOL in pool.mints for pool in pools if BONK in pool.mints)


def test_the_real_pools_are_read_and_pay(pools: list[Pool]) -> None:
    real = [pool for pool in pools if (SANDBOX / "real" / pool.address).exists()]
    assert len(real) == 3
    for pool in real:
        fill, after = pool.swap(1_000_000, True, NOW)
        assert fill.amount_out > 0
        assert pool.resumed(after.state()) == after


def test_made_up_prices_are_plausible_and_nobody_gains_in_a_circle(pools: list[Pool]) -> None:
    found = [pool for pool in pools if set(pool.mints) == {SOL, USDC}]
    # USDC for one SOL sold, and for one bought.
    sold = [float(pool.curve(True, NOW).spot) * 1000 for pool in found]
    bought = [1000 / float(pool.curve(False, NOW).spot) for pool in found]
    assert all(149 < price < 151 for price in sold + bought)
    assert len(set(sold)) == len(found)
    assert max(sold) < min(bought)
    for pool in found:
        # 9,000 USDC's worth loses less than a twentieth.
        assert pool.curve(True, NOW).amount_out(60 * 10**9) > 0.95 * 150 * 60 * 10**6


# Directories of an operator's own.


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of one made-up pool and its mints."""
    for part in ("raydium-sol-usdc-1", "mints"):
        shutil.copytree(SYNTHETIC / part, tmp_path / part)
    return tmp_path


def rewritten(path: Path, **changes: object) -> None:
    account = Account.from_json(path.read_bytes())
    path.write_bytes(msgspec.structs.replace(account, **changes).to_json())


OTHER = "meteora-bonk-sol"


@pytest.mark.parametrize("text", [b"", b"{}", b"not JSON", b'{"pubkey": "x", "account": {"owner": "y", "data": []}}'])
def test_a_file_that_is_no_account_is_left_out_by_name(directory: Path, text: bytes) -> None:
    notes = directory / "notes.json"
    notes.write_bytes(text)
    found = pools_in(directory)
    assert len(found.snapshots) == 1
    assert list(found.broken) == [notes]
    assert found.broken[notes].startswith("no account of the Solana CLI")
    with pytest.raises(PoolsUnreadable, match=r"notes\.json: no account"):
        accounts_in(directory)


def test_a_file_that_cannot_be_read_is_left_out_by_name(directory: Path) -> None:
    (directory / "folder.json").mkdir()
    assert list(pools_in(directory).broken) == [directory / "folder.json"]


def test_a_pool_that_lacks_an_account_is_left_out_with_the_account(directory: Path) -> None:
    shutil.copytree(SYNTHETIC / OTHER, directory / OTHER)
    vault = directory / "raydium-sol-usdc-1" / "vault_1.json"
    missing = Account.from_json(vault.read_bytes()).pubkey
    vault.unlink()
    found = pools_in(directory)
    assert [pool.venue for pool in found.snapshots] == ["Meteora"]
    assert list(found.broken) == [directory / "raydium-sol-usdc-1" / "pool.json"]
    assert missing in found.broken[directory / "raydium-sol-usdc-1" / "pool.json"]


@pytest.mark.parametrize("part", ["pool", "config", "vault_0"])
def test_a_pool_with_an_account_cut_short_names_its_file_and_the_account(directory: Path, part: str) -> None:
    path = directory / "raydium-sol-usdc-1" / f"{part}.json"
    account = Account.from_json(path.read_bytes())
    rewritten(path, data=account.data[:100])
    with pytest.raises(PoolsUnreadable, match=rf"raydium-sol-usdc-1/pool\.json: .*{account.pubkey}"):
        pools_in(directory)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"owner": BONK}, f"pool.json: no pool: its owner is {BONK}"),
        ({"data": bytes(637)}, "pool.json: no PoolState of Raydium: its discriminator is 0000000000000000"),
    ],
)
def test_a_directory_whose_accounts_are_all_no_pools_says_what_they_are(
    directory: Path, changes: dict[str, object], why: str
) -> None:
    shutil.rmtree(directory / "mints")
    rewritten(directory / "raydium-sol-usdc-1" / "pool.json", **changes)
    with pytest.raises(PoolsUnreadable) as refused:
        pools_in(directory)
    assert why in str(refused.value)
    assert str(refused.value).startswith(f"POOLS_DIRECTORY {directory} has no pool: ")
    # The others are what the pool was read from; three are named.
    assert str(refused.value).endswith("; and 1 more")


def test_an_account_that_no_pool_is_read_from_is_unused_and_not_broken(directory: Path) -> None:
    found = pools_in(directory)
    assert (len(found.snapshots), found.broken, list(found.unused)) == (1, {}, [directory / "mints" / "BONK.json"])
    assert pools_in(SANDBOX).unused == {}


@pytest.mark.parametrize(("name", "why"), [("nowhere", "no such directory"), ("n" * 300, "File name too long")])
def test_a_directory_that_is_not_there_is_named(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(PoolsUnreadable, match=f"^POOLS_DIRECTORY .*{name}: {why}"):
        pools_in(tmp_path / name)


def test_an_empty_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(PoolsUnreadable, match=rf"^POOLS_DIRECTORY {tmp_path} has no pool: no file \*\.json"):
        pools_in(tmp_path)


def test_of_two_files_of_an_account_the_later_slot_counts(directory: Path) -> None:
    pool = directory / "raydium-sol-usdc-1" / "pool.json"
    for name, slot in (("a.json", 7), ("z.json", 6)):
        shutil.copy(pool, directory / name)
        rewritten(directory / name, slot=slot)
    assert [(found.slot, found.live) for found in pools_in(directory).snapshots] == [(7, False)]


def test_a_pool_keeps_its_own_accounts_and_no_others(directory: Path) -> None:
    [found] = pools_in(directory).snapshots
    kept = {Account.from_json(bytes(document)).pubkey for document in found.accounts}
    assert kept == set(accounts_in(directory)) - {BONK}
    assert found.address in kept

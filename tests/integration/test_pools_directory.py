"""What a container makes of the pools directory: which pools it trades, and what it says of files that it can't use."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.handlers import rest
from chalicelib.solana.account import Account
from chalicelib.venues.pools import catalogue, directory
from local.sandbox import SYNTHETIC
from tests.integration.rig import SOL_TO_USDC, Request, Rig

# Of SOL and USDC.
ONE, OTHER = "raydium-sol-usdc-1", "raydium-sol-usdc-2"
Choose = Callable[[Path], None]


def address(folder: str) -> str:
    return Account.from_json((SYNTHETIC / folder / "pool.json").read_bytes()).pubkey


def holding(home: Path, *folders: str) -> Path:
    """A directory with copies of these made-up pools."""
    for folder in (*folders, "mints"):
        shutil.copytree(SYNTHETIC / folder, home / folder)
    return home


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Starts another container, on a directory."""
    monkeypatch.setenv("MARKET", "pools")
    monkeypatch.setattr(catalogue, "REFRESH_SECONDS", 0.0)

    def chosen(home: Path) -> None:
        monkeypatch.setenv("POOLS_DIRECTORY", str(home))
        bootstrap.close()

    return chosen


def quoted(**fields: Any) -> Any:
    return rest.quote(Request(json.dumps(SOL_TO_USDC | fields).encode()))


def pools_of_a_quote() -> list[str]:
    reply = quoted(amount=900)
    assert reply.status == 200, reply.body
    return sorted(leg["pool"] for leg in json.loads(reply.body)["route"]["legs"])


def listed() -> dict[str, int]:
    """The pools that are listed, with their versions."""
    return {pool["address"]: pool["version"] for pool in json.loads(rest.pools(Request()).body)["pools"]}


def unnamed_tokens() -> list[str]:
    """The mints that only pools name."""
    return [token["mint"] for token in json.loads(rest.tokens(Request()).body)["tokens"] if not token["symbol"]]


# Whose pools are traded.


def test_only_the_pools_of_the_directory_are_quoted_and_listed_and_they_keep_their_fills(
    rig: Rig, choose: Choose, tmp_path: Path
) -> None:
    first, second = holding(tmp_path / "first", ONE), holding(tmp_path / "second", OTHER)
    choose(first)
    assert rig.settle(rig.post(amount=3))["status"] == "confirmed"
    choose(second)
    assert pools_of_a_quote() == [address(OTHER)]
    assert listed() == {address(OTHER): 1}
    assert rig.settle(rig.post(amount=3))["status"] == "confirmed"
    choose(first)
    assert pools_of_a_quote() == [address(ONE)]
    assert listed() == {address(ONE): 2}
    assert rig.sql("SELECT count(*) FROM pools") == [(2,)]


def test_tokens_of_another_directorys_pools_are_unknown(rig: Rig, choose: Choose, tmp_path: Path) -> None:
    choose(holding(tmp_path / "first", ONE))
    assert unnamed_tokens() == []
    mint = "2" * 44
    rig.sql(
        "INSERT INTO pools (address, venue, mint_0, mint_1, decimals_0, decimals_1, live, slot, read_at, accounts) "
        f"SELECT '{mint}', venue, mint_0, '{mint}', 9, 3, live, slot, read_at, accounts FROM pools"
    )
    assert unnamed_tokens() == []
    assert listed() == {address(ONE): 1}
    assert json.loads(quoted(tokenOut=mint).body)["code"] == "unknown_token"


def test_pools_of_the_chain_are_not_those_of_a_directory(rig: Rig, choose: Choose, tmp_path: Path) -> None:
    choose(holding(tmp_path / "both", ONE, OTHER))
    assert pools_of_a_quote() == sorted([address(ONE), address(OTHER)])
    # As if an engine on a node had read one of them since.
    rig.sql(f"UPDATE pools SET live = true WHERE address = '{address(OTHER)}'")
    assert pools_of_a_quote() == [address(ONE)]
    assert listed() == {address(ONE): 1}


def test_pools_of_a_directory_are_not_those_of_the_chain(
    rig: Rig, choose: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(holding(tmp_path / "both", ONE, OTHER))
    assert len(listed()) == 2
    rig.sql(f"UPDATE pools SET live = true WHERE address = '{address(OTHER)}'")
    rig.sql(f"UPDATE pools SET mint_1 = '{'2' * 44}' WHERE address = '{address(OTHER)}'")
    rig.sql(f"UPDATE pools SET mint_1 = '{'3' * 44}' WHERE address = '{address(ONE)}'")
    monkeypatch.delenv("POOLS_DIRECTORY")
    monkeypatch.setenv("SOLANA_RPC_URL", "http://127.0.0.1:9")
    bootstrap.close()
    assert listed() == {address(OTHER): 1}
    assert unnamed_tokens() == ["2" * 44]


# Files that can't be used.


def test_good_pools_trade_and_a_broken_file_is_named_until_it_is_mended(
    rig: Rig, choose: Choose, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "REREAD_SECONDS", 0.0)
    home = holding(tmp_path / "pools", ONE, OTHER)
    vault = home / OTHER / "vault_0.json"
    good = vault.read_bytes()
    vault.write_text("no account")
    choose(home)
    assert rig.settle(rig.post())["status"] == "confirmed"
    assert pools_of_a_quote() == [address(ONE)]
    health = json.loads(rest.health().body)
    assert (rest.health().status, health["status"], health["market"]["ready"]) == (200, "degraded", True)
    for name, told in zip(("vault_0", "pool"), health["market"]["broken"], strict=True):
        assert told.startswith(f"POOLS_DIRECTORY {home}/{OTHER}/{name}.json: no ")
    # Each container says it once, however often it reads: here one works and one is asked.
    assert capsys.readouterr().out.count(f"{home}/{OTHER}/vault_0.json: no account") == 1
    vault.write_bytes(good)
    assert pools_of_a_quote() == sorted([address(ONE), address(OTHER)])
    assert json.loads(rest.health().body)["market"] == {"ready": True}


def test_a_directory_without_a_pool_is_the_reason_of_the_order(rig: Rig, choose: Choose, tmp_path: Path) -> None:
    choose(tmp_path)
    (tmp_path / "notes.json").write_text("no account")
    shown = rig.settle(rig.post())
    assert shown["status"] == "failed"
    assert f"{tmp_path}/notes.json: no account of the Solana CLI" in shown["failureReason"]
    # Mended, it is read without a restart.
    holding(tmp_path, ONE)
    assert rig.settle(rig.post())["status"] == "confirmed"


def test_a_directory_without_a_pool_is_told_to_clients_in_general_and_to_operators_by_its_file(
    rig: Rig, choose: Choose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rig.queues
    (tmp_path / "notes.json").write_text("no account")
    wrong = f"POOLS_DIRECTORY {tmp_path} has no pool: {tmp_path}/notes.json: no account of the Solana CLI"
    choose(tmp_path)
    # A token that only its pools could tell.
    unlisted = Request(json.dumps(SOL_TO_USDC | {"tokenIn": "2" * 44}).encode())
    for asked in (
        lambda: rest.tokens(Request()),
        lambda: rest.pools(Request()),
        lambda: rest.execute(unlisted),
        quoted,
    ):
        reply = asked()
        assert (reply.status, "Retry-After" in reply.headers) == (503, True)
        assert json.loads(reply.body) == {
            "error": "the market cannot be asked now, try again: its pools cannot be read",
            "code": "market_unavailable",
        }
        assert wrong in capsys.readouterr().out
    health = rest.health()
    told = json.loads(health.body)
    assert (health.status, told["status"], told["market"]["ready"]) == (503, "degraded", False)
    assert (told["database"]["reached"], told["queue"]["reached"]) == (True, True)
    assert told["market"]["reason"].startswith(wrong)
    assert wrong in capsys.readouterr().out
    # Mended, it is read without a restart.
    (tmp_path / "notes.json").unlink()
    holding(tmp_path, ONE)
    assert (rest.health().status, json.loads(rest.health().body)["market"]) == (200, {"ready": True})
    assert rest.tokens(Request()).status == 200


# A node that can't be asked.


def test_a_quote_of_a_node_that_cannot_be_reached_is_unavailable_and_says_so_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rig.queues
    monkeypatch.setenv("MARKET", "pools")
    # Nobody listens there.
    monkeypatch.setenv("SOLANA_RPC_URL", "http://127.0.0.1:9")
    bootstrap.close()
    reply = quoted()
    answer = json.loads(reply.body)
    assert (reply.status, "Retry-After" in reply.headers, answer["code"]) == (503, True, "market_unavailable")
    assert answer["error"].count("Solana RPC") == 1

"""What the runbook has operators do to stored pools."""

import re
import shutil
from pathlib import Path

import msgspec
import pytest

from chalicelib.solana.account import Account
from chalicelib.venues.base import Outcome
from chalicelib.venues.pools.directory import SANDBOX
from local.sandbox import SYNTHETIC
from tests.integration.paper import SOL, USDC, Books, Container, sell

RUNBOOK = (Path(__file__).resolve().parents[2] / "docs" / "runbook.md").read_text()
RESET, ADOPT = re.findall(r'-c "(UPDATE pools .*?)"', RUNBOOK)
SOME, MUCH = sell(SOL, USDC, 50 * 10**9), sell(SOL, USDC, 600 * 10**9)
CHANGED = Path("raydium-sol-usdc-1")


@pytest.fixture
def books(database_url: str) -> Books:
    return Books(database_url)


async def test_a_reset_is_seen_by_containers_that_run(database_url: str, books: Books) -> None:
    containers = [Container(database_url) for _ in range(2)]
    fresh = (await containers[0].route(SOME)).legs
    stale = await containers[0].prepared(SOME)
    assert (await containers[0].trade(MUCH)).outcome == Outcome.SUCCEEDED
    assert [(await each.route(SOME)).legs != fresh for each in containers] == [True, True]
    books.sql(RESET)
    assert [(await each.route(SOME)).legs for each in containers] == [fresh, fresh]
    # Quoted before it was all moved, it lands on the pools as they now are.
    [answer] = await containers[1].send(stale)
    assert answer.amount_out == sum(leg.amount_out for leg in fresh)
    for each in containers:
        await each.database.close()


async def test_other_files_replace_what_is_stored_with_new_containers(
    database_url: str, books: Books, tmp_path: Path
) -> None:
    shutil.copytree(SANDBOX, tmp_path / "pools")
    folder = tmp_path / "pools" / SYNTHETIC.name / CHANGED
    running = Container(database_url, tmp_path / "pools")
    assert (await running.trade(MUCH)).outcome == Outcome.SUCCEEDED
    changed = Account.from_json((folder / "pool.json").read_bytes())
    (folder / "pool.json").write_bytes(msgspec.structs.replace(changed, slot=7).to_json())
    before = books.sql("SELECT address, slot, version FROM pools ORDER BY address")
    unasked, asked = (Container(database_url, tmp_path / "pools") for _ in range(2))
    await unasked.route(SOME)
    assert books.sql("SELECT address, slot, version FROM pools ORDER BY address") == before
    books.sql(ADOPT)
    await asked.route(SOME)
    after = {
        address: (slot, version) for address, slot, version in books.sql("SELECT address, slot, version FROM pools")
    }
    assert after == {
        address: (7 if address == changed.pubkey else slot, version + 1) for address, slot, version in before
    }
    assert books.sql("SELECT count(*) FROM pools WHERE live OR state IS NOT NULL") == [(0,)]
    assert (await running.route(SOME)).legs == (await asked.route(SOME)).legs
    for each in (running, unasked, asked):
        await each.database.close()

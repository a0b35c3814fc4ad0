"""The engine keeps its promises under faults, and a seed says all about them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.domain.lifecycle import TERMINAL, Status
from local.postgres import Postgres
from tests.simulation.__main__ import WITHOUT, each, replay
from tests.simulation.backends import Backends
from tests.simulation.faults import Kind
from tests.simulation.papers import OUTCOMES, SHAPES
from tests.simulation.totals import Totals
from tests.simulation.world import run

SEEDS = range(1, 101)
BUSY_SEED = 8
# Of each mode.
BUSY_SEEDS = (BUSY_SEED, 15, 19)
ROOT = Path(__file__).resolve().parents[2]


def test_keeps_every_promise(server: Postgres) -> None:
    totals = Totals()
    for done in each(server, SEEDS):
        totals.add(done)
    assert not totals.broken, f"replay one with: make simulate SEEDS=1 FIRST={min(totals.broken)}"
    # A kind that never struck was not tried.
    assert {kind for kind in Kind if not totals.faults[kind]} == set()
    assert {kind for kind in (*OUTCOMES, *SHAPES) if not totals.transactions[kind]} == set()
    assert {status for status in (*TERMINAL, Status.OPEN) if not totals.statuses[status]} == set()


@pytest.mark.parametrize("seed", BUSY_SEEDS)
def test_takes_the_same_steps_for_the_same_seed(seed: int, backends: Backends) -> None:
    first, second, other = (run(each, backends) for each in (seed, seed, seed + 1))
    assert first.faults.total() > 10
    assert first.trace.digest() == second.trace.digest() != other.trace.digest()


@pytest.mark.parametrize("seed", BUSY_SEEDS)
def test_takes_the_same_steps_in_another_process(seed: int, backends: Backends) -> None:
    # Sets of text have another order in each process.
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "1", "--first", str(seed)]
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    replay = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    assert run(seed, backends).trace.digest()[:12] in replay.stdout


def test_shows_the_steps_of_what_was_broken(server: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    with WITHOUT["reconcile before retry"].applied():
        totals = replay(server, BUSY_SEED)
    assert totals.broken
    shown = capsys.readouterr().out
    assert "swapped once if confirmed" in shown
    assert "write_transitions" in shown
    assert "FAULT" in shown

"""The answers of the real programs, and that the comparison with them can fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.__main__ import VECTORS, main

CASES: list[dict[str, Any]] = json.loads((VECTORS / "raydium_cpmm.json").read_text())


@pytest.fixture
def compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[list[dict[str, Any]]], tuple[int, str]]:
    def compare(cases: list[dict[str, Any]]) -> tuple[int, str]:
        (tmp_path / "some.json").write_text(json.dumps(cases))
        return main([str(tmp_path)]), capsys.readouterr().out

    return compare


def test_pools_answer_as_the_real_programs_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("exact", ["in", "out"])
@pytest.mark.parametrize("name", ["amount_in", "amount_out", "vault_0", "protocol_fees_1", "fund_fees_0"])
def test_a_different_answer_is_told(exact: str, name: str, compared: Callable[..., tuple[int, str]]) -> None:
    case = json.loads(json.dumps(next(case for case in CASES if case["exact"] == exact and "after" in case)))
    (case["after"] if name in case["after"] else case)[name] += 1
    code, out = compared([CASES[0], case])
    assert code == 1
    assert f"some.json case 1: {name}" in out
    assert out.endswith("some.json: 2 cases, 1 equal, 1 unequal\n")


def test_raw_accounts_are_compared_too(compared: Callable[..., tuple[int, str]]) -> None:
    given = [case for case in CASES if "accounts" in case]
    assert compared(given)[0] == 0
    code, out = compared([given[0] | {"accounts": given[1]["accounts"]}])
    assert code == 1
    assert "case 0: from accounts: " in out


def test_an_error_is_compared_with_its_kind(compared: Callable[..., tuple[int, str]]) -> None:
    refused = next(case for case in CASES if "error" in case)
    paid = next(case for case in CASES if "error" not in case)
    code, out = compared(
        [
            refused | {"error": "insufficient_liquidity"},
            {key: value for key, value in refused.items() if key != "error"},
            paid | {"error": "zero_output"},
        ]
    )
    assert code == 1
    assert out.endswith("some.json: 3 cases, 0 equal, 3 unequal\n")


def test_no_case_and_no_file_are_failures(tmp_path: Path, compared: Callable[..., tuple[int, str]]) -> None:
    assert main([str(tmp_path)]) == 1
    assert compared([])[0] == 1

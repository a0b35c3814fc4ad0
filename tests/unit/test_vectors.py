"""The answers of the real programs, and that the comparison with them can fail."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.solana.address import TOKEN_2022_PROGRAM
from tests.vectors import cpmm
from tests.vectors.__main__ import VECTORS, main

CASES: list[dict[str, Any]] = json.loads((VECTORS / "raydium_cpmm.json").read_text())
DLMM_CASE: dict[str, Any] = json.loads((VECTORS / "meteora_dlmm.json").read_text())[0]


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


def test_a_case_that_cannot_be_compared_is_unequal_and_others_go_on(
    compared: Callable[..., tuple[int, str]],
) -> None:
    good = CASES[0]
    swap = {"before": [], "swap_for_y": True, "timestamp": 1_760_000_000, "amount_in": 1}
    broken = [
        # A pool that is nowhere.
        swap | {"pool": "11111111111111111111111111111111"},
        # A case without an answer, and something that is no case.
        swap | {"pool": DLMM_CASE["pool"], "amount_in": 10**6},
        {},
        # A swap that was refused.
        DLMM_CASE | {"before": [swap]},
        good | {"after": {"other": 1}},
        good | {"accounts": {}},
        good | {"accounts": {"a": {"owner": "b", "data": "?"}}},
        None,
    ]
    code, out = compared([*broken, good])
    assert code == 1
    assert out.count(": cannot be compared: ") == len(broken)
    assert out.endswith(f"some.json: {len(broken) + 1} cases, 1 equal, {len(broken)} unequal\n")


@pytest.mark.parametrize("text", ["[{", "\ud800"])
def test_a_file_that_is_no_json_is_a_failure_and_others_are_read(
    text: str, tmp_path: Path, compared: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "first.json").write_bytes(text.encode(errors="surrogatepass"))
    code, out = compared([CASES[0]])
    assert code == 1
    assert out.startswith("first.json: no cases: ")
    assert out.endswith("some.json: 1 cases, 1 equal, 0 unequal\n")


def test_what_a_case_says_beside_its_answer_is_passed_over(compared: Callable[..., tuple[int, str]]) -> None:
    assert compared([case | {"note": "more", "slot": 1} for case in (CASES[0], DLMM_CASE)])[0] == 0


def test_accounts_tell_the_transfer_fees_of_numbers(compared: Callable[..., tuple[int, str]]) -> None:
    given = next(case for case in CASES if "accounts" in case and case["exact"] == "in" and "after" in case)
    case = json.loads(json.dumps(given))
    bought = cpmm.from_accounts(case["accounts"]).mints[case["zero_for_one"]]
    # One in ten, since epoch 900.
    fees = bytes(18) + b"".join(field.to_bytes(size, "little") for field, size in ((900, 8), (2**63, 8), (1_000, 2)))
    extensions = bytes(83) + b"\1" + b"\1\0" + b"\x6c\0" + bytes(72) + fees
    data = b64encode(b64decode(case["accounts"][bought]["data"]) + extensions).decode()
    case["accounts"][bought] = {"owner": TOKEN_2022_PROGRAM, "data": data}
    assert compared([case])[0] == 1
    case["amount_out"] -= -(-case["amount_out"] // 10)
    assert compared([case])[0] == 0


def test_pools_beside_a_file_are_those_of_its_cases(tmp_path: Path, compared: Callable[..., tuple[int, str]]) -> None:
    assert compared([DLMM_CASE])[0] == 0
    (tmp_path / "pools" / DLMM_CASE["pool"]).mkdir(parents=True)
    code, out = compared([DLMM_CASE])
    assert code == 1
    assert "some.json case 0: cannot be compared: " in out

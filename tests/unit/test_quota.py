"""Shares of a processor for the processes of benchmarks."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.surroundings import quota
from benchmarks.surroundings.quota import NoQuotaError


def test_a_process_starts_in_its_group_which_is_gone_afterwards() -> None:
    try:
        with quota.quota(256) as group:
            command = group.command(["cat", "/proc/self/cgroup"])
            seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            made = group.processes.parent
    except NoQuotaError as error:
        pytest.skip(str(error))
    assert f"/{made.name}\n" in seen
    assert not made.exists()


def test_a_machine_without_control_groups_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "GROUPS", tmp_path)
    with pytest.raises(NoQuotaError, match="no controller"), quota.quota(256):
        pass

"""The share of a processor that Lambda gives a function of some memory, by a control group of Linux's."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# The memory at which a function has one whole virtual processor.
WHOLE_MEGABYTES = 1769
PERIOD_MICROSECONDS = 20_000
GROUPS = Path("/sys/fs/cgroup")
# Of version 1, where it is mounted by one of these names, and of version 2.
CONTROLLERS = ("cpu", "cpu,cpuacct")
ROOT_CONTROL = "cgroup.subtree_control"


class NoQuotaError(Exception):
    """This machine lets us set no quota; the message says why."""


class Quota:
    """A group of processes with a share of a processor."""

    def __init__(self, processes: Path) -> None:
        # A process is in the group as soon as its id, or 0 by itself, is written here.
        self.processes = processes

    def command(self, command: Sequence[str]) -> list[str]:
        """The same command, in the group from its first instruction on."""
        return ["/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', str(self.processes), *command]


@contextlib.contextmanager
def quota(megabytes: int) -> Iterator[Quota]:
    """The share of a function with this memory; its processes must have ended at the end. Raises NoQuotaError."""
    microseconds = PERIOD_MICROSECONDS * megabytes // WHOLE_MEGABYTES
    group = _parent() / f"order-engine-{os.getpid()}-{megabytes}"
    try:
        group.mkdir()
    except OSError as error:
        raise NoQuotaError(f"no control group can be made: {error}") from error
    try:
        try:
            _set(group, microseconds)
        except OSError as error:
            raise NoQuotaError(f"no quota can be set: {error}") from error
        yield Quota(group / "cgroup.procs")
    finally:
        group.rmdir()


def _parent() -> Path:
    for name in CONTROLLERS:
        if (GROUPS / name / "cpu.cfs_quota_us").exists():
            return GROUPS / name
    if "cpu" not in _words(GROUPS / "cgroup.controllers"):
        raise NoQuotaError(f"no controller of processor time is mounted at {GROUPS}")
    if "cpu" not in _words(GROUPS / ROOT_CONTROL):
        raise NoQuotaError(f"{GROUPS / ROOT_CONTROL} does not hand processor time down")
    return GROUPS


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _set(group: Path, microseconds: int) -> None:
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{microseconds} {PERIOD_MICROSECONDS}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
        (group / "cpu.cfs_quota_us").write_text(str(microseconds))

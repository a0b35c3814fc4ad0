"""Starts a new container's process on the packaged archive, as Lambda does, and reads what its first calls took."""

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

REGION = "us-east-1"
SECONDS = 60
FRESH = Path(__file__).with_name("fresh.py")
STEPS = ("interpreter", "imports", "engine", "connect", "first statement", "rest of the handler")

Pair = tuple[float, float]


class ContainerError(Exception):
    """A process failed, or its function did not do what it was asked for."""


class Step(msgspec.Struct, frozen=True):
    """Milliseconds of processor time, and by the clock."""

    cpu: float
    wall: float


class Started(msgspec.Struct, frozen=True):
    """One process: the steps until its first answer, and a second invocation."""

    steps: dict[str, Step]
    second: Step
    replies: list[dict[str, Any]]

    def whole(self, *names: str) -> Step:
        """The sum of some steps, or of all."""
        steps = [self.steps[name] for name in names or STEPS]
        return Step(sum(step.cpu for step in steps), sum(step.wall for step in steps))


class Code:
    """The archive as Lambda unpacks it."""

    def __init__(self, archive: Path, home: Path, *, bytecode: bool = True) -> None:
        self._task = home
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(self._task, [name for name in opened.namelist() if bytecode or not name.endswith(".pyc")])

    def command(self, *arguments: str) -> list[str]:
        """An interpreter as bare as the runtime's: no environment's packages, and it writes no bytecode."""
        return [str(Path(sys.executable).resolve()), "-B", "-P", "-S", *arguments]

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """What a function's process has."""
        return {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "PYTHONPATH": str(self._task),
            "LAMBDA_TASK_ROOT": str(self._task),
            "AWS_LAMBDA_FUNCTION_NAME": "engine",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "test",
            **settings,
        }

    def start(
        self,
        function: str,
        events: Sequence[Mapping[str, Any]],
        settings: Mapping[str, str],
        *,
        group: Callable[[Sequence[str]], list[str]] = list,
        join: str = "",
    ) -> Started:
        """Invoke a function twice in a new process, started as `group` says, in the group `join` once it has imported.

        Raises ContainerError.
        """
        given = json.dumps({"function": function, "events": list(events), "join": join})
        command = group(self.command(str(FRESH), given))
        begun = time.monotonic()
        done = subprocess.run(
            command, env=self.environment(settings), capture_output=True, text=True, check=False, timeout=SECONDS
        )
        if done.returncode != 0:
            raise ContainerError(f"{function} failed:\n{done.stdout}{done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        return _started(begun, found["marks"], found["replies"])

    def imports(self) -> dict[str, float]:
        """Milliseconds of importing by top-level package, its own code only, as the interpreter counts them."""
        command = self.command("-X", "importtime", "-c", "import app")
        done = subprocess.run(command, env=self.environment({}), capture_output=True, text=True, check=True)
        found: dict[str, float] = {}
        for line in (each for each in done.stderr.splitlines() if each.startswith("import time:")):
            own, _, name = line.removeprefix("import time:").split("|")
            if own.strip().isdigit():
                top = name.strip().partition(".")[0]
                found[top] = found.get(top, 0) + int(own) / 1000
        return found


def _started(begun: float, marks: Mapping[str, Pair], replies: list[dict[str, Any]]) -> Started:
    def between(first: str, last: str) -> Step:
        (wall, cpu), (later, more) = marks[first], marks[last]
        return Step((more - cpu) * 1000, (later - wall) * 1000)

    wall, cpu = marks["begun"]
    steps = {
        "interpreter": Step(cpu * 1000, (wall - begun) * 1000),
        "imports": between("begun", "imported"),
        "engine": between("invoked", "built"),
        "connect": between("connect begun", "connect done"),
        "first statement": between("statement begun", "statement done"),
    }
    handler, inner = between("built", "answered 0"), (steps["connect"], steps["first statement"])
    steps["rest of the handler"] = Step(
        handler.cpu - sum(step.cpu for step in inner), handler.wall - sum(step.wall for step in inner)
    )
    return Started(steps, between("answered 0", "answered 1"), replies)

"""Compares pools with answers of the real programs: `python -m tests.vectors DIRECTORY`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from chalicelib.domain.errors import EngineError
from tests.vectors import cpmm, dlmm

VECTORS = Path(__file__).parents[1] / "data" / "vectors"


def main(arguments: list[str] | None = None) -> int:
    """Compare every case of every file; the exit code is 1 where one differs, or there is none."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=VECTORS, help="where the files *.json are")
    directory = parser.parse_args(arguments).directory
    files = sorted(directory.glob("*.json"))
    if not files:
        print(f"no file *.json in {directory}")
    equal = [compare(file) for file in files]
    return 0 if equal and all(equal) else 1


def compare(file: Path) -> bool:
    """Print how many cases of a file are equal, and what differs in the others; whether there are some, all equal."""
    try:
        cases = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        print(f"{file.name}: no cases: {error}")
        return False
    unequal = 0
    for number, case in enumerate(cases):
        if found := _differences(case, file.parent):
            unequal += 1
            print(f"{file.name} case {number}: {'; '.join(found)}")
    print(f"{file.name}: {len(cases)} cases, {len(cases) - unequal} equal, {unequal} unequal")
    return bool(cases) and not unequal


def _differences(case: Any, directory: Path) -> list[str]:
    """What differs in a case, or why that cannot be told."""
    try:
        # A DLMM case names a pool, a CPMM case has it.
        named = isinstance(case["pool"], str)
        return dlmm.differences(case, directory) if named else cpmm.differences(case)
    except (EngineError, ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        return [f"cannot be compared: {error!r}"]


if __name__ == "__main__":
    sys.exit(main())

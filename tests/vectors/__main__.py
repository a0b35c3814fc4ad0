"""Compares pools with answers of the real programs: `python -m tests.vectors DIRECTORY`."""

import argparse
import json
import sys
from pathlib import Path

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
    cases = json.loads(file.read_text())
    unequal = 0
    for number, case in enumerate(cases):
        # A DLMM case names a pool, a CPMM case has it.
        program = dlmm if isinstance(case["pool"], str) else cpmm
        if found := program.differences(case):
            unequal += 1
            print(f"{file.name} case {number}: {'; '.join(found)}")
    print(f"{file.name}: {len(cases)} cases, {len(cases) - unequal} equal, {unequal} unequal")
    return bool(cases) and not unequal


if __name__ == "__main__":
    sys.exit(main())

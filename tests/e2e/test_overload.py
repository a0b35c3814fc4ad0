"""`make overload` with few orders."""

import re
import subprocess
import sys

from infrastructure.package import ROOT


def test_an_overloaded_engine_loses_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.overload", "--orders", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for row in ("accepted +200", "lost +0", "confirmed +190", "failed +10"):
        assert re.search(f"^ *{row}$", done.stdout, re.MULTILINE), done.stdout
    # Each was told when to come again, and did: all are accepted.
    assert re.search("^ *refused with 429 +[1-9]", done.stdout, re.MULTILINE), done.stdout

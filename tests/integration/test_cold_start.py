"""The first invocations of a container: what they import, they pay for at the function's own share of a processor."""

import json
import os
import subprocess
import sys

from benchmarks.processes import first_batch
from benchmarks.surroundings.examples import post
from infrastructure.package import ROOT
from tests.integration.rig import Rig

SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import app, json
from types import SimpleNamespace
context = SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000)
post, batch = json.loads(sys.argv[1])
before = set(sys.modules)
replies = [app.app(post, context), app.worker(batch, context)]
print(json.dumps({{"late": sorted(set(sys.modules) - before), "replies": replies}}))
"""
# How Python writes a host's name.
LATE = {"encodings.idna", "stringprep", "unicodedata"}


def test_the_first_post_and_the_first_batch_import_nothing_that_was_not_decided(rig: Rig) -> None:
    events = [post(), first_batch.batch(rig.database_url, followed=True)]
    # Isolated, so that no variable of whoever runs the tests adds an import.
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT, json.dumps(events)],
        env=os.environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    posted, batch = found["replies"]
    assert (posted["statusCode"], batch) == (200, {"batchItemFailures": []})
    assert rig.gateway.frames
    assert set(found["late"]) <= LATE, (
        "the first invocation imports what the container's start did not: "
        "import it in a module that `app` imports, and list it in tests/unit/test_imports.py"
    )

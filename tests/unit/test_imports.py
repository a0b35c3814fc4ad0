"""What a cold start imports: a new name here is a decision, since each container pays for it before it answers."""

import json
import subprocess
import sys
from typing import Any

import pytest

from infrastructure.package import ROOT

# Prints what `app` adds to a bare interpreter, and the state in which it leaves the collector.
SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
before = set(sys.modules)
import app
added = set(sys.modules) - before
found = sorted({{name.partition(".")[0] for name in added}})
own = sorted(name for name in added if name.startswith("chalicelib."))
import gc, json
print(json.dumps({{"modules": found, "own": own, "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}}))
"""

OWN = {"app", "chalicelib"}
# Each must be there: what is gone leaves this list too.
THIRD_PARTY = {
    "chalice",  # Calls the entry points.
    "msgspec",  # Structs, JSON and settings.
    "httptools",  # Replies of AWS and of Solana.
    *("psycopg", "psycopg_binary", "typing_extensions"),  # The store.
}
STANDARD_LIBRARY = {
    # asyncio, with what it needs for sockets, TLS, threads and its own debugging.
    *("asyncio", "concurrent", "contextvars", "errno", "heapq", "inspect", "ast", "dis", "opcode", "linecache"),
    *("token", "tokenize", "logging", "queue", "reprlib", "select", "selectors", "signal", "socket", "ssl"),
    *("subprocess", "fcntl", "tempfile", "threading", "shutil", "bz2", "lzma", "zlib", "fnmatch", "random", "bisect"),
    *("hashlib", "math", "string", "weakref"),
    # chalice and psycopg: addresses, types of content, and versions, with zip files and CSV.
    *("urllib", "email", "calendar", "base64", "binascii", "quopri", "csv", "zipfile"),
    *("importlib", "textwrap"),
    # psycopg: types and the loading of libpq.
    *("ctypes", "platform", "sysconfig", "array", "copy", "dataclasses", "datetime", "decimal", "numbers"),
    *("ipaddress", "uuid", "zoneinfo"),
    # chalice and the engine.
    *("gc", "json", "fractions", "traceback", "hmac", "pathlib", "ntpath", "atexit", "locale"),
    # What nearly everything needs.
    *("collections", "contextlib", "copyreg", "enum", "functools", "itertools", "keyword", "operator", "re"),
    *("struct", "types", "typing", "warnings"),
}


@pytest.fixture(scope="module")
def started() -> dict[str, Any]:
    # Isolated, so that no variable of whoever runs the tests adds an import.
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT], env={}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def public(modules: list[str]) -> set[str]:
    """Without the parts of which modules are made: those in C, and what Cython leaves."""
    return {name for name in modules if not name.startswith("_")} - {"cython_runtime"}


def test_a_cold_start_imports_what_was_decided(started: dict[str, Any]) -> None:
    third_party = public(started["modules"]) - sys.stdlib_module_names - OWN
    assert third_party == THIRD_PARTY, (
        "a cold start's dependencies have changed. Import a new one where it is used, and only if that is rare; else "
        "measure it with `python -m benchmarks.coldstart` and list it here with what it is for"
    )


def test_a_cold_start_imports_no_further_part_of_the_standard_library(started: dict[str, Any]) -> None:
    added = public(started["modules"]) & sys.stdlib_module_names - STANDARD_LIBRARY
    assert not added, (
        "find who imports it with `python -X importtime -c 'import app'`. If the engine can do without, let it; else "
        "list it here with who needs it"
    )


def test_a_cold_start_imports_no_market_but_the_simulated_one(started: dict[str, Any]) -> None:
    markets = {name.split(".")[2] for name in started["own"] if name.startswith("chalicelib.venues.")}
    assert markets == {"base", "ledger_chain", "pool", "simulated"}
    assert "chalicelib.store.pools" not in started["own"]


def test_importing_leaves_the_collector_on_and_what_was_imported_out_of_its_way(started: dict[str, Any]) -> None:
    assert started["collects"]
    assert started["frozen"] > 0

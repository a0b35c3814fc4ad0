"""A warm container of the engine: a process that serves one invocation after the other, as Lambda calls it."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.surroundings.environment import inherited
from benchmarks.surroundings.examples import Context
from benchmarks.surroundings.quota import WHOLE_MEGABYTES, NoQuotaError, Quota, quota

ROOT = Path(__file__).resolve().parent.parent.parent


class Invoked(msgspec.Struct, frozen=True):
    """One invocation: wall milliseconds, what it logged and what it answered."""

    ms: float
    log_bytes: int
    reply_bytes: int
    reply: Any

    @property
    def billed_ms(self) -> int:
        """As Lambda rounds."""
        return int(-(-self.ms // 1))


class WarmContainer:
    """Calls the entry points of app.py in a process that `started` made."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def limit(self, share: Quota | None) -> None:
        """Once it has initialised with a whole CPU, give it a share of one; `share` must outlive it."""
        await self.invoke("init", {})
        if share:
            share.processes.write_text(str(self._process.pid))

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Invoked:
        """One invocation of a function, which must not fail."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise AssertionError("a container has pipes")
        stdin.write(json.dumps({"function": function, "event": event}).encode() + b"\n")
        line = await stdout.readline()
        if not line:
            raise RuntimeError(f"the container ended in {function}")
        return msgspec.json.decode(line, type=Invoked)


@contextlib.asynccontextmanager
async def started(environment: Mapping[str, str]) -> AsyncIterator[WarmContainer]:
    """A container with this environment beside what is inherited; it ends with the body, or with this process."""
    command = [sys.executable, "-m", "benchmarks.processes.warm"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**inherited(), "VENUE_TIME_SCALE": "1", **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
        # Ctrl-C is for whoever started it.
        start_new_session=True,
    )
    try:
        yield WarmContainer(process)
    finally:
        if process.stdin:
            process.stdin.close()
        await process.wait()


def shared(parts: contextlib.AsyncExitStack, megabytes: int) -> Quota | None:
    """The share of a CPU that so much memory has, until `parts` end; None where this machine lets us set none."""
    try:
        return parts.enter_context(quota(megabytes))
    except NoQuotaError:
        return None


def no_quota() -> str:
    """Why this machine lets us set no quota; nothing where it does."""
    try:
        with quota(WHOLE_MEGABYTES):
            return ""
    except NoQuotaError as error:
        return str(error)


def _functions() -> dict[str, Callable[[Any, Any], Any]]:
    import app  # noqa: PLC0415 - reads the environment of this process alone
    from benchmarks.processes import naive  # noqa: PLC0415

    return {
        "api": app.app,
        "connect": app.websocket_connect,
        "message": app.websocket_message,
        "disconnect": app.websocket_disconnect,
        "worker": app.worker,
        "deliver": app.deliver,
        "sweep": app.sweep,
        "naive": naive.execute,
    }


def main() -> None:
    """Serve invocations, a line of JSON each, until stdin ends. What the engine prints goes to its log alone."""
    with os.fdopen(os.dup(1), "wb", buffering=0) as replies, tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 1)
        began = time.perf_counter()
        functions = _functions()
        init_ms = (time.perf_counter() - began) * 1000
        functions["init"] = lambda _event, _context: init_ms
        for line in sys.stdin.buffer:
            replies.write(_invoked(functions, line, log.fileno()) + b"\n")
        # The engine's connections end with the process; its threads would keep it.
        sys.stdout.flush()
        os._exit(0)


def _invoked(functions: Mapping[str, Callable[[Any, Any], Any]], line: bytes, log: int) -> bytes:
    logged, started = os.fstat(log).st_size, time.perf_counter()
    call = json.loads(line)
    reply = functions[call["function"]](call["event"], Context())
    answer = json.dumps(reply)
    sys.stdout.flush()
    return msgspec.json.encode(
        Invoked(
            ms=(time.perf_counter() - started) * 1000,
            log_bytes=os.fstat(log).st_size - logged,
            reply_bytes=len(answer),
            reply=reply,
        )
    )


if __name__ == "__main__":
    main()

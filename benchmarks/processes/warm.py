"""A warm container of the engine: a process that serves one invocation after the other, as Lambda calls it."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.surroundings.quota import WHOLE_MEGABYTES, NoQuotaError, Quota, quota

ROOT = Path(__file__).resolve().parent.parent.parent
TIMEOUT_MS = 10_000


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


class Container:
    """Calls the entry points of app.py in a process that `start` made."""

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
async def started(environment: Mapping[str, str]) -> AsyncIterator[Container]:
    """A container with this environment beside PATH; it ends with the body, or with this process."""
    command = [sys.executable, "-m", "benchmarks.processes.warm"]
    fixed = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", os.defpath), "VENUE_TIME_SCALE": "1", **fixed, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        yield Container(process)
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


def messages(bodies: Sequence[str]) -> dict[str, Any]:
    """The event of a queue's mapping."""
    source = {"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:orders"}
    return {
        "Records": [
            {"messageId": f"m{at}", "receiptHandle": "none", "body": body, "attributes": {}, **source}
            for at, body in enumerate(bodies)
        ]
    }


def post(order: Mapping[str, Any]) -> dict[str, Any]:
    """The event of the REST API for a POST of an order."""
    path = "/api/orders/execute"
    return {
        "resource": path,
        "path": path,
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": json.dumps(order),
        "isBase64Encoded": False,
        "requestContext": {"resourcePath": path, "httpMethod": "POST", "path": f"/api{path}", "stage": "api"},
    }


def socket_event(kind: str, connection_id: str, body: str | None = None) -> dict[str, Any]:
    """The event of the WebSocket API for CONNECT, MESSAGE or DISCONNECT."""
    context = {"connectionId": connection_id, "eventType": kind, "domainName": "sockets", "apiId": "a", "stage": "api"}
    return {"requestContext": context, "queryStringParameters": None, "body": body}


def tick() -> dict[str, Any]:
    """The event of a schedule."""
    names = ("version", "account", "region", "detail-type", "source", "time", "id")
    return dict.fromkeys(names, "") | {"detail": {}, "resources": []}


class Context:
    """What Lambda tells a function about its invocation."""

    function_name = "benchmark"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:benchmark"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def __init__(self) -> None:
        self._started = time.monotonic()

    def get_remaining_time_in_millis(self) -> int:
        """What is left of ten seconds."""
        return TIMEOUT_MS - int((time.monotonic() - self._started) * 1000)


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

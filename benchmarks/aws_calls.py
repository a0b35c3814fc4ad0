"""What a call to AWS takes of the processor, beside the SDK's and beside urllib3 with botocore's signatures."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from benchmarks.reporting.report import Goal, Result, Spread, Table, run
from benchmarks.reporting.rounds import ROUNDS, interleaved
from benchmarks.surroundings.secured import certify
from benchmarks.surroundings.sink import Sink
from chalicelib.aws.push import Push
from chalicelib.aws.queues import Queue
from chalicelib.aws.sqs import Sqs
from chalicelib.domain.errors import QueueError
from chalicelib.domain.message import Message

CALLS = 400
SIDE_BY_SIDE = (1, 10, 100)
POOL = Config(max_pool_connections=max(SIDE_BY_SIDE))
# As long as an order's frames and a role's credentials are.
FRAME = b"x" * 300
CREDENTIALS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "ASIAXXXXXXXXXXXXXXXX",
    "AWS_SECRET_ACCESS_KEY": "s" * 40,
    "AWS_SESSION_TOKEN": "t" * 800,
}
CONNECTION = "AbC123def_="
MESSAGES = [Message(f"0190f3c4-8a1e-7b2c-9d3e-4f506172839{at}", 1) for at in range(10)]
MOST_PUSH_MICROSECONDS = 200
IMPORTS = {
    "the package": "import app",
    "the package, and boto3 with a client": "import app, boto3; boto3.client('sqs')",
    "the package, and botocore's signer with urllib3": "import app, botocore.auth, botocore.session, urllib3",
}
ABOUT = """\
Each figure is the processor time of the whole client process, all its threads included, divided by its calls. The
service answers at once from a process of its own, over TLS on the loopback. Connections are kept; since the engine
drops those that idled for some seconds, each run opens them before it counts. Variants run in interleaved rounds. A
push is one frame of 300 bytes to one socket, signed with a role's session token; "side by side" is how many are under
way at once, so that one alone pays for each waiting by itself. The baselines are the SDK as it comes (boto3's client
in a thread) and what the SDK is made of (botocore's SigV4 and urllib3's pool in a thread). The engine signs by itself
(the tests hold its signatures to botocore's) and speaks HTTP on its event loop, so that a call needs no thread.
Imports are measured in fresh processes. The processors of Lambda differ: ratios carry over, microseconds don't."""

Call = Callable[[], Awaitable[Any]]


def measure() -> Result:
    """Sends, pushes and imports."""
    with ExitStack() as stack:
        made = certify(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        url = stack.enter_context(Sink(made.certificate, made.key)).endpoint
        certificate = str(made.certificate)
        environ = {**CREDENTIALS, "AWS_ENDPOINT_URL": url, "AWS_CA_BUNDLE": certificate}
        stack.enter_context(mock.patch.dict(os.environ, environ))
        loop = stack.enter_context(asyncio.Runner())
        threads = stack.enter_context(ThreadPoolExecutor(max(SIDE_BY_SIDE)))
        variants: dict[str, Callable[[], float]] = {}

        def add(name: str, call: Call, side: int) -> None:
            variants[name] = lambda: loop.run(_timed(call, side))

        add("send engine", _engine_send(url), 1)
        add("send sdk", _sdk_send(url, threads), 1)
        for side in SIDE_BY_SIDE:
            add(f"push engine {side}", _engine_push(url), side)
            add(f"push urllib3 {side}", _urllib3_push(url, certificate, threads), side)
            add(f"push sdk {side}", _sdk_push(url, threads), side)
        for name, code in IMPORTS.items():
            variants[name] = lambda code=code: _import(code)  # type: ignore[misc]
        found = {name: Spread.of(values) for name, values in interleaved(variants, warm=1).items()}
    return _result(found)


async def _timed(call: Call, side: int) -> float:
    """Microseconds of processor time a call, on connections that are open: the engine drops those that idled."""
    await asyncio.gather(*(call() for _ in range(side)))
    before = time.process_time()
    for _ in range(CALLS // side):
        # A task for each would be the harness's own cost where a call is alone.
        await (asyncio.gather(*(call() for _ in range(side))) if side > 1 else call())
    return (time.process_time() - before) / (CALLS // side * side) * 1e6


def _import(code: str) -> float:
    """Milliseconds of processor time that a fresh process takes for it."""
    timed = f"import time; before = time.process_time(); {code}; print(time.process_time() - before)"
    printed = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
    return float(printed.stdout) * 1e3


def _engine_send(url: str) -> Call:
    def fail(what: str, error: QueueError) -> None:
        raise RuntimeError(what) from error

    queue = Queue(Sqs(), f"{url}/1/orders", fail)

    def send() -> Coroutine[Any, Any, list[Message]]:
        return queue.send(MESSAGES)

    return send


def _sdk_send(url: str, threads: ThreadPoolExecutor) -> Call:
    client: Any = boto3.client("sqs", config=POOL)
    entries = [
        {"Id": str(at), "MessageBody": message.body, "DelaySeconds": message.delay}
        for at, message in enumerate(MESSAGES)
    ]
    return _threaded(lambda: client.send_message_batch(QueueUrl=f"{url}/1/orders", Entries=entries), threads)


def _engine_push(url: str) -> Call:
    push = Push(f"{url}/api")
    return lambda: push.push(CONNECTION, FRAME, 5)


def _urllib3_push(url: str, certificate: str, threads: ThreadPoolExecutor) -> Call:
    pool = urllib3.PoolManager(maxsize=max(SIDE_BY_SIDE), retries=False, ca_certs=certificate)
    session: Any = boto3.Session()
    signer = SigV4Auth(session.get_credentials(), "execute-api", session.region_name)
    path = f"{url}/api/@connections/{CONNECTION.replace('=', '%3D')}"

    def post() -> None:
        request = AWSRequest("POST", path, data=FRAME, headers={"Content-Type": "application/json"})
        signer.add_auth(request)
        headers = dict(request.headers.items())
        pool.request("POST", path, body=FRAME, headers=headers, timeout=urllib3.Timeout(total=5))

    return _threaded(post, threads)


def _sdk_push(url: str, threads: ThreadPoolExecutor) -> Call:
    connect: Any = boto3.client
    client = connect("apigatewaymanagementapi", endpoint_url=f"{url}/api", config=POOL)
    return _threaded(lambda: client.post_to_connection(ConnectionId=CONNECTION, Data=FRAME), threads)


def _threaded(work: Callable[[], Any], threads: ThreadPoolExecutor) -> Call:
    return lambda: asyncio.get_running_loop().run_in_executor(threads, work)


def _result(found: dict[str, Spread]) -> Result:
    sends = [[name, found[f"send {key}"].text()] for key, name in (("engine", "the engine"), ("sdk", "boto3"))]
    pushes = [
        [name, *(found[f"push {key} {side}"].text() for side in SIDE_BY_SIDE)]
        for key, name in (("engine", "the engine"), ("urllib3", "botocore and urllib3"), ("sdk", "boto3"))
    ]
    engine = {side: found[f"push engine {side}"].median for side in SIDE_BY_SIDE}
    slowest = max(engine.values())
    met = slowest <= MOST_PUSH_MICROSECONDS
    return Result(
        name="aws_calls",
        title="Calls to AWS",
        about=ABOUT,
        tables=[
            Table("SendMessageBatch of 10, µs of processor time", ["Client", "A call"], sends),
            Table(
                "PostToConnection, µs of processor time a frame",
                ["Client", *(f"{side} side by side" for side in SIDE_BY_SIDE)],
                pushes,
            ),
            Table("Imports, ms of processor time", ["What", "Time"], [[name, found[name].text()] for name in IMPORTS]),
        ],
        goals=[
            Goal(
                "processor time of a pushed frame",
                f"≤ {MOST_PUSH_MICROSECONDS} µs",
                f"{slowest:,.0f} µs where it takes the most",
                met,
                ""
                if met
                else ", ".join(f"{side} side by side: {micros:,.0f} µs" for side, micros in engine.items())
                + ": what is alone pays for each waiting of the loop by itself",
            )
        ],
        figures={"rounds": ROUNDS, **{name: round(spread.median, 1) for name, spread in found.items()}},
    )


if __name__ == "__main__":
    raise SystemExit(run(measure, __doc__))

"""SQS's protocol: what is sent, and what becomes of each kind of answer."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from chalicelib.aws import sqs
from chalicelib.aws.queues import Queue
from chalicelib.aws.sqs import Sqs
from chalicelib.domain.errors import ConfigurationError, QueueError
from chalicelib.domain.message import Message
from chalicelib.net import client
from tests.integration.service import Received, reply, serving

DONE = reply(b'{"Successful": []}')
BROKEN = reply(b"<html>oops</html>", 500)
QUEUE = "http://sqs.elsewhere.example/1/orders"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in ("AWS_ENDPOINT_URL_SQS", "AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_SECURITY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "ASIA1",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "a/session+token==",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path_factory.getbasetemp() / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path_factory.getbasetemp() / "none"),
    }.items():
        monkeypatch.setenv(name, value)


def told(what: str, error: QueueError) -> None:
    raise AssertionError(f"{what}: {error}")


def queue(name: str = QUEUE) -> Queue:
    return Queue(Sqs(), name, told)


def botocores(received: Received, keys: Credentials, monkeypatch: pytest.MonkeyPatch) -> str:
    """The signature that botocore gives a request."""
    moment = datetime.strptime(received.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: moment)
    ours = {"authorization", "x-amz-date", "x-amz-security-token", "host", "content-length"}
    headers = {name: value for name, value in received.headers.items() if name not in ours}
    url = f"http://{received.headers['host']}{received.path}"
    request = AWSRequest("POST", url, headers=headers, data=received.body)
    auth.SigV4Auth(keys, "sqs", "us-east-1").add_auth(request)
    assert request.headers.get("X-Amz-Security-Token") == received.headers.get("x-amz-security-token")
    found: str = request.headers["Authorization"]
    return found


@pytest.mark.parametrize("token", ["a/session+token==", None])
async def test_a_batch_is_one_signed_request_of_the_json_protocol(
    monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", token or "")
    async with serving(DONE) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        assert await queue().send([Message("one"), Message("two", 1000)]) == []
    (received,) = service.received
    assert (received.path, received.headers["host"]) == ("/", address)
    assert received.headers["x-amz-target"] == "AmazonSQS.SendMessageBatch"
    assert received.headers["content-type"] == "application/x-amz-json-1.0"
    assert json.loads(received.body) == {
        "QueueUrl": QUEUE,
        "Entries": [
            {"Id": "0", "MessageBody": "one", "DelaySeconds": 0},
            {"Id": "1", "MessageBody": "two", "DelaySeconds": 900},
        ],
    }
    keys = Credentials("ASIA1", "secret", token)
    assert received.headers["authorization"] == botocores(received, keys, monkeypatch)


async def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [reply(json.dumps(each).encode()) for each in ({"QueueUrl": QUEUE}, {}, {})]
    async with serving(*answers) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        named = queue("orders")
        await named.hand_back([("a receipt", 3)])
        await named.hand_back([("another", 4)])
    assert [json.loads(each.body) for each in service.received] == [
        {"QueueName": "orders"},
        {"QueueUrl": QUEUE, "Entries": [{"Id": "0", "ReceiptHandle": "a receipt", "VisibilityTimeout": 3}]},
        {"QueueUrl": QUEUE, "Entries": [{"Id": "0", "ReceiptHandle": "another", "VisibilityTimeout": 4}]},
    ]
    # One connection carries them all.
    assert service.connections == 1


async def test_messages_that_are_not_taken_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}], "Successful": [{"Id": "0"}]}
    async with serving(reply(json.dumps(failed).encode())) as (_, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        assert await queue().send([Message("one"), Message("two")]) == [Message("two")]


@pytest.mark.parametrize(
    ("status", "kind", "tries"),
    [
        (400, "QueueDoesNotExist", 1),
        (403, "AccessDeniedException", 1),
        (400, "ThrottlingException", 2),
        (403, "RequestThrottled", 2),
        (503, "ServiceUnavailable", 2),
    ],
)
async def test_a_refusal_is_named_and_tried_again_where_it_may_pass(
    monkeypatch: pytest.MonkeyPatch, status: int, kind: str, tries: int
) -> None:
    body = json.dumps({"__type": f"com.amazonaws.sqs#{kind}", "message": "because"}).encode()
    async with serving(reply(body, status)) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        with pytest.raises(QueueError, match=f"GetQueueAttributes: {kind} because$"):
            await queue().backlog()
    assert len(service.received) == tries


@pytest.mark.parametrize("first", [BROKEN, reply(b"", 429), b"", b"SSH-2.0-OpenSSH_9.6\r\n"])
async def test_a_fault_that_passes_is_not_seen(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    counted = reply(b'{"Attributes": {"ApproximateNumberOfMessages": "7"}}')
    async with serving(first, counted) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        assert await queue().backlog() == 7
    assert len(service.received) == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (BROKEN, "status 500"),
        (None, "no reply in 0.05 s"),
        (b"", "closed before a whole reply"),
        (b"no HTTP", "no HTTP reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "no reply in 0.05 s"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "too large"),
    ],
)
async def test_a_fault_that_stays_is_an_error_after_two_tries(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, why: str
) -> None:
    if why.startswith("no reply in"):
        monkeypatch.setattr(sqs, "REPLY_SECONDS", 0.05)
    async with serving(answer) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        with pytest.raises(QueueError, match=why):
            await queue().backlog()
    assert len(service.received) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b'{"Attributes": {}}',
        b'{"x": ' + b"[" * 50_000,
        b'{"Attributes": {"ApproximateNumberOfMessages": "x"}}',
    ],
)
async def test_a_reply_that_says_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    async with serving(reply(body)) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        with pytest.raises(QueueError):
            await queue().backlog()
    assert len(service.received) == 1


async def test_a_failed_entry_that_nobody_sent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = []
    async with serving(reply(b'{"Failed": [{"Id": "-1"}]}')) as (_, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        sent = Queue(Sqs(), QUEUE, lambda what, error: reports.append(f"{what}: {error}"))
        assert await sent.send([Message("one")]) == [Message("one")]
    assert len(reports) == 1


@pytest.mark.parametrize(
    "last", [DONE + b"tail", reply(b"{}", headers="Connection: Close\r\n"), DONE.replace(b"HTTP/1.1", b"HTTP/1.0")]
)
async def test_a_connection_whose_reply_was_its_last_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    async with serving(last, DONE) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        used = queue()
        for _ in range(3):
            assert await used.send([Message("one")]) == []
    assert (service.connections, len(service.received)) == (2, 3)


async def test_a_connection_that_ended_while_it_was_idle_is_replaced_without_a_second_try(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqs, "TRIES", 1)
    async with serving(DONE) as (service, address), serving(DONE) as (_, another):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        used = queue()
        await used.send([Message("first")])
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{another}")
        meanwhile = queue()
        for end in (
            lambda writer: writer.close(),
            lambda writer: writer.transport.abort(),
            lambda writer: writer.write(DONE),
            lambda _: None,
        ):
            end(service.writers[-1])
            # With this reply the loop has met the end, too.
            assert await meanwhile.send([Message("another")]) == []
            assert await used.send([Message("next")]) == []
    assert (service.connections, len(service.received)) == (4, 5)
    assert caplog.records == []


async def test_a_connection_that_idled_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IDLE_SECONDS", -1)
    async with serving(DONE) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        used = queue()
        for _ in range(3):
            assert await used.send([Message("one")]) == []
    assert service.connections == 3


async def test_the_second_try_does_not_take_another_connection_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqs, "REPLY_SECONDS", 0.3)
    async with serving(DONE, DONE, None, DONE) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        used = queue()
        assert await asyncio.gather(used.send([Message("one")]), used.send([Message("two")])) == [[], []]
        assert service.connections == 2
        # As after a thaw: nobody tells that it is gone.
        assert await used.send([Message("three")]) == []
    assert (service.connections, len(service.received)) == (3, 4)


async def test_calls_side_by_side_get_their_own_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        name = json.loads(await reader.readexactly(length))["QueueUrl"].rpartition("/")[2]
        writer.write(reply(json.dumps({"Attributes": {"ApproximateNumberOfMessages": name}}).encode()))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=512)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    shared = Sqs()
    queues = [Queue(shared, f"http://queues/{number}", told) for number in range(300)]
    assert await asyncio.gather(*(each.backlog() for each in queues)) == list(range(300))
    server.close()


async def test_the_services_own_endpoint_wins_and_the_queues_host_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(DONE) as (own, first), serving(DONE) as (general, second):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{second}/")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"http://{first}/a/base/")
        assert await queue().send([Message("one")]) == []
    assert ([each.path for each in own.received], general.received) == (["/a/base/"], [])


@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-west-1", "sqs.eu-west-1.amazonaws.com"), ("cn-north-1", "sqs.cn-north-1.amazonaws.com.cn")],
)
async def test_without_an_endpoint_the_regions_own_is_asked(
    monkeypatch: pytest.MonkeyPatch, region: str, host: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    asked = []

    async def away(_: object, name: str, port: int, *, ssl: object) -> None:
        asked.append((name, port, ssl is not None))
        raise ConnectionRefusedError("away")

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "create_connection", lambda self, *a, **k: away(*a, **k))
    with pytest.raises(QueueError, match=f"{host}: away"):
        await queue().backlog()
    assert asked == [(host, 443, True)] * 2


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION"])
async def test_without_credentials_or_region_a_call_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    async with serving(DONE) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        monkeypatch.delenv(missing)
        with pytest.raises(QueueError, match="AWS settings: no "):
            await queue().backlog()
    assert service.received == []


async def test_credentials_that_the_environment_lacks_are_found_as_botocore_finds_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    profiles = tmp_path_factory.mktemp("aws") / "credentials"
    profiles.write_text("[work]\naws_access_key_id = AKIA2\naws_secret_access_key = other\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    monkeypatch.setenv("AWS_PROFILE", "work")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    async with serving(DONE) as (service, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        assert await queue().send([Message("one")]) == []
    (received,) = service.received
    assert received.headers["authorization"] == botocores(received, Credentials("AKIA2", "other"), monkeypatch)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "localhost:4566"),
        ("AWS_ENDPOINT_URL", "http://localhost:port"),
        ("AWS_ENDPOINT_URL", "http://"),
        ("AWS_ENDPOINT_URL", "ftp://localhost"),
        ("AWS_ENDPOINT_URL", "http://[::1"),
        ("AWS_DEFAULT_REGION", ""),
        ("AWS_DEFAULT_REGION", "us east"),
        ("AWS_SECRET_ACCESS_KEY", ""),
    ],
)
def test_settings_that_allow_no_call_are_found_by_the_check(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    Sqs().check()
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=r"^AWS settings: "):
        Sqs().check()

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_sqs import SQSClient
from psycopg import sql

from chalicelib import bootstrap
from chalicelib.bootstrap import LoopThread
from chalicelib.venues.pools.directory import SANDBOX, accounts_in
from local.migrate import migrate
from local.postgres import Postgres, ephemeral
from tests.integration.gateway import Gateway
from tests.integration.keyed import Account, account
from tests.integration.live import Container, container
from tests.integration.node import Node, running
from tests.integration.operators import Operator
from tests.integration.rig import Rig
from tests.integration.sessions import Session

TEMPLATE = "engine_template"
ROLE_SETTINGS = """
SELECT unnest(setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = %s
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with ephemeral() as server:
        migrate(server.ensure_database(TEMPLATE))
        yield server


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
        # A copy of a database has no settings of its own.
        for (setting,) in connection.execute(ROLE_SETTINGS, (TEMPLATE,)).fetchall():
            found, _, value = setting.partition("=")
            connection.execute(
                sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET {} = {}").format(
                    sql.Identifier(name), sql.Identifier(found), sql.Literal(value)
                )
            )
    yield postgres.url(name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def sqs(aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> SQSClient:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return boto3.client("sqs")


@pytest.fixture
def queues(sqs: SQSClient) -> dict[str, str]:
    """The stack's queues, with its redrive."""
    prefix = uuid.uuid4().hex[:8]
    urls: dict[str, str] = {}
    dead_letters: dict[str, Any] = {"VisibilityTimeout": "60"}
    for name in ("dead-letters", "deliveries"):
        urls[name] = sqs.create_queue(QueueName=f"{prefix}-{name}", Attributes=dead_letters)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=urls["dead-letters"], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 6}}'
    urls["orders"] = sqs.create_queue(
        QueueName=f"{prefix}-orders", Attributes={"VisibilityTimeout": "60", "RedrivePolicy": redrive}
    )["QueueUrl"]
    return urls


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    yield gateway
    gateway.close()


@pytest.fixture
def rig(
    database_url: str,
    sqs: SQSClient,
    queues: dict[str, str],
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Rig]:
    """One container without simulated delays."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PUSH_ENDPOINT", gateway.endpoint)
    monkeypatch.setenv("VENUE_TIME_SCALE", "0")
    for name, url in queues.items():
        monkeypatch.setenv(f"{name.replace('-', '_').upper()}_QUEUE", url)
    rig = Rig(database_url, sqs, queues, gateway)
    yield rig
    rig.close()
    bootstrap.close()


@pytest.fixture
def session(rig: Rig) -> Iterator[Callable[[], Session]]:
    opened: list[Session] = []

    def opening() -> Session:
        opened.append(Session(rig.database_url))
        return opened[-1]

    yield opening
    for each in opened:
        each.close()


@pytest.fixture
def operate(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Operator:
    """The operator's command, on the rig."""
    return Operator(capsys)


@pytest.fixture
def node() -> Node:
    """A node that has the sandbox's accounts."""
    return Node(accounts_in(SANDBOX))


@pytest.fixture
async def node_url(node: Node) -> AsyncIterator[str]:
    async with running(node) as found:
        yield found


@pytest.fixture
async def market(database_url: str, node_url: str) -> AsyncIterator[Container]:
    """A container whose market is the node's chain."""
    async with container(database_url, node_url) as made:
        yield made


@pytest.fixture
def node_loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture
def chain(node: Node, node_loop: LoopThread, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """The same node in a thread of its own, which containers ask."""
    serving = running(node)
    monkeypatch.setenv("MARKET", "pools")
    monkeypatch.setenv("SOLANA_RPC_URL", node_loop.run(serving.__aenter__()))
    yield node
    node_loop.run(serving.__aexit__(None, None, None))


@pytest.fixture
def keyed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """An engine that requires keys."""
    monkeypatch.setenv("AUTH", "required")
    return rig


@pytest.fixture
def alice(keyed: Rig, operate: Operator) -> Account:
    return account(keyed, operate, "alice")


@pytest.fixture
def bob(keyed: Rig, operate: Operator) -> Account:
    return account(keyed, operate, "bob")

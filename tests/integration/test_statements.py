"""How often the engine asks its database: a batch shares its statements, and sockets share them too."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Self

import msgspec
import psycopg
import pytest
from psycopg import AsyncConnection

from benchmarks.surroundings.database import ACCEPT, FOLLOW, PAYLOAD
from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine, real
from chalicelib.store.statements import load
from tests.integration.rig import Rig

NAMES = {text: name for room in ("ledger", "orders", "streams") for name, text in load(room).items()}
WORK, PUBLISHING = "order-engine work", "order-engine publishing"
# A look, and as long as it finds something, what is given back and another look.
LEASED = ["lease", "release", "lease"]


class Frames:
    """Sockets that take every frame at once."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = defaultdict(int)

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        self.taken[connection_id] += 1


class Asked:
    """The names of the statements that a container runs, by connection."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = defaultdict(list)
        names = self.names

        class Connection(AsyncConnection[Any]):
            name = ""

            @classmethod
            async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
                connection = await super().connect(conninfo, **kwargs)
                connection.name = kwargs["application_name"]
                return connection

            async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
                # A connection that idled is asked whether it still answers.
                if query != "SELECT 1":
                    names[self.name].append(NAMES[query])
                return await super().execute(query, *args, **kwargs)

        self.connect = Connection.connect

    def taken(self) -> tuple[list[str], list[str]]:
        """What the work connection and the publishing one were asked since the last call."""
        found = self.names[WORK], self.names[PUBLISHING]
        self.names.clear()
        return found


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
def asked(rig: Rig, frames: Frames) -> Iterator[Asked]:
    """The container of the handlers is one that tells what it asks."""
    asked = Asked()
    given = settings.read()
    around = msgspec.structs.replace(real(given), connect=asked.connect, pusher=frames)
    bootstrap.install(Engine(given, around))
    return asked


def accept(rig: Rig, orders: int, sockets: int) -> list[str]:
    """So many orders, each with so many sockets that follow it."""
    with psycopg.connect(rig.database_url, autocommit=True) as database:
        given = {"orders": orders, "payload": PAYLOAD, "watched": False}
        order_ids = [row[0] for row in database.execute(ACCEPT, given)]
        database.execute(FOLLOW, {"order_ids": order_ids, "sockets": sockets})
    return order_ids


def confirmed(rig: Rig, order_ids: list[str]) -> bool:
    left = "SELECT 1 FROM orders WHERE id = ANY(%s::uuid[]) AND status <> 'confirmed'"
    return not rig.sql(left, order_ids)


@pytest.mark.parametrize("orders", [10, 100])
@pytest.mark.parametrize("sockets", [0, 1], ids=["unwatched", "watched"])
def test_a_batch_shares_its_statements(rig: Rig, asked: Asked, frames: Frames, orders: int, sockets: int) -> None:
    order_ids = accept(rig, orders, sockets)
    assert rig.invoke(*order_ids) == []
    work, publishing = asked.taken()
    # `routing` goes down while the venues are asked, the rest in front of the swap.
    assert work == ["claim", "write_transitions", "write_transitions", "land"]
    # A look for each of the two commits, and where it finds something, two more statements.
    assert len(publishing) <= 2 * len(LEASED[: 1 + 2 * sockets])
    assert rig.invoke(*order_ids) == []
    work, publishing = asked.taken()
    assert work == ["claim", "look", "write_transitions"]
    assert publishing == LEASED[: 1 + 2 * sockets]
    assert confirmed(rig, order_ids)
    assert sum(frames.taken.values()) == orders * sockets * 4


@pytest.mark.parametrize("sockets", [1, 100])
@pytest.mark.parametrize("others", [0, 1000])
def test_a_publish_pass_takes_as_many_statements_for_many_sockets(
    rig: Rig, asked: Asked, frames: Frames, sockets: int, others: int
) -> None:
    (order_id,) = accept(rig, 1, sockets)
    accept(rig, 1, others)
    rig.settle(order_id)
    asked.taken()
    frames.taken.clear()
    rig.sql("UPDATE subscriptions SET last_seq = 0 WHERE order_id = %s", order_id)
    # Its order has ended, so all that a message does is publish.
    assert rig.invoke(order_id) == []
    assert asked.taken() == (["claim"], LEASED)
    assert sorted(frames.taken.values()) == [5] * sockets

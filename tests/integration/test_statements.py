"""How often the engine asks its database: a batch shares its statements, and sockets share them too."""

from collections import defaultdict

import psycopg
import pytest

from benchmarks.surroundings.database import ACCEPT, FOLLOW, PAYLOAD
from tests.integration.asked import Asked, install
from tests.integration.rig import Rig

# A look, and as long as it finds something, what is given back and another look.
LEASED = ["lease", "release", "lease"]


class Frames:
    """Sockets that take every frame at once."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = defaultdict(int)

    async def push(self, connection_id: str, data: bytes, seconds: float) -> None:
        self.taken[connection_id] += 1


@pytest.fixture
def frames() -> Frames:
    return Frames()


@pytest.fixture
def asked(rig: Rig, frames: Frames) -> Asked:
    return install(pusher=frames)


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

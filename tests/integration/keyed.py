"""Accounts, each with a key of its own, before an engine that requires one."""

import json
from typing import Any

from chalicelib.handlers import rest
from tests.integration.operators import Operator
from tests.integration.rig import SOL_TO_USDC, Request, Rig


class Account:
    """A client with a key: what it asks, and what it is answered."""

    def __init__(self, rig: Rig, key: str) -> None:
        self._rig = rig
        self.key = key
        self.prefix = key.split("_")[1]
        self.bearer = f"Bearer {key}"

    def execute(self, *, key: str | None = None, **fields: Any) -> rest.Reply:
        return rest.execute(Request(json.dumps(SOL_TO_USDC | fields).encode(), key=key, authorization=self.bearer))

    def post(self, **given: Any) -> str:
        reply = self.execute(**given)
        assert reply.status == 200, reply.body
        order_id: str = json.loads(reply.body)["orderId"]
        return order_id

    def show(self, order_id: str) -> rest.Reply:
        return rest.order(Request(authorization=self.bearer), order_id)

    def list(self, **query: str) -> list[str]:
        reply = rest.orders(Request(query=query, authorization=self.bearer))
        assert reply.status == 200, reply.body
        return [order["orderId"] for order in json.loads(reply.body)["orders"]]

    def ticket(self) -> str:
        reply = rest.ticket(Request(authorization=self.bearer))
        assert reply.status == 201, reply.body
        ticket: str = json.loads(reply.body)["ticket"]
        return ticket

    def connect(self, connection_id: str, **query: str) -> int:
        """Opens a socket by the key, or by a `ticket` in the query; returns the status."""
        headers = {} if "ticket" in query else {"Authorization": self.bearer}
        return self._rig.connecting(connection_id, headers, query)


def account(rig: Rig, operate: Operator, name: str) -> Account:
    """An account's client, with a new key."""
    return Account(rig, operate.json("keys", "create", name)["key"])

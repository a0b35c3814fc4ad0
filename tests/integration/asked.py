"""What the engine asks its database, by the names of its statements."""

from collections import defaultdict
from typing import Any, Self

import msgspec
from psycopg import AsyncConnection

from chalicelib import bootstrap, settings
from chalicelib.bootstrap import Engine, real
from chalicelib.store.statements import load

NAMES = {
    text: name for room in ("accounts", "ledger", "orders", "pools", "streams") for name, text in load(room).items()
}
WORK, PUBLISHING = "order-engine work", "order-engine publishing"


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


def install(**changes: Any) -> Asked:
    """Have the handlers use a container that tells what it asks; `changes` are to its surroundings."""
    asked = Asked()
    given = settings.read()
    bootstrap.install(Engine(given, msgspec.structs.replace(real(given), connect=asked.connect, **changes)))
    return asked

"""Sockets, what they follow, and the leases under which their frames are pushed."""

from collections.abc import Collection, Sequence
from itertools import groupby
from uuid import UUID

import msgspec

from chalicelib.domain.errors import OutcomeUnknown
from chalicelib.domain.event import Event
from chalicelib.domain.subscription import Admitted, Lease, Opened, Release, Shown
from chalicelib.store.database import Database
from chalicelib.store.statements import load

_SQL = load("streams")
# Longer than a push may take.
SUBSCRIPTION_LEASE_SECONDS = 15
# API Gateway ends a socket after two hours.
CONNECTION_SECONDS = 2 * 3600 + 600
MOST_SUBSCRIPTIONS = 1000
# Subscriptions leased at once: bounds what one statement returns.
MOST_LEASED = 1000
# Subscriptions that one statement looks through for sockets that lag: more than one socket may have, and few enough for
# a second. And how many such statements a sweep makes.
LOOKED_THROUGH = 10_000
LOOKS = 20


class Streams:
    """The connections and subscriptions tables, through one connection. All of its statements may run twice."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # From which socket on the next search for those that lag looks.
        self._first_to_look_at = ""

    async def connect(self, connection_id: str, first_frame: str | None) -> None:
        """Remember anybody's socket that is opening, and the bind that came with it."""
        params = {"id": connection_id, "first_frame": first_frame, "lifetime": CONNECTION_SECONDS}
        await self._database.insist(_SQL["connect"], params)

    async def admit(self, connection_id: str, first_frame: str | None, shown: Shown, most: int) -> Admitted:
        """The same for a socket whose key or ticket must be valid, one of at most so many of its account."""
        params = {"id": connection_id, "first_frame": first_frame, "lifetime": CONNECTION_SECONDS, "most": most}
        if shown.ticket is None:
            rows = await self._database.insist(_SQL["connect_with_key"], params | {"key_prefix": shown.key_prefix})
        else:
            rows = await self._database.insist(_SQL["connect_with_ticket"], params | {"digest": shown.ticket})
        return Admitted(*rows[0])

    async def open(self, connection_id: str) -> Opened | None:
        """The socket takes frames from now on; None where it is unknown."""
        rows = await self._database.insist(_SQL["open"], {"id": connection_id})
        return Opened(*rows[0]) if rows else None

    async def forget(self, connection_id: str) -> None:
        """The socket is closed."""
        await self._database.insist(_SQL["forget"], {"id": connection_id})

    async def log_length(self, order_id: UUID, account: str) -> int | None:
        """How many events an account's order has; None where it has no such order."""
        rows = await self._database.insist(_SQL["log_length"], {"id": order_id, "account": account})
        return rows[0][0] if rows else None

    async def bind(self, connection_id: str, order_id: UUID, after_seq: int, *, first: bool) -> bool:
        """Follow an order. False where the socket is unknown or follows too many, or the first bind was served."""
        params = {"id": connection_id, "order_id": order_id, "after_seq": after_seq, "most": MOST_SUBSCRIPTIONS}
        return bool(await self._database.insist(_SQL["bind_first" if first else "bind"], params))

    async def drop_first(self, connection_id: str) -> None:
        """The bind that came with the connect was refused."""
        await self._database.insist(_SQL["drop_first"], {"id": connection_id})

    async def lease(self, order_ids: Collection[UUID], holder: UUID, passed_over: Collection[str]) -> list[Lease]:
        """Lease lagging subscriptions of some orders, with the events that they lack."""
        params = {
            "order_ids": list(order_ids),
            "holder": holder,
            "passed_over": sorted(passed_over),
            "lease": SUBSCRIPTION_LEASE_SECONDS,
            "most": MOST_LEASED,
        }
        rows = await self._database.insist(_SQL["lease"], params)
        return [
            Lease(
                connection_id,
                order_id,
                last_seq,
                bind_no,
                push_failures,
                age,
                length,
                tuple(
                    Event(seq, status, msgspec.Raw(meta.encode()), ts)
                    for *_, seq, status, meta, ts in group
                    if seq is not None
                ),
            )
            for (connection_id, order_id, last_seq, bind_no, push_failures, age, length), group in groupby(
                rows, key=lambda row: row[:7]
            )
        ]

    async def release(self, releases: Sequence[Release], holder: UUID) -> None:
        """Give leases back."""
        params = {
            "connection_ids": [release.connection_id for release in releases],
            "order_ids": [release.order_id for release in releases],
            "last_seqs": [release.last_seq for release in releases],
            "bind_nos": [release.bind_no for release in releases],
            "holder": holder,
        }
        await self._database.insist(_SQL["release"], params)

    async def hold_back(self, connection_id: str, delay: float) -> bool:
        """No push to a socket for `delay` seconds; False where another caller has just said so."""
        try:
            return bool(await self._database.fetch(_SQL["hold_back"], {"id": connection_id, "delay": delay}))
        except OutcomeUnknown:
            # One delivery too many does no harm, one too few leaves the socket to the sweep.
            return True

    async def lacking(self, order_ids: Collection[UUID]) -> list[str]:
        """Sockets that lack events of some orders while nobody is pushing to them."""
        params = {"order_ids": list(order_ids), "most": MOST_LEASED}
        return [row[0] for row in await self._database.insist(_SQL["lacking"], params)]

    async def recover(self, connection_ids: Collection[str]) -> None:
        """Sockets that had failed take frames again."""
        await self._database.insist(_SQL["recover"], {"ids": list(connection_ids)})

    async def followed(self, connection_id: str) -> tuple[list[UUID], int]:
        """The orders whose events a socket lacks, and the whole seconds until it may be pushed to."""
        rows = await self._database.insist(_SQL["followed"], {"id": connection_id})
        return [row[0] for row in rows], max((row[1] or 0 for row in rows), default=0)

    async def lagging(self, most: int) -> list[str]:
        """Sockets that lack events while nobody is pushing to them.

        Where too much is followed to be looked through at once, or too many lag, the next call goes on from there.
        """
        found = [row[0] for row in await self._database.insist(_SQL["unserved"], {"most": most})]
        for _ in range(LOOKS):
            params = {"first": self._first_to_look_at, "look": LOOKED_THROUGH}
            ((sockets, last),) = await self._database.insist(_SQL["lagging"], params)
            left = most - len(found)
            found += sockets[:left]
            self._first_to_look_at = sockets[left] if len(sockets) > left else last or ""
            if last is None or len(found) >= most:
                break
        return list(dict.fromkeys(found))

    async def expire(self, most: int) -> None:
        """Forget sockets older than any can be."""
        await self._database.insist(_SQL["expire"], {"most": most})

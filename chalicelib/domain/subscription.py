"""A socket's hold on an order's events, and the lease under which they are pushed."""

from uuid import UUID

import msgspec

from chalicelib.domain.event import Event


class Lease(msgspec.Struct, frozen=True):
    """A lagging subscription, held for pushing `events` to its socket; `age` is the connection's, in seconds.

    Without events, those up to `length`, where the log ends, are not kept any more.
    """

    connection_id: str
    order_id: UUID
    last_seq: int
    bind_no: int
    push_failures: int
    age: float
    length: int
    events: tuple[Event, ...]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a socket is opened with: a key that was found to be valid, by its prefix, or the hash of a ticket."""

    key_prefix: str | None = None
    ticket: bytes | None = None


class Admitted(msgspec.Struct, frozen=True):
    """Whose socket it is, None where what was shown is not valid; and whether there was room for it."""

    account: str | None
    opened: bool


class Opened(msgspec.Struct, frozen=True):
    """A socket that takes frames: the bind that came with its connect, until served, its age in seconds, and whose."""

    first_frame: str | None
    age: float
    account: str


class Release(msgspec.Struct, frozen=True):
    """A lease given back, with the cursor after what was pushed."""

    connection_id: str
    order_id: UUID
    last_seq: int
    bind_no: int

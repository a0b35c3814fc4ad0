"""Runs of an order that recurs: one that has come up, and what becomes of it."""

from typing import Any
from uuid import UUID

import msgspec

from chalicelib.domain.order import Terms


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """An order whose next run has come up: `runs` came up before, and it is `late` seconds late."""

    order_id: UUID
    # Of its last event.
    seq: int
    terms: Terms
    runs: int
    late: float
    # A run before is still on its way.
    busy: bool


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of an order's runs up to `through`: the last of them is placed as `child`, or all are skipped.

    Nothing, where the order is not at `seq` any more.
    """

    order_id: UUID
    seq: int
    through: int
    skipped: int
    every: int
    # None comes after it.
    last: bool
    child: UUID | None
    terms: Terms
    meta: dict[str, Any]

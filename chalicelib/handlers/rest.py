"""REST: requests to the engine, results to replies."""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from chalicelib import __version__
from chalicelib.bootstrap import Engine
from chalicelib.domain.account import Caller
from chalicelib.domain.errors import (
    ClientError,
    Fault,
    PoolsUnreadable,
    QueueError,
    StatementRefused,
    Unavailable,
)
from chalicelib.domain.event import iso
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Cancelling, parse_order_id
from chalicelib.domain.order_types import TYPES
from chalicelib.domain.strict_json import quoted
from chalicelib.domain.token import is_mint
from chalicelib.handlers.replies import UNAVAILABLE, Reply, Request, answered, as_json, body_of, served
from chalicelib.handlers.shown import show_order, show_pool
from chalicelib.intake.changes import unknown
from chalicelib.intake.validation import client_order_id
from chalicelib.store.orders import Living, Wanted

MESSAGE = 'Open websocket to /api/orders/execute and send { "orderId": "<id>" } to bind for live updates'
PAGE_SIZE = 20
MOST_ON_A_PAGE = 100
PAGE_SIZES = frozenset(str(size) for size in range(1, MOST_ON_A_PAGE + 1))
# For the frames of a change that a request makes.
PUBLISH_SECONDS = 5.0


def execute(request: Request) -> Reply:
    """POST /api/orders/execute: accept an order."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        headers = request.headers
        order_id = await parts.intake.accept(
            caller, body_of(request), headers.get("content-type"), headers.get("idempotency-key")
        )
        return as_json(200, {"orderId": str(order_id), "message": MESSAGE})

    return served(request, work)


def ticket(request: Request) -> Reply:
    """POST /api/stream-tickets: a ticket that opens one socket, for clients that can't set its headers."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        issued, expires_at = await parts.authentication.ticket(caller)
        return as_json(201, {"ticket": issued, "expiresAt": iso(expires_at)})

    return served(request, work)


def order(request: Request, order_id: str) -> Reply:
    """GET /api/orders/{id}: an order with its events."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        record = await parts.orders.show(_uuid(order_id, "orderId", Fault.INVALID_ORDER_ID), caller.account)
        if record is None:
            raise unknown(order_id)
        return as_json(200, show_order(record))

    return served(request, work)


def orders(request: Request) -> Reply:
    """GET /api/orders: pages of orders, newest first."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        wanted, limit = _wanted(request)
        # One more than asked for tells whether there is another page.
        found = await parts.orders.newest(caller.account, wanted, limit + 1)
        records = found[:limit]
        cursor = str(records[-1].order_id) if len(found) > limit else None
        return as_json(200, {"orders": [show_order(record) for record in records], "nextCursor": cursor})

    return served(request, work)


def cancel(request: Request, order_id: str) -> Reply:
    """DELETE /api/orders/{id}: cancel an order, now or unless the transaction on its way fills it."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        known = _uuid(order_id, "orderId", Fault.INVALID_ORDER_ID)
        found = await parts.changes.cancel(caller, known, PUBLISH_SECONDS)
        now = found.outcome == Cancelling.CANCELLED
        return as_json(200 if now else 202, {"orderId": order_id, "status": found.told})

    return served(request, work)


def cancel_several(request: Request) -> Reply:
    """DELETE /api/orders?…: cancel a page of the orders that a filter names, or say which they would be."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        wanted, limit, dry = _chosen(request)
        found = await parts.orders.living(caller.account, wanted, limit + 1)
        page = found[:limit]
        became = (
            [(record.order_id, record.status) for record in page]
            if dry
            else await parts.changes.cancel_all(caller, page, PUBLISH_SECONDS)
        )
        shown = [{"orderId": str(order_id), "status": status} for order_id, status in became]
        cursor = str(page[-1].order_id) if len(found) > limit else None
        return as_json(200, {"orders": shown, "nextCursor": cursor, "dryRun": dry})

    return served(request, work)


def amend(request: Request, order_id: str) -> Reply:
    """PATCH /api/orders/{id}: other prices, bound or expiry for an open order."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        known = _uuid(order_id, "orderId", Fault.INVALID_ORDER_ID)
        if_match = request.headers.get("if-match")
        seq = await parts.changes.amend(caller, known, body_of(request), if_match, PUBLISH_SECONDS)
        return as_json(200, {"orderId": order_id, "status": Status.OPEN, "seq": seq})

    return served(request, work)


def quote(request: Request) -> Reply:
    """POST /api/quotes: what an order would get now."""

    async def work(parts: Engine, _: Caller) -> Reply:
        return as_json(200, await parts.quoter.quote(body_of(request), request.headers.get("content-type")))

    return served(request, work)


def tokens(request: Request) -> Reply:
    """GET /api/tokens: the tokens that the market knows."""

    async def work(parts: Engine, _: Caller) -> Reply:
        known = await parts.catalogue.refreshed()
        found = [{"symbol": token.symbol, "mint": token.mint, "decimals": token.decimals} for token in known.tokens]
        return as_json(200, {"tokens": found})

    return served(request, work)


def pools(request: Request) -> Reply:
    """GET /api/pools: pages of the market's pools, by address."""

    async def work(parts: Engine, _: Caller) -> Reply:
        query = _query(request, {"cursor", "limit"})
        cursor, limit = query.get("cursor", ""), _limit(query)
        if cursor and not is_mint(cursor):
            raise ClientError(Fault.INVALID_CURSOR, "cursor must be the address of a pool")
        found = await parts.catalogue.pools(cursor, limit + 1)
        page = found[:limit]
        known = parts.catalogue.tokens
        after = page[-1].address if len(found) > limit else None
        return as_json(200, {"pools": [show_pool(pool, known) for pool in page], "nextCursor": after})

    return served(request, work)


def health() -> Reply:
    """GET /api/health: whether database and queue can be reached, and the market's pools be read; 503 if not.

    A market that does without some of its pools is degraded, and yet 200: what is asked of it is done.
    """

    async def work(parts: Engine) -> Reply:
        database: dict[str, Any] = {"reached": False}
        queue: dict[str, Any] = {"reached": False}
        market: dict[str, Any] = {"ready": False}
        try:
            database = {"reached": True, "migration": await parts.orders.migration()}
        except (Unavailable, StatementRefused) as error:
            parts.telemetry.failure("health: database", error)
        try:
            queue = {"reached": True, "messages": await parts.orders_queue.backlog()}
        except QueueError as error:
            parts.telemetry.failure("health: queue", error)
        try:
            await parts.catalogue.refreshed()
            broken = parts.broken_pools()
            market = {"ready": True} | ({"broken": broken} if broken else {})
        except PoolsUnreadable as error:
            market["reason"] = str(error)
            parts.telemetry.failure("health: market", error)
        except (Unavailable, StatementRefused) as error:
            parts.telemetry.failure("health: market", error)
        well = database["reached"] and queue["reached"] and market["ready"]
        status = "ok" if well and "broken" not in market else "degraded"
        body = {"status": status, "version": __version__, "database": database, "queue": queue, "market": market}
        return as_json(200 if well else UNAVAILABLE, body)

    return answered(work)


def page() -> Reply:
    """GET /: the page."""
    return Reply(_html(), 200, {"Content-Type": "text/html; charset=utf-8"})


@cache
def _html() -> str:
    return (Path(__file__).parent.parent / "web" / "index.html").read_text()


# What orders to cancel can be chosen by.
_FILTERS = ("status", "orderType", "tokenIn", "tokenOut", "clientOrderId")


def _uuid(text: str, field: str, fault: Fault) -> UUID:
    found = parse_order_id(text)
    if found is None:
        raise ClientError(fault, f"{field} must be a UUID")
    return found


def _query(request: Request, known: Collection[str]) -> Mapping[str, str]:
    query = request.query_params or {}
    unknown = set(query) - set(known)
    if unknown:
        raise ClientError(Fault.UNKNOWN_PARAMETER, f"unknown parameter {quoted(min(unknown))}")
    return query


def _limit(query: Mapping[str, str]) -> int:
    limit = query.get("limit", str(PAGE_SIZE))
    if limit not in PAGE_SIZES:
        raise ClientError(Fault.INVALID_LIMIT, f"limit must be a whole number from 1 to {MOST_ON_A_PAGE}")
    return int(limit)


def _status(query: Mapping[str, str]) -> Status | None:
    status = query.get("status")
    if status is not None and status not in set(Status):
        raise ClientError(Fault.INVALID_STATUS, f"status must be one of {', '.join(Status)}")
    return Status(status) if status else None


def _wanted(request: Request) -> tuple[Wanted, int]:
    query = _query(request, {"status", "cursor", "limit", "clientOrderId"})
    cursor = query.get("cursor")
    wanted = Wanted(
        status=_status(query),
        before=_uuid(cursor, "cursor", Fault.INVALID_CURSOR) if cursor else None,
        client_order_id=client_order_id(query.get("clientOrderId")),
    )
    return wanted, _limit(query)


def _chosen(request: Request) -> tuple[Living, int, bool]:
    """Which orders to cancel, how many at most, and whether only to say so. Nothing is cancelled by leaving all out."""
    query = _query(request, {"all", "dryRun", "cursor", "limit", *_FILTERS})
    flags = {name: _flag(query, name) for name in ("all", "dryRun")}
    if flags["all"] == any(name in query for name in _FILTERS):
        raise ClientError(Fault.INVALID_FILTER, f"give all=true, or one or more of {', '.join(_FILTERS)}")
    order_type = query.get("orderType")
    if order_type is not None and order_type not in TYPES:
        raise ClientError(Fault.INVALID_ORDER_TYPE, f"orderType must be one of {', '.join(TYPES)}")
    cursor = query.get("cursor")
    wanted = Living(
        before=_uuid(cursor, "cursor", Fault.INVALID_CURSOR) if cursor else None,
        status=_status(query),
        order_type=order_type,
        client_order_id=client_order_id(query.get("clientOrderId")),
        token_in=_token(query, "tokenIn"),
        token_out=_token(query, "tokenOut"),
    )
    return wanted, _limit(query), flags["dryRun"]


def _flag(query: Mapping[str, str], name: str) -> bool:
    if query.get(name, "false") not in ("true", "false"):
        raise ClientError(Fault.INVALID_FILTER, f"{name} must be true or false")
    return query.get(name) == "true"


def _token(query: Mapping[str, str], name: str) -> str | None:
    """A mint, or a symbol in capitals."""
    text = query.get(name)
    return text if text is None or is_mint(text) else text.upper()

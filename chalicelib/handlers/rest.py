"""REST: requests to the engine, results and errors to replies."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import msgspec

from chalicelib import __version__
from chalicelib.bootstrap import Engine, engine
from chalicelib.domain.account import Caller
from chalicelib.domain.errors import (
    ClientError,
    Fault,
    KeyInDoubt,
    KeyReused,
    Limited,
    MarketUnavailable,
    NameReused,
    NoRoute,
    NotFound,
    OrderInDoubt,
    PoolsUnreadable,
    QueueError,
    StatementRefused,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from chalicelib.domain.event import iso
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import parse_order_id
from chalicelib.domain.pool import StoredPool
from chalicelib.domain.strict_json import quoted
from chalicelib.domain.token import Registry, is_mint, plain
from chalicelib.intake.validation import client_order_id
from chalicelib.store.orders import OrderRecord, Wanted

JSON = "application/json"
MESSAGE = 'Open websocket to /api/orders/execute and send { "orderId": "<id>" } to bind for live updates'
PAGE_SIZE = 20
MOST_ON_A_PAGE = 100
PAGE_SIZES = frozenset(str(size) for size in range(1, MOST_ON_A_PAGE + 1))
UNAVAILABLE = 503
RETRY_AFTER_SECONDS = "2"


class Request(Protocol):
    """What the engine reads of the framework's request."""

    raw_body: bytes
    headers: Mapping[str, str]
    query_params: Mapping[str, str] | None


class Reply(msgspec.Struct, frozen=True):
    """A response: text, status and headers."""

    body: str
    status: int
    headers: dict[str, str]


def execute(request: Request) -> Reply:
    """POST /api/orders/execute: accept an order."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        headers = request.headers
        order_id = await parts.intake.accept(
            caller, _body(request), headers.get("content-type"), headers.get("idempotency-key")
        )
        return _json(200, {"orderId": str(order_id), "message": MESSAGE})

    return _served(request, work)


def ticket(request: Request) -> Reply:
    """POST /api/stream-tickets: a ticket that opens one socket, for clients that can't set its headers."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        issued, expires_at = await parts.authentication.ticket(caller)
        return _json(201, {"ticket": issued, "expiresAt": iso(expires_at)})

    return _served(request, work)


def order(request: Request, order_id: str) -> Reply:
    """GET /api/orders/{id}: an order with its events."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        record = await parts.orders.show(_uuid(order_id, "orderId", Fault.INVALID_ORDER_ID), caller.account)
        if record is None:
            raise NotFound(Fault.UNKNOWN_ORDER, f"no order has the id {order_id}")
        return _json(200, _show(record))

    return _served(request, work)


def orders(request: Request) -> Reply:
    """GET /api/orders: pages of orders, newest first."""

    async def work(parts: Engine, caller: Caller) -> Reply:
        wanted, limit = _wanted(request)
        # One more than asked for tells whether there is another page.
        found = await parts.orders.newest(caller.account, wanted, limit + 1)
        records = found[:limit]
        cursor = str(records[-1].order_id) if len(found) > limit else None
        return _json(200, {"orders": [_show(record) for record in records], "nextCursor": cursor})

    return _served(request, work)


def quote(request: Request) -> Reply:
    """POST /api/quotes: what an order would get now."""

    async def work(parts: Engine, _: Caller) -> Reply:
        return _json(200, await parts.quoter.quote(_body(request), request.headers.get("content-type")))

    return _served(request, work)


def tokens(request: Request) -> Reply:
    """GET /api/tokens: the tokens that the market knows."""

    async def work(parts: Engine, _: Caller) -> Reply:
        known = await parts.catalogue.refreshed()
        found = [{"symbol": token.symbol, "mint": token.mint, "decimals": token.decimals} for token in known.tokens]
        return _json(200, {"tokens": found})

    return _served(request, work)


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
        return _json(200, {"pools": [_show_pool(pool, known) for pool in page], "nextCursor": after})

    return _served(request, work)


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
        return _json(200 if well else UNAVAILABLE, body)

    return _reply(work)


def page() -> Reply:
    """GET /: the page."""
    return Reply(_html(), 200, {"Content-Type": "text/html; charset=utf-8"})


@cache
def _html() -> str:
    return (Path(__file__).parent.parent / "web" / "index.html").read_text()


# Where it is not 400.
_STATUSES: dict[type[ClientError], int] = {
    Unauthorized: 401,
    NotFound: 404,
    KeyReused: 409,
    NameReused: 409,
    TooLarge: 413,
    UnsupportedMediaType: 415,
    NoRoute: 422,
    Limited: 429,
}


def _served(request: Request, work: Callable[[Engine, Caller], Awaitable[Reply]]) -> Reply:
    """Run a request of somebody who is let in."""

    async def authenticated(parts: Engine) -> Reply:
        caller = await parts.authentication.caller(request.headers.get("authorization"))
        try:
            return await work(parts, caller)
        except Limited as error:
            parts.authentication.limited(caller, error.code)
            raise

    return _reply(authenticated)


def _reply(work: Callable[[Engine], Awaitable[Reply]]) -> Reply:
    """Run a request; the one place where errors become statuses."""
    parts = engine()

    async def guarded() -> Reply:
        try:
            return await work(parts)
        except ClientError as error:
            return _refusal(error)
        except OrderInDoubt as error:
            body = {"error": str(error), "code": "outcome_unknown", "orderId": str(error.order_id)}
            return _json(UNAVAILABLE, body)
        except KeyInDoubt as error:
            return _json(UNAVAILABLE, {"error": str(error), "code": "outcome_unknown"})
        except (Unavailable, StatementRefused, MarketUnavailable) as error:
            parts.telemetry.failure("request refused", error)
            body = {"error": "the engine cannot reach its database or its market, try again", "code": "unavailable"}
            if isinstance(error, MarketUnavailable):
                # Which file it is, and what is wrong with it, is the operator's business.
                why = "its pools cannot be read" if isinstance(error, PoolsUnreadable) else str(error)
                body = {"error": f"the market cannot be asked now, try again: {why}", "code": "market_unavailable"}
            return _json(UNAVAILABLE, body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets JSON and the log a traceback
            parts.telemetry.defect("request failed", error)
            return _json(500, {"error": "the engine failed on this request", "code": "internal"})

    return parts.run(guarded())


def _refusal(error: ClientError) -> Reply:
    body = {"error": str(error), "code": error.code}
    if isinstance(error, NameReused):
        body["orderId"] = str(error.order_id)
    reply = _json(_STATUSES.get(type(error), 400), body)
    if isinstance(error, Unauthorized):
        reply.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Limited):
        reply.headers["Retry-After"] = str(error.retry_after)
    return reply


def _json(status: int, body: dict[str, Any]) -> Reply:
    headers = {"Content-Type": JSON}
    if status == UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return Reply(msgspec.json.encode(body).decode(), status, headers)


def _body(request: Request) -> bytes:
    try:
        return request.raw_body
    except ValueError as error:
        raise ClientError(Fault.INVALID_TEXT, "the body cannot be decoded") from error


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


def _wanted(request: Request) -> tuple[Wanted, int]:
    query = _query(request, {"status", "cursor", "limit", "clientOrderId"})
    status, cursor = query.get("status"), query.get("cursor")
    if status is not None and status not in set(Status):
        raise ClientError(Fault.INVALID_STATUS, f"status must be one of {', '.join(Status)}")
    wanted = Wanted(
        status=Status(status) if status else None,
        before=_uuid(cursor, "cursor", Fault.INVALID_CURSOR) if cursor else None,
        client_order_id=client_order_id(query.get("clientOrderId")),
    )
    return wanted, _limit(query)


def _show(record: OrderRecord) -> dict[str, Any]:
    terms = record.terms
    shown: dict[str, Any] = {
        "orderId": str(record.order_id),
        "status": record.status,
        # Null where another release stored what this one cannot read.
        "tokenIn": terms and terms.token_in.name,
        "tokenOut": terms and terms.token_out.name,
        # Null too where an output is bought.
        "amount": plain(terms.amount, terms.token_in.decimals) if terms and terms.amount else None,
        "slippageTolerance": terms and f"{terms.slippage_tolerance:f}",
        "attempts": record.attempts,
        "failureReason": record.failure_reason,
        "txHash": record.tx_hash,
        "repeatOf": str(record.repeat_of) if record.repeat_of else None,
        "clientOrderId": record.client_order_id,
        "createdAt": iso(record.created_at),
        "lastUpdate": iso(record.last_update),
    }
    if terms and terms.amount_out:
        shown["amountOut"] = plain(terms.amount_out, terms.token_out.decimals)
    if terms and terms.min_amount_out:
        shown["minAmountOut"] = str(terms.min_amount_out)
    if terms and terms.max_amount_in:
        shown["maxAmountIn"] = str(terms.max_amount_in)
    if record.events is not None:
        shown["events"] = [
            {"seq": seq, "status": status, "meta": meta, "ts": ts} for seq, status, meta, ts in record.events
        ]
        # Every order has had one.
        shown["eventsKept"] = bool(record.events)
    return shown


def _show_pool(pool: StoredPool, known: Registry) -> dict[str, Any]:
    return {
        "address": pool.address,
        "venue": pool.venue,
        "tokens": [{"symbol": known.symbol(mint), "mint": mint} for mint in (pool.mint_0, pool.mint_1)],
        "slot": pool.slot,
        "ageSeconds": round(pool.age, 3),
        "version": pool.version,
        "live": pool.live,
    }

"""Requests and replies: who is let in, what a reply is made of, and which status an error becomes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from chalicelib.bootstrap import Engine, engine
from chalicelib.domain.account import Caller
from chalicelib.domain.errors import (
    ClientError,
    Conflict,
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
    StatementRefused,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)

JSON = "application/json"
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


# Where it is not 400.
_STATUSES: dict[type[ClientError], int] = {
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    KeyReused: 409,
    NameReused: 409,
    TooLarge: 413,
    UnsupportedMediaType: 415,
    NoRoute: 422,
    Limited: 429,
}


def served(request: Request, work: Callable[[Engine, Caller], Awaitable[Reply]]) -> Reply:
    """Run a request of somebody who is let in."""

    async def authenticated(parts: Engine) -> Reply:
        caller = await parts.authentication.caller(request.headers.get("authorization"))
        try:
            return await work(parts, caller)
        except Limited as error:
            parts.authentication.limited(caller, error.code)
            raise

    return answered(authenticated)


def answered(work: Callable[[Engine], Awaitable[Reply]]) -> Reply:
    """Run a request; the one place where errors become statuses."""
    parts = engine()

    async def guarded() -> Reply:
        try:
            return await work(parts)
        except ClientError as error:
            return _refusal(error)
        except OrderInDoubt as error:
            body = {"error": str(error), "code": "outcome_unknown", "orderId": str(error.order_id)}
            return as_json(UNAVAILABLE, body)
        except KeyInDoubt as error:
            return as_json(UNAVAILABLE, {"error": str(error), "code": "outcome_unknown"})
        except (Unavailable, StatementRefused, MarketUnavailable) as error:
            parts.telemetry.failure("request refused", error)
            body = {"error": "the engine cannot reach its database or its market, try again", "code": "unavailable"}
            if isinstance(error, MarketUnavailable):
                # Which file it is, and what is wrong with it, is the operator's business.
                why = "its pools cannot be read" if isinstance(error, PoolsUnreadable) else str(error)
                body = {"error": f"the market cannot be asked now, try again: {why}", "code": "market_unavailable"}
            return as_json(UNAVAILABLE, body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets JSON and the log a traceback
            parts.telemetry.defect("request failed", error)
            return as_json(500, {"error": "the engine failed on this request", "code": "internal"})

    return parts.run(guarded())


def _refusal(error: ClientError) -> Reply:
    body = {"error": str(error), "code": error.code}
    if isinstance(error, NameReused):
        body["orderId"] = str(error.order_id)
    reply = as_json(_STATUSES.get(type(error), 400), body)
    if isinstance(error, Unauthorized):
        reply.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Limited):
        reply.headers["Retry-After"] = str(error.retry_after)
    return reply


def as_json(status: int, body: dict[str, Any]) -> Reply:
    """A reply with a JSON body; a 503 says when to come again."""
    headers = {"Content-Type": JSON}
    if status == UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return Reply(msgspec.json.encode(body).decode(), status, headers)


def body_of(request: Request) -> bytes:
    """The body of a request. Raises ClientError where it cannot be decoded."""
    try:
        return request.raw_body
    except ValueError as error:
        raise ClientError(Fault.INVALID_TEXT, "the body cannot be decoded") from error

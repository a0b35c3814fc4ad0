"""Every error the engine raises on purpose, and when it happens."""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID


class EngineError(Exception):
    """Base of all errors that the engine raises on purpose."""


class ConfigurationError(EngineError):
    """An environment variable is missing or malformed."""


# What a client did wrong. Raised in intake, streaming and handlers; told to the client with its code.


class ClientError(EngineError):
    """A request that cannot be served as it was sent: `code` is the machine word, the message names the field."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotFound(ClientError):
    """A well-formed id that no order has."""


class TooLarge(ClientError):
    """A body or frame above its size limit."""


class UnknownToken(ClientError):
    """Well-formed symbols or mints that the market has no token of: all of the request's in `tokens`."""

    def __init__(self, code: str, message: str, tokens: Sequence[str]) -> None:
        super().__init__(code, message)
        self.tokens = tokens


class NoRoute(ClientError):
    """A swap that the market offers no way for now, or none within the client's own bound."""


class Conflict(ClientError):
    """An order that is not in the state that a change of it needs."""


class KeyReused(ClientError):
    """An Idempotency-Key that stands for another order."""


class Unauthorized(ClientError):
    """No valid key or ticket. What was wrong with it is for the log: all are told the same."""

    def __init__(self) -> None:
        super().__init__(
            Fault.UNAUTHORIZED, "a valid API key is required: Authorization: Bearer <key>, or a ticket for a socket"
        )


class Limited(ClientError):
    """An account has reached a limit; `retry_after` is in whole seconds."""

    def __init__(self, code: str, message: str, retry_after: int) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class NameReused(ClientError):
    """A clientOrderId that another order of the account has."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(Fault.CLIENT_ORDER_ID_REUSED, f"clientOrderId is that of order {order_id} already")
        self.order_id = order_id


class UnsupportedMediaType(ClientError):
    """A body that is declared to be something other than JSON."""


class Fault(StrEnum):
    """What can be wrong with what a client sends: the machine words of its `ClientError`."""

    # Who asks, and how much.
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_OPEN = "too_many_open"
    TOO_MANY_SOCKETS = "too_many_sockets"

    # The text, before any field is looked at.
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    TOO_LARGE = "too_large"
    # Invalid UTF-8, U+FFFD, NUL or a lone surrogate.
    INVALID_TEXT = "invalid_text"
    INVALID_JSON = "invalid_json"
    DUPLICATE_KEY = "duplicate_key"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_FIELD = "unknown_field"

    # The fields of an order.
    MISSING_FIELDS = "missing_fields"
    INVALID_TOKEN_IN = "invalid_token_in"  # noqa: S105  (a swapped token, no secret)
    INVALID_TOKEN_OUT = "invalid_token_out"  # noqa: S105
    SAME_TOKEN = "same_token"  # noqa: S105
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105
    # Several mints carry the symbol.
    AMBIGUOUS_TOKEN = "ambiguous_token"  # noqa: S105
    # Both what to sell and what to buy.
    TWO_AMOUNTS = "two_amounts"
    INVALID_AMOUNT = "invalid_amount"
    AMOUNT_TOO_PRECISE = "amount_too_precise"
    AMOUNT_TOO_LARGE = "amount_too_large"
    INVALID_SLIPPAGE = "invalid_slippage"
    # Not base units, or beside the other amount.
    INVALID_MIN_AMOUNT_OUT = "invalid_min_amount_out"
    INVALID_MAX_AMOUNT_IN = "invalid_max_amount_in"
    # Of a type's own fields, invalid_<field>.
    INVALID_ORDER_TYPE = "invalid_order_type"
    # The market is where the order would fire already.
    ALREADY_TRIGGERED = "already_triggered"

    # The key that an order is posted under.
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"

    # The client's own name for an order.
    INVALID_CLIENT_ORDER_ID = "invalid_client_order_id"
    CLIENT_ORDER_ID_REUSED = "client_order_id_reused"

    # The fields of a socket frame.
    MISSING_ORDER_ID = "missing_order_id"
    INVALID_ORDER_ID = "invalid_order_id"
    INVALID_AFTER_SEQ = "invalid_after_seq"
    # The socket follows as many orders as it may, or was forgotten.
    TOO_MANY_ORDERS = "too_many_orders"

    # A change of an order.
    ALREADY_TERMINAL = "already_terminal"
    NOT_OPEN = "not_open"
    IF_MATCH_REQUIRED = "if_match_required"
    # It has moved on since the client saw it.
    CHANGED = "changed"
    NOTHING_TO_CHANGE = "nothing_to_change"

    # What is asked for.
    NO_ROUTE = "no_route"
    # There is a route, but it misses the minAmountOut or maxAmountIn that the client gave.
    BOUND_UNMET = "bound_unmet"
    UNKNOWN_ORDER = "unknown_order"
    # The order has ended, and its events are not kept any more.
    HISTORY_GONE = "history_gone"
    UNKNOWN_PARAMETER = "unknown_parameter"
    INVALID_STATUS = "invalid_status"
    INVALID_CURSOR = "invalid_cursor"
    INVALID_LIMIT = "invalid_limit"
    # No filter for a change of several orders, or one beside all.
    INVALID_FILTER = "invalid_filter"


# What the engine could not do now. Nothing is lost; the caller may try again.


class Unavailable(EngineError):
    """The database, a queue or the market cannot be reached. But for OutcomeUnknown, nothing happened."""


class OutcomeUnknown(Unavailable):
    """A write was sent and its reply was lost: whether it happened must be asked."""


class ConnectionLost(OutcomeUnknown):
    """The same, because the connection ended: a new one may serve at once."""


class OrderInDoubt(EngineError):
    """Whether an order was stored could not be found out: the client must ask for its id before it posts again."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"whether order {order_id} was accepted is not known, ask for it")
        self.order_id = order_id


class KeyInDoubt(EngineError):
    """The same for an order posted under a key, which another post's order may hold: the client posts it again."""

    def __init__(self) -> None:
        super().__init__("whether the order was accepted is not known, post it again with the same Idempotency-Key")


class StatementRefused(EngineError):
    """The database answered a statement with an error: a constraint, a type, a permission."""


class Contended(StatementRefused):
    """The database gave up a statement for the sake of another (deadlock, serialisation, lock timeout)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Duplicate(StatementRefused):
    """A row with the same unique key is there already."""


class ClaimLost(EngineError):
    """A holder's write was fenced off: another claim has the order now."""


# What a market answered.


class AttemptFailed(EngineError):
    """An attempt ended without an execution, for a reason worth another attempt."""


class QuoteUnavailable(AttemptFailed):
    """No venue gave a usable quote in time."""


class BoundUnmet(QuoteUnavailable):
    """The best route is worse than the order allows; `price_impact` is what its size costs, 0.01 = 1 %."""

    def __init__(self, message: str, price_impact: float) -> None:
        super().__init__(message)
        self.price_impact = price_impact


class MarketUnavailable(QuoteUnavailable):
    """What pools there are could not be asked, which says nothing of what they would pay."""


class PoolsUnreadable(MarketUnavailable):
    """The market's directory has no pool that can be read: an operator must mend what the message names."""


class RpcUnavailable(MarketUnavailable):
    """The Solana RPC could not be reached, refused, was too late, or answered what can't be used."""


class PoolRefused(QuoteUnavailable):
    """A pool would refuse this swap in its present state; `kind` is the machine word."""

    kind = "refused"


class ZeroOutput(PoolRefused):
    """The input is so small that it would pay nothing."""

    kind = "zero_output"


class InsufficientLiquidity(PoolRefused):
    """The pool cannot take so much, or cannot pay so much."""

    kind = "insufficient_liquidity"


class ReserveShort(InsufficientLiquidity):
    """The bins promise more than the pool's reserve holds."""

    kind = "reserve_short"


class PoolClosed(PoolRefused):
    """Swaps are disabled, or not open yet."""

    kind = "pool_closed"


class IncompleteState(PoolRefused):
    """The swap would need an account that exists and has not been loaded."""

    kind = "incomplete_state"


class StaleState(PoolRefused):
    """What is known of the pool is older than a quote may use."""

    kind = "stale_state"


class MalformedAccount(EngineError):
    """An account of the chain that is not what it should be: its owner, discriminator, length or contents."""


# What became of a push to a socket.


class PushError(EngineError):
    """A frame could not be delivered now; the subscription's cursor stays where it is."""


class ConnectionGone(PushError):
    """The management API answered 410: the socket is closed, or has not finished opening."""


class QueueError(Unavailable):
    """A queue refused or did not take a message."""


# What became of a call, before whoever made it says so in its own words.


class NoReply(EngineError):
    """A service gave no HTTP reply: whether it took the request is not known."""

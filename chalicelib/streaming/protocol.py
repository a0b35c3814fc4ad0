"""What clients say on a socket: bind to an order. The codes are those of `chalicelib.domain.errors.Fault`."""

import json
import re
from urllib.parse import unquote
from uuid import UUID

import msgspec

from chalicelib.domain.errors import ClientError, Fault
from chalicelib.domain.order import parse_order_id
from chalicelib.domain.strict_json import Number, refuse_unknown
from chalicelib.domain.strict_json import parse as parse_json

FRAME_LIMIT = 8 * 1024
MAX_SEQ = 2**31 - 1
MAX_QUERY_VALUE = 200

_FIELDS = ("orderId", "afterSeq")
_ORDER_ID = re.compile(r" ?(?:(?P<plain>[^< >]+)|< ?(?P<bracketed>[^< >]+) ?>) ?")
_COUNT = re.compile(r"0|[1-9][0-9]*")
# MAX_SEQ has ten digits.
_SEQ = re.compile(r"0|[1-9][0-9]{0,9}")


class Bind(msgspec.Struct, frozen=True):
    """A client's wish to see an order's events, from the one after `after_seq` on."""

    order_id: UUID
    after_seq: int = 0


def parse(text: str) -> Bind:
    """The bind that a client's frame asks for. Anything else is a `ClientError`."""
    fields = parse_json(text, FRAME_LIMIT)
    if fields.get("orderId") in (None, ""):
        raise ClientError(Fault.MISSING_ORDER_ID, 'orderId required: send {"orderId": "<id>"}')
    refuse_unknown(fields, _FIELDS)
    return Bind(order_id=_order_id(fields["orderId"]), after_seq=_after_seq(fields.get("afterSeq")))


def from_query(order_id: str | None, after_seq: str | None) -> str | None:
    """The query string of a connect as the text of a first frame, bounded and unchecked; None where it asks nothing."""
    fields: dict[str, object] = {}
    if order_id is not None:
        # Some gateways hand the query string over still encoded, and an id holds no % of its own.
        fields["orderId"] = unquote(order_id[:MAX_QUERY_VALUE])
    if after_seq is not None:
        cut = after_seq[:MAX_QUERY_VALUE]
        fields["afterSeq"] = int(cut) if _COUNT.fullmatch(cut) else cut
    # Escaped to ASCII, so that any character can be stored until it is refused.
    return json.dumps(fields) if fields else None


def _order_id(value: object) -> UUID:
    written = _ORDER_ID.fullmatch(value) if isinstance(value, str) else None
    found = parse_order_id(written["plain"] or written["bracketed"]) if written else None
    if found is None:
        raise ClientError(
            Fault.INVALID_ORDER_ID, "orderId must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
        )
    return found


def _after_seq(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, Number) and _SEQ.fullmatch(value.text) and int(value.text) <= MAX_SEQ:
        return int(value.text)
    raise ClientError(Fault.INVALID_AFTER_SEQ, f"afterSeq must be an integer from 0 to {MAX_SEQ}")

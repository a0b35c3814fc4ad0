"""JSON as clients send it, read strictly: one meaning or none, and nothing that the database could not hold."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

from chalicelib.domain.errors import ClientError, Fault, TooLarge

# Arrays and objects within each other, the outermost included.
MAX_DEPTH = 16
_MAX_NAMED = 3
_MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as it was written; its reader bounds the text before doing arithmetic with it."""

    text: str


def parse(body: bytes | str, limit: int) -> dict[str, object]:
    """The object that `body`, of at most `limit` bytes, holds. Whatever else it may be is a `ClientError`."""
    text = _decoded(body, limit)
    if not text.strip():
        raise ClientError(Fault.INVALID_JSON, "empty: a JSON object is expected")
    try:
        value: object = _decoder.decode(text)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        raise ClientError(Fault.INVALID_JSON, f"not valid JSON: {what} (character {error.pos + 1})") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise ClientError(Fault.NOT_AN_OBJECT, f"a JSON object is expected, not {_kind(value)}")
    # Without an escape its text has been checked, and with few brackets it cannot be deep.
    if "\\" in text or text.count("{") + text.count("[") > MAX_DEPTH:
        _check(value)
    return value


def refuse_unknown(fields: dict[str, object], known: Collection[str]) -> None:
    """Refuse an object with fields other than the `known` ones, naming them."""
    unknown = [name for name in fields if name not in known]
    if not unknown:
        return
    named = ", ".join(quoted(name) for name in unknown[:_MAX_NAMED])
    more = f" and {len(unknown) - _MAX_NAMED} more" if len(unknown) > _MAX_NAMED else ""
    raise ClientError(Fault.UNKNOWN_FIELD, f"unknown field {named}{more}; accepted: {', '.join(known)}")


def quoted(text: str) -> str:
    """A client's text as it may stand in a message: short, ASCII, in quotes."""
    return json.dumps(text if len(text) <= _MAX_NAME else text[:_MAX_NAME] + "...")


def _decoded(body: bytes | str, limit: int) -> str:
    if len(body) > limit:
        raise _too_large(limit)
    try:
        raw = body.encode() if isinstance(body, str) else body
        text = raw.decode()
    except UnicodeError:
        raise ClientError(Fault.INVALID_TEXT, "not valid UTF-8") from None
    if len(raw) > limit:
        raise _too_large(limit)
    # An edge in front may have put it in place of bytes that were not UTF-8.
    if "\ufffd" in text:
        raise ClientError(Fault.INVALID_TEXT, "not valid UTF-8: holds the replacement character U+FFFD")
    if "\0" in text:
        raise _nul()
    return text


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, each key once; parsers differ on which of two would count."""
    fields: dict[str, object] = {}
    for key, value in pairs:
        if key in fields:
            raise ClientError(Fault.DUPLICATE_KEY, f"duplicate key {quoted(key)}")
        fields[key] = value
    return fields


def _constant(name: str) -> NoReturn:
    raise ClientError(Fault.INVALID_JSON, f"not valid JSON: {name} is not a JSON number")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_constant)


def _check(top: dict[str, object]) -> None:
    """Refuse what only shows once parsed: nesting, and characters that were written as escapes."""
    pending: list[tuple[object, int]] = [(top, 1)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise _too_deep()
            inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            pending.extend((item, depth + 1) for item in inner)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise _nul()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ClientError(Fault.INVALID_TEXT, "a lone surrogate (\\ud800 to \\udfff) is not a character") from None


def _kind(value: object) -> str:
    match value:
        case list():
            return "an array"
        case str():
            return "a string"
        case Number():
            return "a number"
        case None:
            return "null"
    return "a boolean"


def _too_large(limit: int) -> TooLarge:
    return TooLarge(Fault.TOO_LARGE, f"too large: at most {limit} bytes are accepted")


def _too_deep() -> ClientError:
    return ClientError(Fault.TOO_DEEP, f"nested too deeply: at most {MAX_DEPTH} levels are accepted")


def _nul() -> ClientError:
    return ClientError(Fault.INVALID_TEXT, "the NUL character is not accepted")

"""What bodies of POSTs are made with."""

from collections.abc import Callable
from typing import NamedTuple

from chalicelib.domain.errors import Fault

SOL_MINT = "So11111111111111111111111111111111111111112"
USDC_MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
JSON_TYPE = "application/json"

_STATUS = {Fault.TOO_LARGE: 413, Fault.UNSUPPORTED_MEDIA_TYPE: 415}


class Body(NamedTuple):
    """A POST that must be refused."""

    name: str
    body: bytes
    content_type: str | None
    code: str

    @property
    def status(self) -> int:
        """The HTTP status it is refused with."""
        return _STATUS.get(Fault(self.code), 400)


def order(**fields: str) -> bytes:
    """An order's body with some fields replaced by JSON text; an empty text leaves a field out."""
    texts = {"tokenIn": '"SOL"', "tokenOut": '"USDC"', "amount": "3.0", "slippageTolerance": "0.02"} | fields
    return ("{" + ", ".join(f'"{name}": {text}' for name, text in texts.items() if text) + "}").encode()


def purchase(**fields: str) -> bytes:
    """The same for an order that says what to buy."""
    return order(**{"amount": "", "amountOut": "450.0"} | fields)


def as_is(code: Fault, bodies: dict[str, bytes]) -> list[Body]:
    """Bodies by their names, refused with one code."""
    return [Body(name, body, JSON_TYPE, code) for name, body in bodies.items()]


def with_field(code: Fault, field: str, texts: dict[str, str], post: Callable[..., bytes] = order) -> list[Body]:
    """An order with each of these JSON texts in one field."""
    return [Body(f"{field}: {name}", post(**{field: text}), JSON_TYPE, code) for name, text in texts.items()]


WRONG_TYPES = {"true": "true", "false": "false", "an array": "[]", "an object": "{}", "nested": '{"a": ["SOL"]}'}

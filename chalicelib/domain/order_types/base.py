"""What an order type consists of: its fields, what it waits for, and where an evaluation that fills nothing leads."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Context, Decimal
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from chalicelib.domain.lifecycle import Status
from chalicelib.domain.order import Terms

MILLION = 1_000_000
_PRICE = Context(prec=18, rounding=ROUND_DOWN)


class Kind(StrEnum):
    """How a field is written."""

    # Above 0, tokenIn for one tokenOut: a JSON number or a plain decimal string.
    PRICE = "price"
    # ISO-8601 with an offset or Z, to come.
    MOMENT = "moment"
    CHOICE = "choice"
    # A JSON number without a fraction, from `least` to `most`.
    WHOLE = "whole"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of an order's body beyond those of every order."""

    name: str
    kind: Kind
    about: str
    required: bool = False
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 0


class Watch(msgspec.Struct, frozen=True):
    """What a resting order waits for: a reference price (tokenIn for one tokenOut) at least or at most so high."""

    rising: bool
    price: Decimal

    def fires_at(self, reference: Decimal) -> bool:
        """Whether a reference price is what it waits for."""
        return reference >= self.price if self.rising else reference <= self.price


GTC, GTD, IOC, FOK = "GTC", "GTD", "IOC", "FOK"
TIME_IN_FORCE = "timeInForce"
EXPIRES_AT = Field(name="expiresAt", kind=Kind.MOMENT, about="when the order expires; only and always with GTD")


def time_in_force(*choices: str) -> Field:
    """How long the order is good for."""
    about = "GTC: until cancelled (the default); GTD: until expiresAt; IOC and FOK: for one evaluation"
    return Field(name=TIME_IN_FORCE, kind=Kind.CHOICE, about=about, choices=choices)


class OrderType:
    """A type of order; this one is the plain base: no fields of its own, executed at once, no rest."""

    name: ClassVar[str]
    about: ClassVar[str]
    fields: ClassVar[Sequence[Field]] = ()
    # Whether it is evaluated as soon as it is there; otherwise it rests until its trigger fires.
    at_once: ClassVar[bool] = True
    # Whether a reference price that fires it already is the client's mistake.
    refused_past_trigger: ClassVar[bool] = False

    def bound(self, terms: Terms) -> int | None:
        """The least output, or with a wanted output the most input, that its own fields allow; None without one."""
        return None

    def watch(self, terms: Terms, impact: float = 0.0) -> Watch | None:
        """What it waits for while it rests; None where it never rests.

        `impact` is what an evaluation of its whole size lost against the reference price: 0.01 = 1 %.
        """
        return None

    def unfilled(self, terms: Terms) -> Status | None:
        """Where an evaluation that filled nothing leads; None for an attempt that counts."""
        return None


class Resting(OrderType):
    """A type that rests until its trigger fires, and rests again where an evaluation fills nothing."""

    def unfilled(self, terms: Terms) -> Status | None:
        """Back to rest; an order for one evaluation ends."""
        return Status.EXPIRED if terms.details.get(TIME_IN_FORCE) in (IOC, FOK) else Status.OPEN


def waiting_for(watch: Watch | None) -> dict[str, Any]:
    """What an open order waits for, as its frames say it."""
    if watch is None:
        return {}
    return {"waitingFor": {"atLeast" if watch.rising else "atMost": f"{watch.price:f}"}}


def priced(terms: Terms, field: str) -> Decimal | None:
    """A price among an order's details."""
    text = terms.details.get(field)
    return Decimal(text) if text else None


def net_of(price: Decimal, impact: float) -> Decimal:
    """The reference price at which a size of some impact costs `price`.

    The impact counts to a millionth, which is more than what integers of base units leave of it.
    """
    millionths = min(max(0, int(impact * MILLION)), MILLION)
    return _PRICE.divide(price * (MILLION - millionths), Decimal(MILLION))

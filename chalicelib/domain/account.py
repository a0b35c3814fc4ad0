"""Whose orders are whose: who asks, and the limits that an account is held to."""

import msgspec

# Everybody's, where no key is asked for.
DEFAULT_ACCOUNT = "default"


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `key_prefix` names the key that it gave; None where none was asked for."""

    account: str = DEFAULT_ACCOUNT
    key_prefix: str | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may do at most."""

    # A bucket of `burst` tokens, refilled at this rate; an order takes one.
    orders_per_second: float
    burst: int
    # Orders that live.
    most_open: int

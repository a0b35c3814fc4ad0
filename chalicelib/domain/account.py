"""Whose orders are whose: who asks, and the limits that an account is held to."""

from datetime import timedelta

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
    orders_per_second: int
    burst: int
    # Orders that live.
    most_open: int

    @property
    def gap(self) -> timedelta:
        """What it takes to refill one token."""
        return timedelta(seconds=1) / self.orders_per_second

    @property
    def slack(self) -> timedelta:
        """How far the moment when the bucket is full again may lie ahead for a token to be in it."""
        return self.gap * (self.burst - 1)

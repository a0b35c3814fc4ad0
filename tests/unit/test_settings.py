"""What the environment says, and what is wrong with it."""

import pytest

from chalicelib import settings
from chalicelib.domain.errors import ConfigurationError

DATABASE_URL = "postgresql://localhost/orders"


def test_only_the_database_must_be_named() -> None:
    assert settings.read({"DATABASE_URL": DATABASE_URL}).orders_queue == "order-engine-orders"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "DATABASE_URL: not set"),
        ({"DATABASE_URL": ""}, "DATABASE_URL: not set"),
        ({"DATABASE_URL": "mysql://localhost"}, "DATABASE_URL: Expected `str` matching regex"),
        ({"DATABASE_URL": DATABASE_URL, "MARKET": "real"}, "MARKET: Invalid enum value"),
        ({"DATABASE_URL": DATABASE_URL, "AUTH": "maybe"}, "AUTH: Invalid enum value"),
        ({"DATABASE_URL": DATABASE_URL, "ACCOUNT_BURST": "0"}, "ACCOUNT_BURST: Expected `int` >= 1"),
        ({"DATABASE_URL": DATABASE_URL, "SOLANA_RPC_URL": "ws://h/k"}, "SOLANA_RPC_URL: Expected `str` matching regex"),
        ({"DATABASE_URL": DATABASE_URL, "POOL_MOST_SLOTS": "-1"}, "POOL_MOST_SLOTS: Expected `int` >= 0"),
        ({"DATABASE_URL": DATABASE_URL, "POOL_MOST_SECONDS": "nan"}, "POOL_MOST_SECONDS: Expected"),
        ({"DATABASE_URL": DATABASE_URL, "SWEEP_BACKLOG_LIMIT": "many"}, "SWEEP_BACKLOG_LIMIT: Expected `int`"),
        ({"DATABASE_URL": DATABASE_URL, "EVENT_RETENTION_DAYS": "-1"}, "EVENT_RETENTION_DAYS: Expected `int` >= 0"),
    ],
)
def test_a_variable_that_is_missing_or_malformed_is_named(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.read(environ)
    assert str(refused.value).startswith(message)


def test_a_url_that_may_hold_a_key_is_not_told() -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.read({"DATABASE_URL": DATABASE_URL, "SOLANA_RPC_URL": "wss://host/0123456789abcdef"})
    assert "abcdef" not in str(refused.value)

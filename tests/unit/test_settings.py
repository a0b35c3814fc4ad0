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
        ({"DATABASE_URL": "mysql://localhost"}, "DATABASE_URL: must be a postgresql:// URL"),
        ({"DATABASE_POOLER": "maybe"}, "DATABASE_POOLER: must be true or false"),
        ({"MARKET": "pool"}, "MARKET: must be simulated or pools"),
        ({"POOLS_DIRECTORY": "pools"}, "POOLS_DIRECTORY: must be an absolute path, as the functions see it"),
        ({"SOLANA_RPC_URL": "ws://h/k"}, "SOLANA_RPC_URL: must be an http:// or https:// URL"),
        ({"POOL_MOST_SLOTS": "-1"}, "POOL_MOST_SLOTS: must be a whole number of slots, 0 or more"),
        ({"POOL_MOST_SECONDS": "nan"}, "POOL_MOST_SECONDS: must be a number of seconds, 0 or more"),
        ({"SPLIT_MIN_GAIN_BPS": "10001"}, "SPLIT_MIN_GAIN_BPS: must be a whole number from 0 to 10000"),
        ({"VENUE_TIME_SCALE": "slow"}, "VENUE_TIME_SCALE: must be a number, 0 or more"),
        ({"SWEEP_BACKLOG_LIMIT": "many"}, "SWEEP_BACKLOG_LIMIT: must be a whole number"),
        ({"EVENT_RETENTION_DAYS": "-1"}, "EVENT_RETENTION_DAYS: must be a whole number of days from 0 to 36500"),
        ({"AUTH": "maybe"}, "AUTH: must be none or required"),
        ({"ACCOUNT_BURST": "0"}, "ACCOUNT_BURST: must be a whole number from 1 to 1000000"),
        ({"WATCH_TICK_SECONDS": "61"}, "WATCH_TICK_SECONDS: must be a number above 0, at most 60"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL: must be DEBUG, INFO, WARNING or ERROR"),
        (
            {"POOLS_DIRECTORY": "/pools", "SOLANA_RPC_URL": "https://node"},
            "POOLS_DIRECTORY, SOLANA_RPC_URL: pools come from one of them, so set only one",
        ),
    ],
)
def test_a_variable_that_is_missing_or_malformed_is_told_with_what_it_must_be(
    environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.read({"DATABASE_URL": DATABASE_URL} | environ if environ else {})
    assert str(refused.value) == message


def test_a_url_that_may_hold_a_key_is_not_told() -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.read({"DATABASE_URL": DATABASE_URL, "SOLANA_RPC_URL": "wss://host/0123456789abcdef"})
    assert "abcdef" not in str(refused.value)

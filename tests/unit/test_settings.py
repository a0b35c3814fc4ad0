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
        ({"DATABASE_URL": DATABASE_URL, "SWEEP_BACKLOG_LIMIT": "many"}, "SWEEP_BACKLOG_LIMIT: Expected `int`"),
        ({"DATABASE_URL": DATABASE_URL, "EVENT_RETENTION_DAYS": "-1"}, "EVENT_RETENTION_DAYS: Expected `int` >= 0"),
    ],
)
def test_a_variable_that_is_missing_or_malformed_is_named(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings.read(environ)
    assert str(refused.value).startswith(message)

"""The engine's own environment variables, typed and documented; read once, on first use. AWS's are read in aws."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from chalicelib.domain.errors import ConfigurationError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment's settings. The comment on a field names its variable where the two differ."""

    # postgresql:// URL of the database.
    database_url: Annotated[str, msgspec.Meta(pattern="^postgres(ql)?://")]
    # True behind a transaction pooler (PgBouncer, RDS Proxy): no prepared statements.
    database_pooler: bool = False
    # Queue names or URLs; a name is looked up on first use.
    orders_queue: str = "order-engine-orders"
    deliveries_queue: str = "order-engine-deliveries"
    dead_letters_queue: str = "order-engine-dead-letters"
    # Base URL of the WebSocket management API, stage included; empty where no sockets are served.
    push_endpoint: str = ""
    # simulated: plausible prices; pools: those of real pools, on paper.
    market: Literal["simulated", "pools"] = "simulated"
    # Of the pool market: a directory of accounts as the Solana CLI writes them; empty = those that come along.
    pools_directory: str = ""
    # Where the chain's accounts are asked for, instead of a directory. Its path and query may hold a key.
    solana_rpc_url: Annotated[str, msgspec.Meta(pattern="^(https?://.*)?$")] = ""
    # The oldest state of the chain's pools that is quoted: slots behind the newest one known, and seconds since it was
    # read.
    pool_most_slots: Annotated[int, msgspec.Meta(ge=0)] = 150
    pool_most_seconds: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    # Symbols or mints, separated by commas, that a route of two swaps may go over.
    middle_tokens: str = "SOL,USDC,USDT"
    # A split must pay so many hundredths of a percent more than the best pool alone.
    split_min_gain_bps: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1
    # required: callers give an API key, and see and do what is its account's; none: everybody is one account.
    auth: Literal["none", "required"] = "none"
    # Most of an account where keys are required: orders a second, and at once after a pause; orders under way; sockets.
    account_orders_per_second: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 50
    account_burst: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100
    account_most_open: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    account_most_sockets: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    # Multiplies every simulated delay; 0 = no delays.
    venue_time_scale: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    # Any text: makes each simulated draw a hash of (seed, order id, attempt, venue). Empty = fresh randomness.
    venue_seed: str = ""
    # Above this many queued messages the sweeper re-sends at most 100 orders a run.
    sweep_backlog_limit: int = 1000
    # An ended order's events are dropped some time after it was placed so long ago; 0 = never.
    event_retention_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 90
    # DEBUG logs every transition.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # Set by Lambda itself; empty elsewhere.
    aws_lambda_function_name: str = ""


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `environ`; raises ConfigurationError naming the variable that is missing or malformed."""
    given = {field: environ[field.upper()] for field in Settings.__struct_fields__ if environ.get(field.upper())}
    missing = [
        field.name.upper() for field in msgspec.structs.fields(Settings) if field.required and field.name not in given
    ]
    if missing:
        raise ConfigurationError(f"{', '.join(missing)}: not set")
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise ConfigurationError(f"{where.rstrip('`').upper() or 'environment'}: {what}") from error

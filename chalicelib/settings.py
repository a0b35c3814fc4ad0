"""The engine's own environment variables, typed and documented; read once, on first use. AWS's are read in aws."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal, get_type_hints

import msgspec
from msgspec import Meta

from chalicelib.domain.errors import ConfigurationError

_LIMIT = Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment's settings. A variable is named as its field; a description says what it must be."""

    # postgresql:// URL of the database.
    database_url: Annotated[str, Meta(pattern="^postgres(ql)?://", description="a postgresql:// URL")]
    # True behind a transaction pooler (PgBouncer, RDS Proxy): no prepared statements.
    database_pooler: Annotated[bool, Meta(description="true or false")] = False
    # Queue names or URLs; a name is looked up on first use.
    orders_queue: str = "order-engine-orders"
    deliveries_queue: str = "order-engine-deliveries"
    dead_letters_queue: str = "order-engine-dead-letters"
    # Base URL of the WebSocket management API, stage included; empty where no sockets are served.
    push_endpoint: str = ""
    # simulated: plausible prices; pools: those of real pools, on paper.
    market: Annotated[Literal["simulated", "pools"], Meta(description="simulated or pools")] = "simulated"
    # Of the pool market: a directory of accounts as the Solana CLI writes them; empty = those that come along.
    pools_directory: Annotated[
        str, Meta(pattern="^(/.*)?$", description="an absolute path, as the functions see it")
    ] = ""
    # Where the chain's accounts are asked for, instead of a directory. Its path and query may hold a key.
    solana_rpc_url: Annotated[str, Meta(pattern="^(https?://.*)?$", description="an http:// or https:// URL")] = ""
    # The oldest state of the chain's pools that is quoted: slots behind the newest one known, and seconds since it was
    # read.
    pool_most_slots: Annotated[int, Meta(ge=0, description="a whole number of slots, 0 or more")] = 150
    pool_most_seconds: Annotated[float, Meta(ge=0, description="a number of seconds, 0 or more")] = 10.0
    # Symbols or mints, separated by commas, that a route of two swaps may go over.
    middle_tokens: str = "SOL,USDC,USDT"
    # A split must pay so many hundredths of a percent more than the best pool alone.
    split_min_gain_bps: Annotated[int, Meta(ge=0, le=10_000, description="a whole number from 0 to 10000")] = 1
    # required: callers give an API key, and see and do what is its account's; none: everybody is one account.
    auth: Annotated[Literal["none", "required"], Meta(description="none or required")] = "none"
    # Most of an account where keys are required: orders a second, and at once after a pause; orders under way; sockets.
    account_orders_per_second: Annotated[int, _LIMIT] = 50
    account_burst: Annotated[int, _LIMIT] = 100
    account_most_open: Annotated[int, _LIMIT] = 10_000
    account_most_sockets: Annotated[int, _LIMIT] = 1000
    # Multiplies every simulated delay; 0 = no delays.
    venue_time_scale: Annotated[float, Meta(ge=0, description="a number, 0 or more")] = 1.0
    # Any text: makes each simulated draw a hash of (seed, order id, attempt, venue). Empty = fresh randomness.
    venue_seed: str = ""
    # How often the market watch looks at the pairs of resting orders.
    watch_tick_seconds: Annotated[float, Meta(gt=0, le=60, description="a number above 0, at most 60")] = 5.0
    # Above this many queued messages the sweeper re-sends at most 100 orders a run.
    sweep_backlog_limit: Annotated[int, Meta(description="a whole number")] = 1000
    # An ended order's events are dropped some time after it was placed so long ago; 0 = never.
    event_retention_days: Annotated[
        int, Meta(ge=0, le=36_500, description="a whole number of days from 0 to 36500")
    ] = 90
    # DEBUG logs every transition.
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="DEBUG, INFO, WARNING or ERROR")
    ] = "INFO"
    # Set by Lambda itself; empty elsewhere.
    aws_lambda_function_name: str = ""


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in `environ`; raises ConfigurationError naming the variable that is missing or can't be used.

    It does not show what a variable is set to, which may be a secret.
    """
    given = {field: environ[field.upper()] for field in Settings.__struct_fields__ if environ.get(field.upper())}
    missing = [
        field.name.upper() for field in msgspec.structs.fields(Settings) if field.required and field.name not in given
    ]
    if missing:
        raise ConfigurationError(f"{', '.join(missing)}: not set")
    if {"pools_directory", "solana_rpc_url"} <= given.keys():
        raise ConfigurationError("POOLS_DIRECTORY, SOLANA_RPC_URL: pools come from one of them, so set only one")
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        field = str(error).rpartition(" - at `$.")[2].rstrip("`")
        (meta,) = get_type_hints(Settings, include_extras=True)[field].__metadata__
        raise ConfigurationError(f"{field.upper()}: must be {meta.description}") from error

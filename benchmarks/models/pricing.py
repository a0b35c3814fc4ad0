"""Dollars from what was used: pure arithmetic over the dated prices of prices.json."""

import math
from pathlib import Path

import msgspec

MILLION = 1_000_000
HOURS = 730
MINUTES = HOURS * 60
GIGABYTE = 1e9
MEGABYTES = 1024
# A mapping polls with so many long polls of 20 s while its queue is empty.
POLLERS = 5
POLLS_A_MINUTE = 3
# Bytes of tables and indexes: of an order with its events, as `scale` found them for 500,000 (1,138 + 322 MB); and what
# stays once its events are not kept any more: `orders` and `submissions`, by the share they have of 20,000.
ORDER_BYTES, OLD_ORDER_BYTES = 3060, 1740
# EVENT_RETENTION_DAYS is 90; storage is that of the first year's end, a fifth of it free, and RDS gives no less.
MONTHS_KEPT, MONTHS = 3, 12
STORAGE_USED = 0.8
LEAST_STORAGE_GB = 20
# accepted, confirmed, failed, retried, time_to_confirm.
METRICS = 5
# Of a bill: requests, messages and compute.
METERED_PARTS = ("rest", "websocket", "sqs", "invocations", "seconds")


class Price(msgspec.Struct, frozen=True):
    """Dollars for a unit, and the public page that names it."""

    price: float
    per: str
    source: str


class Metered(msgspec.Struct, frozen=True):
    """What grows with each order."""

    rest_request: Price
    websocket_message: Price
    connection_minute: Price
    sqs_request: Price
    lambda_request: Price
    lambda_second: Price
    lambda_second_arm: Price
    log_gigabyte: Price
    transfer_gigabyte: Price


class Fixed(msgspec.Struct, frozen=True):
    """What runs whether orders come or not."""

    database_storage: Price
    proxy: Price
    nat_gateway: Price
    nat_gigabyte: Price
    endpoint: Price
    endpoint_gigabyte: Price
    custom_metric: Price
    event_poller: Price


class DatabaseClass(msgspec.Struct, frozen=True):
    """A class of database instances; the price is an hour's, Multi-AZ."""

    name: str
    vcpu: int
    memory_gb: int
    price: float
    # The share of each vCPU that may be used without end: a burstable class saves credits below it.
    baseline: float = 1.0

    @property
    def connections(self) -> int:
        """RDS' own default of max_connections: memory / 9531392, at most 5,000; a tenth of it is the system's."""
        return min(5000, int(self.memory_gb * 2**30 * 0.9 / 9_531_392))


class Choice(msgspec.Struct, frozen=True):
    """So many databases of a class, behind a proxy or not."""

    count: int
    database: DatabaseClass
    proxy: bool

    def text(self) -> str:
        """The class, and how many where it is not one."""
        return f"{self.count} × {self.database.name}" if self.count > 1 else self.database.name


class Stage(msgspec.Struct, frozen=True):
    """What is chosen for so many orders a month."""

    orders: int
    nat_gateways: int
    # Availability zones with an interface endpoint of SQS.
    endpoints: int

    @property
    def rate(self) -> float:
        """Orders a second, on average."""
        return self.orders / (HOURS * 3600)

    @property
    def storage_gb(self) -> int:
        """What the first year's orders take at its end: those of the last months with their events."""
        stored = self.orders * (MONTHS_KEPT * ORDER_BYTES + (MONTHS - MONTHS_KEPT) * OLD_ORDER_BYTES)
        return max(LEAST_STORAGE_GB, math.ceil(stored / STORAGE_USED / GIGABYTE))


class Prices(msgspec.Struct, frozen=True):
    """All of prices.json."""

    dated: str
    region: str
    note: str
    metered: Metered
    fixed: Fixed
    databases: list[DatabaseClass]
    databases_source: str
    stages: list[Stage]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What one order uses, on average."""

    rest_requests: float = 0.0
    websocket_messages: float = 0.0
    connection_minutes: float = 0.0
    sqs_requests: float = 0.0
    invocations: float = 0.0
    # Of all invocations together; init is the share of it that an order bears.
    billed_ms: float = 0.0
    init_ms: float = 0.0
    log_bytes: float = 0.0
    transfer_bytes: float = 0.0


class Bill(msgspec.Struct, frozen=True):
    """Dollars for a million orders, by part."""

    rest: float
    websocket: float
    sqs: float
    invocations: float
    seconds: float
    logs: float
    transfer: float

    @property
    def metered(self) -> float:
        """Without logs and transfer."""
        return math.fsum(getattr(self, part) for part in METERED_PARTS)

    @property
    def total(self) -> float:
        """All of it."""
        return self.metered + self.logs + self.transfer


def load() -> Prices:
    """The prices as dated."""
    return msgspec.json.decode(Path(__file__).with_name("prices.json").read_bytes(), type=Prices)


def bill(used: Usage, megabytes: int, prices: Metered, *, arm: bool = False) -> Bill:
    """Dollars for a million orders whose functions have so much memory."""
    second = (prices.lambda_second_arm if arm else prices.lambda_second).price
    gigabyte_seconds = (used.billed_ms + used.init_ms) / 1000 * megabytes / MEGABYTES
    return Bill(
        rest=used.rest_requests * prices.rest_request.price,
        websocket=used.websocket_messages * prices.websocket_message.price
        + used.connection_minutes * prices.connection_minute.price,
        sqs=used.sqs_requests * prices.sqs_request.price,
        invocations=used.invocations * prices.lambda_request.price,
        seconds=gigabyte_seconds * second * MILLION,
        logs=used.log_bytes * MILLION / GIGABYTE * prices.log_gigabyte.price,
        transfer=used.transfer_bytes * MILLION / GIGABYTE * prices.transfer_gigabyte.price,
    )


def fixed(
    stage: Stage, chosen: Choice, prices: Prices, *, queue_bytes: float, sweep_ms: float, megabytes: int
) -> dict[str, float]:
    """Dollars a month by part. `queue_bytes` an order pass the NAT gateway, or SQS' endpoints where there are any."""
    each, rates = stage.orders * queue_bytes / GIGABYTE, prices.fixed
    way = rates.endpoint_gigabyte if stage.endpoints else rates.nat_gigabyte
    idle = bill(
        Usage(sqs_requests=1 + 3 * POLLERS * POLLS_A_MINUTE, invocations=1, billed_ms=sweep_ms),
        megabytes,
        prices.metered,
    )
    return {
        "database": chosen.count * chosen.database.price * HOURS,
        "storage": stage.storage_gb * rates.database_storage.price,
        "RDS Proxy": chosen.count * max(2, chosen.database.vcpu) * rates.proxy.price * HOURS if chosen.proxy else 0.0,
        "NAT gateways": stage.nat_gateways * rates.nat_gateway.price * HOURS,
        "SQS endpoints": stage.endpoints * rates.endpoint.price * HOURS,
        "SQS traffic": each * way.price,
        "sweeps, empty polls": idle.total * MINUTES / MILLION,
        "metrics": METRICS * rates.custom_metric.price,
    }

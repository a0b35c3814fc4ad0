"""Builds the object graph of one container, on first use: the only file that names concrete classes together."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from chalicelib import settings
from chalicelib.aws.identity import Identity
from chalicelib.aws.push import Push
from chalicelib.aws.queues import Queue
from chalicelib.aws.sqs import Sqs
from chalicelib.domain.account import Limits
from chalicelib.domain.clock import Clock, Entropy, SystemClock, SystemEntropy
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.message import MessageQueue
from chalicelib.domain.token import Token, find
from chalicelib.execution.batch import BatchWorker
from chalicelib.execution.executor import Executor
from chalicelib.execution.recovery import Sweeper
from chalicelib.execution.recurring import Recurrences
from chalicelib.execution.watch import Watcher
from chalicelib.intake.accept import Intake
from chalicelib.intake.authentication import Authentication
from chalicelib.intake.changes import Changes
from chalicelib.intake.quote import Quoter
from chalicelib.intake.triggers import Triggers
from chalicelib.routing.paths import Planner
from chalicelib.routing.router import Router
from chalicelib.settings import Settings
from chalicelib.store.accounts import Accounts
from chalicelib.store.book import Book
from chalicelib.store.database import Connect, Database, connect
from chalicelib.store.journal import Journal
from chalicelib.store.ledger import Ledger
from chalicelib.store.orders import Orders
from chalicelib.store.streams import Streams
from chalicelib.streaming.publisher import Publisher, Pusher
from chalicelib.streaming.sockets import Sockets
from chalicelib.telemetry import Telemetry
from chalicelib.venues.base import Catalogue, Chain, Venue
from chalicelib.venues.simulated.catalogue import SimulatedCatalogue
from chalicelib.venues.simulated.chain import SimulatedChain
from chalicelib.venues.simulated.draws import Draws
from chalicelib.venues.simulated.venue import FEES, SimulatedVenue

T = TypeVar("T")
# Takes what goes into the log: what happened, and why.
Report = Callable[[str, object], None]


class Loop(Protocol):
    """Where a container's coroutines run."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for its result."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class LoopThread:
    """One event loop in a daemon thread: a framework's own threads may all use it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="engine", daemon=True)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """End the thread and the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Client(Protocol):
    """What holds connections."""

    async def close(self) -> None:
        """End them."""
        ...


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """Where orders are routed to, and transactions sent."""

    venues: Sequence[Venue]
    chain: Chain
    planner: Planner
    catalogue: Catalogue
    # The tokens that a route of two swaps may go over.
    middles: Sequence[Token] = ()
    # Forgets at most so many pools that nobody reads any more; None where none are kept.
    expire_pools: Callable[[int], Awaitable[None]] | None = None
    # What is wrong with pools that it does without, in a sentence each, naming the setting and the file.
    broken: Callable[[], Sequence[str]] = tuple
    # Those behind venues and chain, which end with the container.
    clients: Sequence[Client] = ()


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """All that a container meets outside itself, so that a simulation can stand in for the whole of it."""

    loop: Loop
    clock: Clock
    entropy: Entropy
    connect: Connect
    # The queue of a name or URL.
    queue: Callable[[str], MessageQueue]
    pusher: Pusher
    # Those behind queues and pusher, which end with the container.
    clients: Sequence[Client]
    # Venues, a chain, and how routes are sought, on the database of this connection.
    market: Callable[[Database], Market]
    telemetry: Telemetry


def real(given: Settings) -> Surroundings:
    """The machine, AWS, and the market that the settings name."""
    clock, entropy = SystemClock(), SystemEntropy()
    telemetry = Telemetry(given.log_level, given.aws_lambda_function_name)
    identity = Identity()
    sqs, push = Sqs(identity), Push(given.push_endpoint, identity)
    return Surroundings(
        loop=LoopThread(),
        clock=clock,
        entropy=entropy,
        connect=connect,
        queue=partial(Queue, sqs, report=telemetry.failure),
        pusher=push,
        clients=(sqs, push),
        market=partial(MARKETS[given.market], given, clock=clock, entropy=entropy, report=telemetry.failure),
        telemetry=telemetry,
    )


class Engine:
    """All parts, wired. Connections and clients open on first use, so each function pays for what it touches."""

    def __init__(self, given: Settings, around: Surroundings) -> None:
        self.loop = around.loop
        clock, entropy = around.clock, around.entropy
        self.telemetry = around.telemetry
        database = partial(Database, given.database_url, clock, around.connect, pooler=given.database_pooler)
        # Publishing has a connection of its own: it never holds up a write-ahead.
        self.work, self.publishing = database(name="order-engine work"), database(name="order-engine publishing")
        self._clients: tuple[Client, ...] = (self.work, self.publishing, *around.clients)
        required = given.auth == "required"
        limits = Limits(
            orders_per_second=given.account_orders_per_second,
            burst=given.account_burst,
            most_open=given.account_most_open,
        )
        self.orders = Orders(self.work, clock, entropy, limits if required else None)
        authentication = partial(
            Authentication, clock=clock, entropy=entropy, telemetry=self.telemetry, required=required
        )
        self.authentication = authentication(store=Accounts(self.work))
        self.orders_queue = around.queue(given.orders_queue)
        dead_letters, deliveries = around.queue(given.dead_letters_queue), around.queue(given.deliveries_queue)
        streams, push = Streams(self.publishing), around.pusher
        publisher = Publisher(
            subscriptions=streams,
            pusher=push,
            deliveries=deliveries,
            clock=clock,
            entropy=entropy,
            telemetry=self.telemetry,
        )
        market = around.market(self.work)
        self._clients += tuple(market.clients)
        journal = Journal(self.work, publisher.notify)
        router = Router(market.venues, market.chain.clock, market.planner, market.middles)
        executor = Executor(
            journal=journal,
            submissions=self.orders,
            router=router,
            chain=market.chain,
            clock=clock,
            telemetry=self.telemetry,
        )
        self.catalogue, self.broken_pools = market.catalogue, market.broken
        triggers = Triggers(market=router, clock=clock, entropy=entropy)
        book = Book(self.work)
        self.changes = Changes(
            book=book,
            orders=self.orders,
            triggers=triggers,
            queue=self.orders_queue,
            publisher=publisher,
            clock=clock,
            telemetry=self.telemetry,
        )
        recurring = Recurrences(
            book=book,
            market=router,
            queue=self.orders_queue,
            publisher=publisher,
            clock=clock,
            entropy=entropy,
            telemetry=self.telemetry,
        )
        self.watcher = Watcher(
            book=book,
            marked=self.orders,
            market=router,
            recurring=recurring,
            queue=self.orders_queue,
            publisher=publisher,
            clock=clock,
            tick_seconds=given.watch_tick_seconds,
            telemetry=self.telemetry,
        )
        self.intake = Intake(
            orders=self.orders,
            queue=self.orders_queue,
            catalogue=self.catalogue,
            triggers=triggers,
            clock=clock,
            entropy=entropy,
            telemetry=self.telemetry,
        )
        self.quoter = Quoter(router=router, catalogue=self.catalogue, clock=clock, entropy=entropy)
        worker = partial(
            BatchWorker,
            claims=self.orders,
            journal=journal,
            publisher=publisher,
            orders=self.orders_queue,
            dead_letters=dead_letters,
            clock=clock,
            telemetry=self.telemetry,
        )
        self.worker = worker(runner=executor.run, source=self.orders_queue)
        self.dead_letter_worker = worker(runner=executor.resolve, source=dead_letters, last_resort=True)
        self.sockets = Sockets(
            store=streams,
            # Of its own: a socket's function needs no other connection than the one that it publishes by.
            authentication=authentication(store=Accounts(self.publishing)),
            most_sockets=given.account_most_sockets,
            pusher=push,
            publisher=publisher,
            deliveries=deliveries,
            clock=clock,
            telemetry=self.telemetry,
        )
        self.sweeper = Sweeper(
            orders=self.orders,
            sockets=streams,
            orders_queue=self.orders_queue,
            dead_letters=dead_letters,
            deliveries=deliveries,
            backlog_limit=given.sweep_backlog_limit,
            keep_events=timedelta(days=given.event_retention_days) or None,
            expire_pools=market.expire_pools,
            telemetry=self.telemetry,
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the container's one event loop and wait for its result."""
        return self.loop.run(self._reported(work))

    def close(self) -> None:
        """End the container: its connections and its loop."""
        for client in self._clients:
            self.run(client.close())
        self.loop.close()

    async def _reported(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        finally:
            self.telemetry.flush()


def simulated_market(
    given: Settings, database: Database, *, clock: Clock, entropy: Entropy, report: Report | None = None
) -> Market:
    """Plausible prices, which do not depend on the amount: a split never pays more. There is nothing to report."""
    draws, scale = Draws(given.venue_seed, entropy), given.venue_time_scale
    return Market(
        venues=[SimulatedVenue(name, fee, draws, clock, scale) for name, fee in FEES.items()],
        chain=SimulatedChain(Ledger(database), draws, clock, scale),
        planner=Planner(most_legs=1),
        catalogue=SimulatedCatalogue(),
    )


def pool_market(
    given: Settings, database: Database, *, clock: Clock, entropy: Entropy, report: Report | None = None
) -> Market:
    """Prices of real pools, which are traded with on paper. Raises ConfigurationError."""
    # Here, so that the simulated market's containers start without them.
    from chalicelib.solana.rpc import Rpc
    from chalicelib.store.pools import Pools
    from chalicelib.venues.pools.catalogue import PoolCatalogue
    from chalicelib.venues.pools.chain import PaperChain
    from chalicelib.venues.pools.directory import SANDBOX, DirectoryPools
    from chalicelib.venues.pools.live import Limits, LivePools, LiveVenue
    from chalicelib.venues.pools.mints import ChainMints
    from chalicelib.venues.pools.programs import PROGRAMS
    from chalicelib.venues.pools.shelf import Shelf
    from chalicelib.venues.pools.time import ChainTime, OpenTime
    from chalicelib.venues.pools.venue import PoolVenue

    store = Pools(database)
    shelf = Shelf(store, {program.venue: program.read for program in PROGRAMS})
    names = [program.venue for program in PROGRAMS]
    clients: tuple[Client, ...] = ()
    mints: ChainMints | None = None
    time: OpenTime | ChainTime
    fresh: Callable[[Collection[str]], Awaitable[Collection[str] | None]]
    broken: Callable[[], Sequence[str]] = tuple
    if given.solana_rpc_url:
        rpc, time = Rpc(given.solana_rpc_url), ChainTime(clock)
        limits = Limits(slots=given.pool_most_slots, seconds=given.pool_most_seconds)
        live = LivePools(node=rpc, store=store, shelf=shelf, time=time, clock=clock, limits=limits)
        venues: list[Venue] = [LiveVenue(name, live) for name in names]
        clients, fresh, mints = (live, rpc), live.fresh, ChainMints(rpc, clock)
    else:
        directory, time = Path(given.pools_directory) if given.pools_directory else SANDBOX, OpenTime(clock)
        source = DirectoryPools(directory, store, report)
        fresh, broken = source.fresh, source.broken
        venues = [PoolVenue(name, shelf, source.fresh) for name in names]
    middles = middle_tokens(given)
    return Market(
        venues=venues,
        chain=PaperChain(
            fills=store,
            pools=shelf,
            ledger=Ledger(database),
            entropy=entropy,
            time_scale=given.venue_time_scale,
            time=time.now,
        ),
        planner=Planner(middles=tuple(token.key for token in middles), min_gain_bps=given.split_min_gain_bps),
        catalogue=PoolCatalogue(store, fresh, clock, mints),
        middles=middles,
        expire_pools=store.expire,
        broken=broken,
        clients=clients,
    )


def middle_tokens(given: Settings) -> list[Token]:
    """The tokens that a route of two swaps may go over: listed symbols, or any mints. Raises ConfigurationError."""
    names = [name.strip() for name in given.middle_tokens.split(",") if name.strip()]
    tokens = {name: find(name) for name in names}
    for name, token in tokens.items():
        if token is None or not token.mint:
            raise ConfigurationError(f"MIDDLE_TOKENS: {name} is neither a listed symbol nor a mint")
    return [token for token in tokens.values() if token]


MARKETS = {"simulated": simulated_market, "pools": pool_market}

_building = threading.Lock()
_engine: Engine | None = None


def engine() -> Engine:
    """The container's engine, built on the first call."""
    global _engine  # noqa: PLW0603 - a container has one
    # Two threads of one server must not build two.
    with _building:
        if _engine is None:
            given = settings.read()
            _engine = Engine(given, real(given))
        return _engine


def close() -> None:
    """End the container's engine; the next call of `engine` builds another."""
    global _engine  # noqa: PLW0603
    with _building:
        if _engine is not None:
            _engine.close()
            _engine = None


def install(built: Engine | None) -> None:
    """Make this the container's engine: for a container that stands in other surroundings than the real ones."""
    global _engine  # noqa: PLW0603
    with _building:
        _engine = built

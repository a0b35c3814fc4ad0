"""One simulation: the real engine in simulated surroundings, from one integer."""

import asyncio
import gc
import sys
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Literal, cast
from unittest.mock import patch

import msgspec

from chalicelib import bootstrap
from chalicelib.bootstrap import Engine, Market, Surroundings
from chalicelib.domain.errors import Contended, StatementRefused
from chalicelib.handlers import queue, schedule
from chalicelib.settings import Settings
from chalicelib.store.database import Connect, Database
from chalicelib.telemetry import Telemetry
from chalicelib.venues.base import Chain
from chalicelib.venues.simulated.venue import REFERENCE
from tests.replay import shipped
from tests.simulation.backends import Backends
from tests.simulation.clients import Clients
from tests.simulation.clockwork import Host
from tests.simulation.faults import Kind
from tests.simulation.functions import EventSource, Hands, Lambda
from tests.simulation.invariants import Invariants
from tests.simulation.market import FaultyChain, FaultyVenue, Moods
from tests.simulation.operators import Operator
from tests.simulation.postgres import Server
from tests.simulation.queues import SimulatedQueue
from tests.simulation.sim import SeededEntropy, Sim, SimulatedClock
from tests.simulation.sockets import Gateway
from tests.simulation.streams import Streams
from tests.simulation.trace import Trace
from tests.simulation.wishes import WISHES

FAULTY_SECONDS = (60.0, 240.0)
SWEEP_SECONDS = 60.0
# After the last fault, by then everything must have come to its end: parked orders are asked for hourly.
SETTLED_SECONDS = 3 * 3600.0
LOOK_SECONDS = 20.0
EVENTS_EVERY_SECONDS = 20.0
HOLDS_EVERY_SECONDS = 0.1
HOLD = "SELECT 1 FROM pools WHERE address = %(pool)s FOR UPDATE"
SKEW_SECONDS = 2.0
WATCH_SECONDS = 60.0
# Once there are no faults any more: leaves moments at which nothing runs.
CALM_WATCH_SECONDS = 150.0
TWO_WATCH = 0.4
TICK_SECONDS = (5.0, 20.0)
PRICE_MOVES_EVERY_SECONDS = 15.0
DOLLARS = (130, 170)

RESTS = 4

MarketName = Literal["simulated", "pools"]
# What traders do: market orders on one of the markets, or all orders, which may rest, on the simulated one.
Mode = Literal["simulated", "pools", "resting"]


@dataclass(frozen=True)
class Report:
    """What one simulation came to."""

    seed: int
    statuses: Counter[str]
    # On pools: how many of each kind.
    transactions: Counter[str]
    faults: Counter[Kind]
    steps: int
    violations: list[str]
    trace: Trace


class Watched(Telemetry):
    """What the engine says about itself; what it calls a defect is one."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim

    def routed(self, order_id: Any, decision: str) -> None:
        """Not of interest."""

    def moved(self, order_id: Any, status: str, seq: int) -> None:
        self._sim.trace.add("moved", str(order_id), status, seq)

    def ended(self, order_id: Any, status: str, **more: Any) -> None:
        self._sim.trace.add("ended", str(order_id), status)

    def attempt_failed(self, order_id: Any, attempt: int, reason: str) -> None:
        """The event says it."""

    def accepted(self, order_id: Any) -> None:
        """The statement says it."""

    def swept(self, due: int, parked: int, lagging: int) -> None:
        self._sim.trace.add("swept", due, parked, lagging)

    def watched(self, fired: int) -> None:
        self._sim.trace.add("watched", fired)

    def rolled(self, done: str, partition: str) -> None:
        self._sim.trace.add("rolled", done, partition)

    def failure(self, what: str, error: object, **details: Any) -> None:
        self._sim.trace.add("failure", what, str(error), details)
        if isinstance(error, StatementRefused) and not isinstance(error, Contended):
            self._sim.violation(f"{what}: {error}")

    def defect(self, what: str, error: BaseException, **details: Any) -> None:
        self._sim.trace.add("defect", what, repr(error), details)
        self._sim.violation(f"{what}: {error!r}")

    def flush(self) -> None:
        """Nothing is gathered."""


class World:
    """Everything of one simulation, wired."""

    def __init__(self, seed: int, backends: Backends, mode: Mode) -> None:
        self.sim = sim = Sim(seed)
        # What a dead container's tasks ended with is nobody's concern.
        sim.loop.set_exception_handler(lambda *_: None)
        self.server = Server(backends, sim)
        self.streams = Streams(sim, backends)
        self.server.observers.append(self.streams.observe)
        dead_letters = SimulatedQueue("dead-letters", sim, None)
        self.queues = {
            "order-engine-orders": SimulatedQueue("orders", sim, dead_letters),
            "order-engine-deliveries": SimulatedQueue("deliveries", sim, None),
            "order-engine-dead-letters": dead_letters,
        }
        self.machine = Lambda(sim, self._build)
        self.gateway = Gateway(sim, self.machine, self.streams)
        self.clients = Clients(sim, self.machine, self.gateway, WISHES[mode], fickle=mode == "resting")
        self.moods = Moods(sim)
        self.operator = Operator(sim, self._outside_database(), self.queues)
        self._resting = mode == "resting"
        market: MarketName = "pools" if mode == "pools" else "simulated"
        self._settings = Settings(
            database_url="postgresql://simulated",
            market=market,
            venue_time_scale=sim.rng.choice((0.0, 0.0, 0.3, 1.0)),
            sweep_backlog_limit=sim.rng.choice((0, 1000)),
            watch_tick_seconds=sim.rng.choice(TICK_SECONDS) if self._resting else TICK_SECONDS[0],
        )
        self._made = partial(bootstrap.MARKETS[market], self._settings)
        self._outside = self._market_outside()
        self.invariants = Invariants(self, backends, on_pools=mode == "pools")
        self.machine.on_quiet = self.invariants.quiet
        concurrency = sim.rng.randint(1, 4)
        for name, function, handler in (
            ("order-engine-orders", "worker", queue.orders),
            ("order-engine-deliveries", "deliver", queue.deliveries),
            ("order-engine-dead-letters", "dead-letter", queue.dead_letters),
        ):
            EventSource(self.queues[name], function, handler, self.machine, concurrency)

    async def live(self, story: "Story") -> None:
        """A story, and then calm until everything has come to its end."""
        sweeping = self.sim.loop.on(None, self._sweep())
        watching = self.sim.loop.on(None, self._watch())
        await story(self)
        self.sim.faults.active = False
        self.sim.trace.add("calm")
        last = self.sim.loop.time() + SETTLED_SECONDS
        operating = self.sim.loop.on(None, self.operator.operate())
        while not self.invariants.settled():
            if self.sim.loop.time() > last:
                self.sim.violation("not everything came to its end")
                break
            await asyncio.sleep(LOOK_SECONDS)
        self.invariants.check()
        sweeping.cancel()
        watching.cancel()
        operating.cancel()

    async def storm(self) -> None:
        """Orders, sockets and faults for a while."""
        events = self.sim.loop.on(None, self._events())
        holding = self.sim.loop.on(None, self._hold_pools())
        moving = self.sim.loop.on(None, self._move_prices())
        trading = self.sim.loop.on(None, self.clients.trade())
        operating = self.sim.loop.on(None, self.operator.operate())
        await asyncio.sleep(self.sim.rng.uniform(*FAULTY_SECONDS))
        events.cancel()
        holding.cancel()
        operating.cancel()
        self.sim.faults.active = False
        await trading
        moving.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.machine.invoke("sweep", lambda _: schedule.sweep())

    async def _watch(self) -> None:
        """The market watch, whose invocations overlap; some start together."""
        while self._resting:
            await asyncio.sleep(WATCH_SECONDS if self.sim.faults.active else CALM_WATCH_SECONDS)
            for _ in range(1 + (self.sim.faults.active and self.sim.rng.random() < TWO_WATCH)):
                self.sim.loop.on(None, self.machine.invoke("watch", schedule.watch))

    async def _move_prices(self) -> None:
        """SOL gets dearer or cheaper in dollars, and with it all that is bought for it."""
        while self._resting:
            await asyncio.sleep(self.sim.rng.expovariate(1 / PRICE_MOVES_EVERY_SECONDS))
            REFERENCE["SOL"] = Decimal(self.sim.rng.randint(*DOLLARS))
            self.sim.trace.add("dollars for one SOL", REFERENCE["SOL"])

    async def _events(self) -> None:
        """What happens to all containers at once."""
        while True:
            await asyncio.sleep(self.sim.rng.expovariate(1 / EVENTS_EVERY_SECONDS))
            if self.sim.faults.draw(Kind.DEPLOY):
                self.machine.deploy()
            if self.sim.faults.draw(Kind.DATABASE_RESTART):
                self.server.restart(self.sim.faults.seconds(Kind.DATABASE_RESTART))

    async def _hold_pools(self) -> None:
        """On pools: somebody looks into one and keeps it locked."""
        while self._settings.market == "pools":
            await asyncio.sleep(self.sim.rng.expovariate(1 / HOLDS_EVERY_SECONDS))
            if self.sim.faults.draw(Kind.SQL_SLOW, where="pool"):
                pool = self.sim.rng.choice(sorted(shipped()))
                seconds = self.sim.faults.seconds(Kind.SQL_SLOW)
                self.sim.loop.on(None, self.server.hold(HOLD, {"pool": pool}, seconds))

    def _build(self, host: Host, hands: Hands) -> Engine:
        clock = SimulatedClock(self.sim, self.sim.rng.uniform(-SKEW_SECONDS, SKEW_SECONDS))
        entropy = SeededEntropy(self.sim.rng)
        return Engine(
            self._settings,
            Surroundings(
                loop=hands,
                clock=clock,
                entropy=entropy,
                connect=cast("Connect", self.server.connect),
                queue=self.queues.__getitem__,
                pusher=self.gateway,
                clients=(),
                market=partial(self._market, clock, entropy),
                telemetry=Watched(self.sim),
            ),
        )

    def _market(self, clock: SimulatedClock, entropy: SeededEntropy, database: Database) -> Market:
        market = self._made(database, clock=clock, entropy=entropy)
        return msgspec.structs.replace(
            market,
            chain=FaultyChain(market.chain, self._outside, self.sim, self.moods),
            venues=[FaultyVenue(venue, self.sim, self.moods) for venue in market.venues],
        )

    def _market_outside(self) -> Chain:
        """The chain as it goes on when whoever sent to it is no more."""
        clock, entropy = SimulatedClock(self.sim, 0.0), SeededEntropy(self.sim.rng)
        database = self._outside_database()
        return self._made(database, clock=clock, entropy=entropy).chain

    def _outside_database(self) -> Database:
        """The database, as somebody without a container sees it."""
        connect = cast("Connect", self.server.connect)
        return Database("postgresql://simulated", SimulatedClock(self.sim, 0.0), connect, pooler=False, name="outside")


Story = Callable[[World], Awaitable[None]]


def mode_of(seed: int) -> Mode:
    """Each fifth simulation is one of the pool market, and each fifth one of orders that rest."""
    return "pools" if seed % 5 == 0 else "resting" if seed % 5 == RESTS else "simulated"


def run(
    seed: int,
    backends: Backends,
    *,
    story: Story = World.storm,
    faults: Mapping[Kind, float] | None = None,
    mode: Mode | None = None,
) -> Report:
    """One simulation, from beginning to end; with the faults that the seed draws, or given ones at given rates.

    The seed decides the mode as well, where none is given.
    """
    backends.reset()
    world = World(seed, backends, mode or mode_of(seed))
    if faults is not None:
        world.sim.faults.rates = dict.fromkeys(Kind, 0.0) | dict(faults)
    asyncio.set_event_loop(world.sim.loop)
    try:
        # Prices move, and are back afterwards.
        with patch.dict(REFERENCE):
            world.sim.loop.run_until_complete(world.live(story))
    finally:
        report = Report(
            seed=seed,
            statuses=world.invariants.statuses,
            transactions=world.invariants.transactions,
            faults=world.sim.faults.counts,
            steps=world.sim.trace.end(),
            # What ends only because all ends breaks no promise.
            violations=list(world.sim.violations),
            trace=world.sim.trace,
        )
        _end(world)
    return report


def _end(world: World) -> None:
    """Let go of what the simulation left unfinished; its finally blocks run now, and find nothing to act on."""
    loop = world.sim.loop
    _abandon(world)
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop.forget()
        gc.collect()
        loop.close()
        asyncio.set_event_loop(None)
    sys.unraisablehook = hook


def _abandon(world: World) -> None:
    """Drop the last references to all that was under way, those of this function included."""
    for host in world.machine.hosts:
        host.die()
        host.tasks.clear()
    for task in asyncio.all_tasks(world.sim.loop):
        # Nobody is to be warned of what was left on purpose.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    bootstrap.install(None)
    world.__dict__.clear()

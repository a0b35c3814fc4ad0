"""Functions and their containers: started, reused, frozen between invocations, timed out, killed and replaced."""

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from chalicelib import bootstrap
from chalicelib.bootstrap import Engine
from tests.simulation.clockwork import Host, VirtualLoop
from tests.simulation.faults import OUTSIDE, Kind
from tests.simulation.queues import Held, SimulatedQueue
from tests.simulation.sim import Sim

# Time-outs of the functions, and of those that differ.
FUNCTION_SECONDS = 10.0
OTHER_SECONDS = {"sweep": 30.0, "watch": 70.0}
# Most messages of a batch.
BATCHES = {"worker": 10, "deliver": 10, "dead-letter": 1}


class Died(BaseException):
    """Ends the thread of a container that is no more."""


class Hands:
    """The thread that a handler's own code runs on. Only one thread of the process runs at a time."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def tell(self, what: str, value: Any) -> tuple[str, Any]:
        """Have the thread go on; returns what it says next: a coroutine to run, or how the handler ended."""
        self._told.put((what, value))
        return self._said.get()

    def dismiss(self) -> None:
        """End the thread."""
        self._told.put(("died", None))
        self._thread.join()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """A container's loop, as its handlers see it."""
        self._said.put(("run", work))
        what, value = self._told.get()
        if what == "result":
            return value
        raise value if what == "error" else Died

    def close(self) -> None:
        """A container's loop ends with its host."""

    def _work(self) -> None:
        while True:
            what, call = self._told.get()
            if what != "call":
                return
            try:
                self._said.put(("returned", call()))
            except Died:
                return
            except Exception as error:  # noqa: BLE001 - it belongs to whoever called
                self._said.put(("raised", error))


class Context:
    """What Lambda tells a function about its invocation."""

    def __init__(self, loop: VirtualLoop, end: float) -> None:
        self._loop = loop
        self._end = end

    def get_remaining_time_in_millis(self) -> int:
        return int((self._end - self._loop.time()) * 1000)


class Container:
    """One container of a function."""

    def __init__(self, host: Host, hands: Hands, engine: Engine, generation: int) -> None:
        self.host = host
        self.engine = engine
        self.generation = generation
        self._hands = hands
        host.on_death.append(hands.dismiss)

    async def call(self, loop: VirtualLoop, handler: Callable[[], Any]) -> Any:
        """Run a handler to its end; never returns if the container dies."""
        bootstrap.install(self.engine)
        what, value = self._hands.tell("call", handler)
        while what == "run":
            ended = loop.create_future()
            task = loop.on(self.host, value)
            task.add_done_callback(lambda done, ended=ended: ended.set_result(None), context=OUTSIDE)  # type: ignore[misc]
            await ended
            error = task.exception()
            what, value = self._hands.tell("error", error) if error else self._hands.tell("result", task.result())
        if what == "raised":
            raise value
        return value


class Lambda:
    """Runs functions in containers; `build` makes the engine of a new one."""

    def __init__(self, sim: Sim, build: Callable[[Host, Hands], Engine]) -> None:
        self.sim = sim
        self.under_way = 0
        self.hosts: list[Host] = []
        # Called when the last invocation under way has ended.
        self.on_quiet: Callable[[], None] = lambda: None
        self._build = build
        self._idle: dict[str, list[Container]] = {}
        self._generation = 0
        self._started = 0

    def deploy(self) -> None:
        """New invocations get new containers; the old ones end what they are at."""
        self._generation += 1

    async def invoke(self, function: str, handler: Callable[[Context], Any]) -> tuple[bool, Any]:
        """One invocation: whether the function returned, and what. Its time-out counts from now."""
        self.under_way += 1
        container = self._take(function)
        host = container.host
        self.sim.trace.add("invoked", host=host.name)
        seconds = OTHER_SECONDS.get(function, FUNCTION_SECONDS)
        context = Context(self.sim.loop, self.sim.loop.time() + seconds)
        if self.sim.faults.draw(Kind.CRASH):
            self.sim.loop.call_later(self.sim.faults.seconds(Kind.CRASH), host.die, context=OUTSIDE)
        death: asyncio.Future[None] = self.sim.loop.create_future()
        host.on_death.append(lambda: death.done() or death.set_result(None))
        call = self.sim.loop.on(None, container.call(self.sim.loop, lambda: handler(context)))
        await asyncio.wait({call, death}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self.under_way -= 1
        if not self.under_way:
            self.on_quiet()
        if call.done():
            self._put_back(function, container)
            error = call.exception()
            if error is not None:
                self.sim.violation(f"{host.name} raised {error!r}")
                return False, None
            return True, call.result()
        self.sim.trace.add("died" if death.done() else "timed out", host=host.name)
        if host.alive and not (host.frozen and self.sim.faults.wakes_up()):
            host.die()
        return False, None

    def _take(self, function: str) -> Container:
        idle = [one for one in self._idle.get(function, []) if one.host.alive and one.generation == self._generation]
        self._idle[function] = idle
        if idle:
            container = idle.pop(self.sim.rng.randrange(len(idle)))
            container.host.thaw()
            return container
        self._started += 1
        host = Host(f"{function}-{self._started}", self.sim.loop)
        self.hosts.append(host)
        hands = Hands()
        return Container(host, hands, self._build(host, hands), self._generation)

    def _put_back(self, function: str, container: Container) -> None:
        host = container.host
        if not host.alive:
            return
        if host.frozen:
            self.sim.violation(f"{host.name} returned while it stood still")
        if left := host.busy():
            self.sim.violation(f"{host.name} returned with work under way: {left}")
        host.freeze()
        self._idle[function].append(container)


class EventSource:
    """An event source mapping: batches from a queue to a function, and acknowledgements back."""

    def __init__(
        self,
        source: SimulatedQueue,
        function: str,
        handler: Callable[[Any, Any], Any],
        machine: Lambda,
        concurrency: int,
    ) -> None:
        self._source = source
        self._function = function
        self._handler = handler
        self._concurrency = concurrency
        self._machine = machine
        self._running = 0
        source.on_visible = self.pump

    def pump(self) -> None:
        """Start as many invocations as there are messages and concurrency for."""
        most = self._machine.sim.rng.randint(1, BATCHES[self._function])
        while self._running < self._concurrency and (batch := self._source.receive(most)):
            self._running += 1
            self._machine.sim.loop.on(None, self._serve(batch, [held.receives for held in batch]))

    async def _serve(self, batch: list[Held], receives: list[int]) -> None:
        records = [
            {"messageId": held.message_id, "receiptHandle": f"{held.message_id}/{number}", "body": held.body}
            for held, number in zip(batch, receives, strict=True)
        ]
        await self._machine.sim.faults.trip(0.005)
        returned, reply = await self._machine.invoke(
            self._function, lambda context: self._handler({"Records": records}, context)
        )
        if returned:
            failed = {item["itemIdentifier"] for item in reply["batchItemFailures"]}
            await self._machine.sim.faults.trip(0.01)
            for held, number in zip(batch, receives, strict=True):
                if held.message_id not in failed and not self._machine.sim.faults.draw(Kind.DELETE_LOST):
                    self._source.delete(held, number)
        self._running -= 1
        self.pump()

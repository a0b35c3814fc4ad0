"""Virtual time, and hosts that die or stand still: the event loop that a simulation runs on.

All containers share one loop. Every callback remembers the host whose code scheduled it; the callbacks of a dead host
never run again, and those of a frozen one wait until it thaws. Waiting costs no real time.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")
# The moment at which virtual time is 0.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Stalled(Exception):
    """Nothing is left that could ever happen."""


class Host:
    """The machine under a container."""

    def __init__(self, name: str, loop: "VirtualLoop") -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        # Kept: dropping the last reference to a coroutine would run its finally blocks.
        self.tasks: list[asyncio.Task[Any]] = []
        self.on_death: list[Callable[[], None]] = []
        self._loop = loop
        self._held: list[_Step] = []

    def die(self) -> None:
        """Nothing on it ever goes on."""
        if self.alive:
            self.alive = False
            self._held.clear()
            for told in self.on_death:
                told()

    def freeze(self) -> None:
        """Nothing on it goes on for the present."""
        self.frozen = True

    def thaw(self) -> None:
        """It goes on where it was."""
        self.frozen = False
        held, self._held = self._held, []
        for step in held:
            self._loop.again(step)

    def busy(self) -> list[str]:
        """The work that is under way on it."""
        self.tasks = [task for task in self.tasks if not task.done()]
        return [str(task.get_coro()) for task in self.tasks]

    def take(self, step: "_Step") -> None:
        """Run a step now, later or never."""
        if not self.alive:
            return
        if self.frozen:
            self._held.append(step)
        elif not step.handle.cancelled():
            step.callback(*step.args)


HOST: ContextVar[Host | None] = ContextVar("host", default=None)


class _Step:
    """A callback of a host, with the handle by which it may be cancelled even while it is held up."""

    __slots__ = ("args", "callback", "context", "handle", "host")

    def __init__(self, host: Host, callback: Callable[..., Any], args: tuple[Any, ...], context: Context) -> None:
        self.host = host
        self.callback = callback
        self.args = args
        self.context = context
        self.handle: asyncio.Handle

    def __call__(self) -> None:
        self.host.take(self)


class _Instant(selectors.SelectSelector):
    """Where a real loop would wait, time passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stalled("no timer is set and nothing is ready")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without real input or output, whose time is a number."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)
        self._clock_resolution = 1e-9
        self.set_task_factory(_task_of_its_host)

    def time(self) -> float:
        return self._instant.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        context = context if context is not None else copy_context()
        host = context.get(HOST)
        if host is None:
            return super().call_soon(callback, *args, context=context)
        step = _Step(host, callback, args, context)
        step.handle = super().call_soon(step, context=context)
        return step.handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = context if context is not None else copy_context()
        host = context.get(HOST)
        if host is None:
            return super().call_at(when, callback, *args, context=context)
        step = _Step(host, callback, args, context)
        handle = super().call_at(when, step, context=context)
        step.handle = handle
        return handle

    def again(self, step: _Step) -> None:
        """Run a step that was held up."""
        super().call_soon(step, context=step.context)

    def forget(self) -> None:
        """Let go of all that was still to happen."""
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]

    def on(self, host: Host | None, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Start a coroutine on a host; on none, it belongs to the world outside all containers."""
        context = copy_context()
        context.run(HOST.set, host)
        return self.create_task(work, context=context)


def _task_of_its_host(
    loop: asyncio.AbstractEventLoop, work: Any, context: Context | None = None, **more: Any
) -> "asyncio.Task[Any]":
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context, **more)
    host = (context if context is not None else copy_context()).get(HOST)
    if host is not None:
        host.tasks.append(task)
    return task


async def never() -> Any:
    """Wait for ever: what follows a death, and what a silent peer answers."""
    await asyncio.get_running_loop().create_future()

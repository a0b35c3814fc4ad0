"""Work that whoever wants the same shares, while it is under way."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class _Flight(Generic[Value]):
    def __init__(self, task: "asyncio.Task[Value]") -> None:
        self.task = task
        self.waiting = 0


class Sharing(Generic[Key, Value]):
    """Runs one piece of work at a time for each key. It ends with the last of those who wait for it."""

    def __init__(self) -> None:
        self._flights: dict[Key, _Flight[Value]] = {}

    async def of(self, key: Key, work: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """The result of what is under way for this key, or else of `work`. Raises what that raises."""
        flight = self._flights.get(key)
        if flight is None or flight.task.done():
            flight = self._flights[key] = _Flight(asyncio.create_task(work()))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                flight.task.cancel()
                if self._flights.get(key) is flight:
                    del self._flights[key]

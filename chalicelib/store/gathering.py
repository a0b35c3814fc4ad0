"""One statement for whatever was asked while the one before was on its way."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from chalicelib.domain.errors import StatementRefused

Wanted = TypeVar("Wanted")
Found = TypeVar("Found")

# A statement serves at most this many callers.
MOST = 200


class Gathering(Generic[Wanted, Found]):
    """Lets callers share statements. `run` serves several of them at once, with a result for each, in their order."""

    def __init__(self, run: Callable[[Sequence[Wanted]], Awaitable[Sequence[Found]]]) -> None:
        self._run = run
        self._waiting: list[tuple[Wanted, asyncio.Future[Found]]] = []
        self._served: list[tuple[Wanted, asyncio.Future[Found]]] = []
        self._serving: asyncio.Task[None] | None = None

    async def of(self, wanted: Wanted) -> Found:
        """The result for one caller. Raises what `run` raises."""
        result: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, result))
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        try:
            return await result
        finally:
            # Nobody waits for it any more: it must not outlast the invocation.
            if result.cancelled() and self._serving and all(each.done() for _, each in [*self._served, *self._waiting]):
                self._serving.cancel()
                # It takes a moment to end, and serves nobody who comes meanwhile.
                self._serving = None

    async def _serve(self) -> None:
        while self._waiting:
            wanted = [each for each in self._waiting if not each[1].done()]
            self._served, self._waiting = wanted[:MOST], wanted[MOST:]
            if self._served:
                await self._share(self._served)

    async def _share(self, served: Sequence[tuple[Wanted, asyncio.Future[Found]]]) -> None:
        try:
            results = await self._run([wanted for wanted, _ in served])
        except StatementRefused as error:
            if len(served) > 1:
                # What is wrong with one must not become the others' error.
                for each in served:
                    await self._share([each])
                return
            _fail(served, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever asked
            _fail(served, error)
        else:
            for (_, result), found in zip(served, results, strict=True):
                if not result.done():
                    result.set_result(found)


def _fail(served: Sequence[tuple[Wanted, "asyncio.Future[Found]"]], error: Exception) -> None:
    for _, result in served:
        if not result.done():
            result.set_exception(error)

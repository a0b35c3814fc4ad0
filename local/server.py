"""A server that runs beside this process, between `start` and `stop`, or as a context."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from local.keeper import Kept


class Server(ABC):
    """What the embedded servers share. `start` keeps its process in `_server`."""

    _server: Kept | None = None

    @property
    def pid(self) -> int | None:
        """The process that keeps the server, while it runs."""
        return self._server.pid if self._server else None

    @abstractmethod
    def start(self) -> None:
        """Starts the server and returns when it answers."""

    def stop(self) -> None:
        """Ends what `start` started."""
        if self._server:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

"""What happened in a simulation, step by step."""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from tests.simulation.clockwork import HOST, VirtualLoop

LONGEST_LINE = 180


class Trace:
    """The steps of one simulation, in the order in which they happened."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._time = loop.time
        # Formatted only when somebody wants to read it.
        self._steps: list[tuple[float, str, tuple[Any, ...]]] = []

    def add(self, *what: Any, host: str | None = None) -> None:
        """Something happened, on the host whose code is running or the named one."""
        if host is None:
            running = HOST.get()
            host = running.name if running else ""
        self._steps.append((self._time(), host, what))

    def happened(self, *what: Any) -> bool:
        """Whether there was a step that begins so."""
        return any(step[: len(what)] == what for _, _, step in self._steps)

    def end(self) -> int:
        """Nothing more happens; how many steps there were."""
        self._time = lambda: 0.0
        return len(self._steps)

    def lines(self) -> Iterator[str]:
        """Each step: seconds since the start, container, what."""
        for at, host, what in self._steps:
            text = "  ".join(part if isinstance(part, str) else repr(part) for part in what)
            yield f"{at:11.4f}  {host:12}  {text}"

    def digest(self) -> str:
        """The same for two simulations only where they took the same steps."""
        return sha256("\n".join(self.lines()).encode()).hexdigest()

    def about(self, *words: str) -> list[str]:
        """The steps that name any of some orders, sockets or containers, and every fault."""
        wanted = re.compile("|".join([r"\bFAULT\b", *(rf"\b{re.escape(word)}\b" for word in words)]))
        lines = [line for line in self.lines() if wanted.search(line)]
        return [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in lines]

"""How much memory the parts of a running stack take at most, and how many connections the engine has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import psutil
import psycopg

from local.stack import Endpoints

EVERY_SECONDS = 0.5
MEGABYTE = 2**20
FRONT_DOOR = "front door"
# It keeps queues and logs in memory, for as long as it runs.
EMULATOR = "embedded AWS"


@dataclass
class Peaks:
    """The most that was seen: resident megabytes of each process, by part and process id; connections."""

    megabytes: dict[str, dict[int, int]] = field(default_factory=dict)
    connections: int = 0

    def saw(self, part: str, pid: int, size: int) -> None:
        """A process had so many bytes."""
        processes = self.megabytes.setdefault(part, {})
        processes[pid] = max(processes.get(pid, 0), round(size / MEGABYTE))

    def bounded(self) -> int:
        """The most that a process of the engine's had."""
        return max((max(found.values()) for part, found in self.megabytes.items() if part != EMULATOR), default=0)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Each part with its processes' peaks."""
        for part, processes in sorted(self.megabytes.items()):
            yield part, "  ".join(map(str, sorted(processes.values(), reverse=True)))


@contextlib.asynccontextmanager
async def watch(endpoints: Endpoints, peaks: Peaks) -> AsyncIterator[None]:
    """Looks again and again while the body runs."""
    ended = asyncio.Event()
    watching = asyncio.create_task(_watch(endpoints, peaks, ended))
    try:
        yield
    finally:
        ended.set()
        await watching


async def _watch(endpoints: Endpoints, peaks: Peaks, ended: asyncio.Event) -> None:
    names: dict[int, str] = {}
    while not ended.is_set():
        await asyncio.to_thread(_look, endpoints, peaks, names)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), EVERY_SECONDS)


def _look(endpoints: Endpoints, peaks: Peaks, names: dict[int, str]) -> None:
    for part in ("aws", FRONT_DOOR):
        for process in psutil.Process(endpoints.pids[part]).children(recursive=True):
            # It may have ended since it was found.
            with contextlib.suppress(psutil.Error):
                names.setdefault(process.pid, _name(process, part))
                peaks.saw(names[process.pid], process.pid, process.memory_info().rss)
    with psycopg.connect(endpoints.database_url) as database:
        engine = "SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, 'order-engine')"
        (connections,) = database.execute(engine).fetchone() or (0,)
        peaks.connections = max(peaks.connections, connections)


def _name(process: psutil.Process, part: str) -> str:
    function = process.environ().get("AWS_LAMBDA_FUNCTION_NAME")
    # Of stack, function and what makes the name unique.
    return function.split("-")[-2] if function else FRONT_DOOR if part == FRONT_DOOR else EMULATOR

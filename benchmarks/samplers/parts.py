"""Which part of the engine a container's CPU time goes to, by samples of the running stack."""

import signal
from collections import Counter
from types import FrameType

EVERY_SECONDS = 0.001
# Rooms of the package, and the part that each belongs to; the innermost one on the stack counts.
ROOMS = {
    "store": "store",
    "streaming": "publish",
    "telemetry.py": "log",
    "routing": "route",
    "venues": "route",
}
PARTS = ("store", "publish", "log", "route", "rest")


class Parts:
    """Samples the main thread on a timer of CPU time."""

    def __init__(self) -> None:
        self._samples: Counter[str] = Counter()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)

    def shares(self) -> dict[str, float]:
        """Each part's share of the samples."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        whole = sum(self._samples.values()) or 1
        return {part: self._samples[part] / whole for part in PARTS}

    def _sample(self, _: int, frame: FrameType | None) -> None:
        self._samples[_part(frame)] += 1


def _part(frame: FrameType | None) -> str:
    found = "rest"
    while frame is not None:
        name = frame.f_code.co_filename
        if _publishes(frame, name):
            return "publish"
        if found == "rest" and "/chalicelib/" in name:
            found = ROOMS.get(name.partition("/chalicelib/")[2].partition("/")[0], "rest")
        frame = frame.f_back
    return found


def _publishes(frame: FrameType, name: str) -> bool:
    """Whether the publisher is on the stack, or its connection: a statement is a task of its own."""
    if "/psycopg/" in name or name.endswith("database.py"):
        held = frame.f_locals.get("connection", frame.f_locals.get("self"))
        return "publishing" in getattr(held, "name", "")
    return "/chalicelib/streaming/" in name

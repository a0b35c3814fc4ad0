"""What `make run` prints: one line a step, one line a frame, in colour on a terminal."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

COLOURS = {
    "confirmed": 32,
    "failed": 31,
    "cancelled": 31,
    "expired": 31,
    "open": 33,
    "pending": 33,
    "routing": 36,
    "building": 36,
    "submitted": 35,
}
BOLD = 1
DIM = 2


def paint(text: str, code: int) -> str:
    """The text in a colour or weight, where the terminal shows one."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{code}m{text}\033[0m"


def say(text: str = "") -> None:
    """Prints a line at once, also into a pipe."""
    print(text, flush=True)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Prints a step's name, since it may take long, and then how long it took."""
    started = time.monotonic()
    print(f"  {name:12} ", end="", flush=True)
    try:
        yield
    except BaseException:
        # What is said of it begins a line.
        say()
        raise
    say(paint(f"{time.monotonic() - started:5.1f} s", DIM))


def frame_line(frame: Mapping[str, Any]) -> str:
    """A frame of an order's stream as one line."""
    if "error" in frame:
        return f"  {paint('error', COLOURS['failed'])}        {frame['error']}"
    status = str(frame["status"])
    # Padded before it is painted: escape codes have a width too.
    return f"  {frame['ts'][11:23]}  {paint(f'{status:10}', COLOURS.get(status, BOLD))} {_told(status, frame['meta'])}"


def _told(status: str, meta: Mapping[str, Any]) -> str:
    if status == "building" and "route" in meta:
        chosen = meta["route"].get("chosen", {})
        return f"{chosen.get('dex')} at {chosen.get('price')}: {meta['route'].get('decision')}"
    return "  ".join(f"{name} {value}" for name, value in meta.items())

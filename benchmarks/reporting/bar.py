"""A progress bar; where nobody watches, a line for each tenth."""

import sys
import time
from types import TracebackType
from typing import Self

WIDTH = 40
TENTHS = 10
# What an earlier, longer line left.
ERASE = "\033[K"


class Bar:
    """How far something counted is."""

    def __init__(self, what: str, whole: int) -> None:
        self._what = what
        self._whole = whole
        self._watched = sys.stderr.isatty()
        self._shown = -1
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self.show(0)
        return self

    def show(self, done: int, note: str = "") -> None:
        """So much is done; `note` is what else there is to tell."""
        part = done * (WIDTH if self._watched else TENTHS) // self._whole
        if self._watched:
            line = f"\r  {'#' * part:.<{WIDTH}} {self._told(done, note)}{ERASE}"
            print(line, end="", file=sys.stderr, flush=True)
        elif part != self._shown:
            print(f"  {self._told(done, note)}", file=sys.stderr, flush=True)
        self._shown = part

    def _told(self, done: int, note: str) -> str:
        seconds = time.monotonic() - self._started
        left = f"{seconds:.0f} s, {seconds * (self._whole - done) / done:.0f} s to go" if done else ""
        return "  ".join(part for part in (f"{done}/{self._whole} {self._what}", note, left) if part)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watched:
            print(file=sys.stderr)

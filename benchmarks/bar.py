"""A progress bar; where nobody watches, a line for each tenth."""

import sys
from types import TracebackType
from typing import Self

WIDTH = 40
TENTHS = 10


class Bar:
    """How far something counted is."""

    def __init__(self, what: str, whole: int) -> None:
        self._what = what
        self._whole = whole
        self._watched = sys.stderr.isatty()
        self._shown = -1

    def __enter__(self) -> Self:
        self.show(0)
        return self

    def show(self, done: int) -> None:
        """So much is done."""
        part = done * (WIDTH if self._watched else TENTHS) // self._whole
        if self._watched:
            print(f"\r  {'#' * part:.<{WIDTH}} {done}/{self._whole} {self._what}", end="", file=sys.stderr, flush=True)
        elif part != self._shown:
            print(f"  {done}/{self._whole} {self._what}", file=sys.stderr, flush=True)
        self._shown = part

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watched:
            print(file=sys.stderr)

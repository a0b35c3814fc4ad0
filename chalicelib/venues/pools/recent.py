"""What was used last, as much of it as there is room for."""

from collections.abc import Collection
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by their keys: of more than `most` those that were put first are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """The value of a key; None where there is none."""
        return self._kept.get(key)

    def values(self) -> Collection[Value]:
        """All that are kept."""
        return self._kept.values()

    def put(self, key: Key, value: Value) -> Value:
        """Keep a value, which is the latest from now on."""
        self._kept.pop(key, None)
        self._kept[key] = value
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return value

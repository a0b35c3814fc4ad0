"""The schedule: the sweep, and the market watch."""

from typing import Any

from chalicelib.bootstrap import engine


def sweep() -> None:
    """Set going again what was left behind."""
    parts = engine()
    parts.run(parts.sweeper.run())


def watch(context: Any) -> None:
    """Fire resting orders, for as long as the invocation lasts."""
    parts = engine()
    parts.run(parts.watcher.run(context.get_remaining_time_in_millis() / 1000))

"""The schedule: the sweep."""

from chalicelib.bootstrap import engine


def sweep() -> None:
    """Set going again what was left behind."""
    parts = engine()
    parts.run(parts.sweeper.run())

"""What the simulated market trades: any token for any other, without pools that could be listed."""

from collections.abc import Collection

from chalicelib.domain.pool import StoredPool
from chalicelib.domain.token import ANY, Registry


class SimulatedCatalogue:
    """Always the same."""

    tokens = ANY

    async def refreshed(self, wanted: Collection[str] = ()) -> Registry:
        """The tokens that are known."""
        return self.tokens

    async def pools(self, after: str, limit: int) -> list[StoredPool]:
        """None."""
        return []

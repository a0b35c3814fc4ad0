"""Random draws of the simulated market, fresh or a function of a seed."""

from hashlib import sha256

from chalicelib.domain.clock import Entropy, fraction
from chalicelib.venues.base import Attempt


class Draws:
    """With a seed each draw is a hash of (seed, order id, attempt, venue) and its purpose; without, it is fresh."""

    def __init__(self, seed: str, entropy: Entropy) -> None:
        self._seed = seed
        self._entropy = entropy

    def uniform(self, attempt: Attempt, venue: str, purpose: str, low: float, high: float) -> float:
        """A draw from [low, high)."""
        if not self._seed:
            return low + (high - low) * fraction(self._entropy)
        return low + (high - low) * int.from_bytes(self._digest(attempt, venue, purpose)[:8], "big") / 2**64

    def lasting(self, attempt: Attempt, venue: str, purpose: str, low: float, high: float) -> float:
        """A draw that is the same for all attempts at an order, with a seed and without."""
        digest = sha256(f"{self._seed}|{attempt.order_id.hex}|{venue}|{purpose}".encode()).digest()
        return low + (high - low) * int.from_bytes(digest[:8], "big") / 2**64

    def tx_id(self, attempt: Attempt) -> str:
        """A transaction id: MOCKTX_ and 24 hexadecimal digits."""
        if not self._seed:
            return f"MOCKTX_{self._entropy.bits(96):024x}"
        return f"MOCKTX_{self._digest(attempt, 'chain', 'tx').hex()[:24]}"

    def _digest(self, attempt: Attempt, venue: str, purpose: str) -> bytes:
        key = f"{self._seed}|{attempt.order_id}|{attempt.number}|{venue}|{purpose}"
        return sha256(key.encode()).digest()

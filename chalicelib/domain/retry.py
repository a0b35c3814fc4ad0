"""How often an attempt is repeated and how long to wait before."""

MAX_ATTEMPTS = 3
# Claims of one order that may end by an expired lease before only the dead-letter function takes it.
MAX_CRASHES = 3
# An order whose attempts could not be made is tried for so long before each of them counts.
UNTRIED_SECONDS = 60
# From here on the dead-letter function asks for an unresolved transaction no more either: an operator must look.
MAX_LAST_RESORTS = 2 * MAX_CRASHES


def backoff_ms(attempts: int) -> int:
    """Milliseconds to wait after the `attempts`-th attempt failed: 500, 1000, 2000, ... at most 5000.

    As after the first where none has failed, but one could not be made.
    """
    return min(500 << max(attempts - 1, 0), 5000)


def rest_ms(rests: int) -> int:
    """Milliseconds that an order rests at least after an evaluation that failed: 1000, 2000, ... at most a minute."""
    return min(1000 << min(rests, 10), 60_000)


def whole_seconds(milliseconds: int) -> int:
    """Milliseconds rounded up to seconds, the unit of queue delays."""
    return -(-milliseconds // 1000)

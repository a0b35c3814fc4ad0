"""What traders want of each market: the bodies of their posts."""

from collections.abc import Callable
from random import Random
from typing import Any

TOKENS_OUT = ("USDC",) * 6 + ("FLAKY", "FLAKY", "FAIL", "BONK")
# On the pools: what is sold for what, the least and the most of it, and about what one of it pays at first. The most
# moves the price by percents, is split, and goes over SOL where no pool trades the pair.
PAIRS = (
    ("SOL", "USDC", 1, 400, 150.0),
    ("SOL", "USDC", 1, 400, 150.0),
    ("USDC", "SOL", 100, 40_000, 1 / 150),
    ("BONK", "USDC", 1_000_000, 100_000_000, 0.00002),
    ("SOL", "BONK", 1, 100, 7_480_000.0),
    ("USDC", "BONK", 100, 10_000, 50_000.0),
)
DECIMALS = {"SOL": 9, "USDC": 6, "BONK": 5}
TOLERANCES = ("0", "0.001", "0.01", "0.1", "0.5")
BUYS = 0.3
OWN_BOUND = 0.2


def of_the_simulated(rng: Random) -> dict[str, Any]:
    """SOL for one of its tokens."""
    return {"tokenIn": "SOL", "tokenOut": rng.choice(TOKENS_OUT), "amount": rng.randint(1, 9)}


def of_the_pools(rng: Random) -> dict[str, Any]:
    """One token for another, so much to sell or so much to buy, held to a tolerance or to a bound of the trader's."""
    sold, bought, least, most, price = rng.choice(PAIRS)
    amount = rng.randint(least, most)
    wish: dict[str, Any] = {"tokenIn": sold, "tokenOut": bought, "slippageTolerance": rng.choice(TOLERANCES)}
    buys, given = rng.random() < BUYS, rng.random() < OWN_BOUND
    pays = int(amount * price * 10 ** DECIMALS[bought])
    if buys:
        wish["amountOut"] = f"{pays / 10 ** DECIMALS[bought]:.{DECIMALS[bought]}f}"
        bound = {"maxAmountIn": str(int(amount * 10 ** DECIMALS[sold] * rng.uniform(1.0, 1.1)))}
    else:
        wish["amount"] = amount
        bound = {"minAmountOut": str(int(pays * rng.uniform(0.9, 1.0)))}
    return wish | bound if given else wish


WISHES: dict[str, Callable[[Random], dict[str, Any]]] = {"simulated": of_the_simulated, "pools": of_the_pools}

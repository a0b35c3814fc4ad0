"""What traders want of each market: the bodies of their posts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from chalicelib.domain.event import iso
from chalicelib.domain.token import find
from chalicelib.venues.simulated.venue import reference

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
# Of those that may rest. What always fails would never come to its end, unless it is to be tried once.
TYPES = ("market", "limit", "limit", "stop", "takeProfit", "recurring")
RESTING_OUT = ("USDC",) * 4 + ("BONK", "FLAKY")
# How far a trader's price may be from the market's.
NEAR = 0.12
# How long an order is good for that is so for a time.
GOOD_SECONDS = ((1.0, 6.0), (3.0, 120.0))
EXPIRES = 0.4
AT_ONCE = 0.3


def of_the_simulated(rng: Random, _: datetime) -> dict[str, Any]:
    """SOL for one of its tokens."""
    return {"tokenIn": "SOL", "tokenOut": rng.choice(TOKENS_OUT), "amount": rng.randint(1, 9)}


def of_the_pools(rng: Random, _: datetime) -> dict[str, Any]:
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


def of_the_patient(rng: Random, now: datetime) -> dict[str, Any]:
    """SOL for a token, at once or when its price is near where it is now."""
    order_type, token = rng.choice(TYPES), rng.choice(RESTING_OUT)
    wish: dict[str, Any] = {"tokenIn": "SOL", "tokenOut": token, "amount": rng.randint(1, 9)}
    if order_type == "market":
        return wish
    wish["orderType"] = order_type
    match order_type:
        case "limit":
            wish["limitPrice"] = price_near(rng, token)
            if rng.random() < AT_ONCE:
                return wish | {"tokenOut": rng.choice((token, "FAIL")), "timeInForce": rng.choice(("IOC", "FOK"))}
        case "recurring":
            wish |= {"every": rng.choice((60, 60, 90)), "count": rng.randint(1, 5)}
            wish |= rng.choice(({}, {"minPrice": price_near(rng, token)}, {"maxPrice": price_near(rng, token)}))
        case _:
            wish["triggerPrice"] = price_near(rng, token)
            if rng.random() < OWN_BOUND:
                wish["limitPrice"] = price_near(rng, token)
    return wish | ({"timeInForce": "GTD", "expiresAt": soon(rng, now)} if rng.random() < EXPIRES else {})


def dear(token: str) -> Decimal:
    """About how much SOL one of a token costs now."""
    sold, bought = find("SOL"), find(token)
    assert sold is not None
    assert bought is not None
    return reference(bought) / reference(sold)


def price_near(rng: Random, token: str) -> str:
    """A price of a token that is not far from what it costs now, in SOL."""
    return f"{dear(token) * Decimal(str(rng.uniform(1 - NEAR, 1 + NEAR))):.15f}"


def soon(rng: Random, now: datetime) -> str:
    """A moment by which an order may have come to its end, or not."""
    return iso(now + timedelta(seconds=rng.uniform(*rng.choice(GOOD_SECONDS))))


Wish = Callable[[Random, datetime], dict[str, Any]]
WISHES: dict[str, Wish] = {"simulated": of_the_simulated, "pools": of_the_pools, "resting": of_the_patient}

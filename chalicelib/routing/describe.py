"""Routes as clients see them."""

from typing import Any

from chalicelib.domain.order import Terms
from chalicelib.domain.quote import Quote, Route, price


def describe(terms: Terms, route: Route) -> dict[str, Any]:
    """A route as the building frame shows it. Amounts in base units, as text."""
    names = {token.key: token.name for token in (terms.token_in, route.middle, terms.token_out) if token}
    fees: dict[str, dict[str, int]] = {}
    for leg in route.legs:
        for mint, fee in ((leg.mint_in, leg.fee_in), (leg.mint_out, leg.fee_out)):
            if fee:
                of_venue = fees.setdefault(leg.venue, {})
                of_venue[names[mint]] = of_venue.get(names[mint], 0) + fee
    return {
        "chosen": _describe_quote(terms, route.chosen),
        "other": _describe_quote(terms, route.other) if route.other else None,
        "decision": route.decision,
        "legs": [
            {
                "dex": leg.venue,
                "pool": leg.pool,
                "tokenIn": names[leg.mint_in],
                "tokenOut": names[leg.mint_out],
                "amountIn": str(leg.amount_in),
                "amountOut": str(leg.amount_out),
            }
            for leg in route.legs
        ],
        "amountIn": str(route.chosen.amount_in),
        "amountOut": str(route.chosen.amount_out),
        "minAmountOut": str(route.min_amount_out),
        "maxAmountIn": str(route.max_amount_in),
        "priceImpact": round(route.price_impact, 6),
        "fees": {venue: {token: str(fee) for token, fee in each.items()} for venue, each in fees.items()},
        "bestSingle": None if route.best_single is None else str(route.best_single),
    }


def _describe_quote(terms: Terms, quote: Quote) -> dict[str, Any]:
    return {
        "dex": quote.venue,
        "price": price(terms.token_in, terms.token_out, quote.amount_in, quote.amount_out),
        "fee": float(quote.fee),
        "liquidity": quote.liquidity,
        "amountIn": str(quote.amount_in),
        "amountOut": str(quote.amount_out),
    }

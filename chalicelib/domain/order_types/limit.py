"""limit: swapped as soon as the whole of it costs at most its price."""

from chalicelib.domain.order import Terms
from chalicelib.domain.order_types.base import (
    EXPIRES_AT,
    FOK,
    GTC,
    GTD,
    IOC,
    Field,
    Kind,
    Resting,
    Watch,
    net_of,
    priced,
    time_in_force,
)
from chalicelib.domain.price import least_output, most_input

LIMIT_PRICE = "limitPrice"


def limit_bound(terms: Terms) -> int | None:
    """The stricter of what a limit price and the client's own bound on amounts make; None without a limit price."""
    price = priced(terms, LIMIT_PRICE)
    if price is None:
        return None
    if terms.amount_out:
        most = most_input(price, terms.amount_out, terms.token_in, terms.token_out)
        return min(most, terms.max_amount_in or most)
    return max(least_output(price, terms.amount, terms.token_in, terms.token_out), terms.min_amount_out)


def limit_watch(terms: Terms, impact: float) -> Watch | None:
    """The reference price at which an order of such an impact meets its limit price; None without one."""
    price = priced(terms, LIMIT_PRICE)
    return None if price is None else Watch(False, net_of(price, impact))


class Limit(Resting):
    """Evaluated at once and whenever the reference price has come down to what its size needs."""

    name = "limit"
    about = "swapped as soon as the whole of it costs at most limitPrice, tokenIn for one tokenOut"
    fields = (
        Field(name=LIMIT_PRICE, kind=Kind.PRICE, required=True, about="the most tokenIn for one tokenOut"),
        time_in_force(GTC, GTD, IOC, FOK),
        EXPIRES_AT,
    )

    def bound(self, terms: Terms) -> int | None:
        """Of its limit price."""
        return limit_bound(terms)

    def watch(self, terms: Terms, impact: float = 0.0) -> Watch | None:
        """A reference price low enough for its size."""
        return limit_watch(terms, impact)

"""What must hold of orders on pools: what they got, and what is written of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from chalicelib.domain.order import Terms
from chalicelib.store.ledger import Trade
from tests.replay import LEDGER, POOLS, Entry, Kept, disagreements

# What executed, beside what its order was promised: by its own terms, its first write-ahead, its last route.
EXECUTED = """
SELECT o.id::text, s.tx_id, s.outcome, s.amount_in, s.amount_out, s.legs::text, o.payload::text,
       first.min_amount_out, first.amount_in,
       (SELECT e.meta->'route' FROM order_events e
        WHERE e.order_id = o.id AND e.status = 'building' ORDER BY e.seq DESC LIMIT 1),
       (SELECT e.meta FROM order_events e WHERE e.order_id = o.id AND e.status = 'confirmed')
FROM simulated_swaps s JOIN orders o ON o.id = s.order_id
CROSS JOIN LATERAL (SELECT * FROM submissions w WHERE w.order_id = o.id ORDER BY w.written_at, w.attempt LIMIT 1) first
WHERE s.outcome = 'succeeded' ORDER BY s.tx_id
"""
# What transactions come to, and of which kinds they are.
OUTCOMES = ("succeeded", "reverted", "dead", "untried")
SHAPES = ("split", "over two hops")
STATEMENTS = (POOLS, LEDGER, EXECUTED)
Rows = Sequence[tuple[Any, ...]]


class _Executed(NamedTuple):
    """A row of EXECUTED."""

    order_id: str
    entry: Entry
    terms: Terms
    # The bounds of the first write-ahead.
    least: Decimal
    most: Decimal
    route: dict[str, Any]
    # Of the order's last frame, once it is there.
    confirmed: dict[str, str] | None


def broken(pools: Rows, ledger: Rows, executed: Rows) -> Iterator[str]:
    """What the rows of the statements say that must not be."""
    yield from disagreements([Kept(*row) for row in pools], [Entry(*row) for row in ledger])
    for order_id, tx_id, outcome, amount_in, amount_out, legs, payload, least, most, route, confirmed in executed:
        terms = Terms.read(payload)
        assert terms is not None
        entry = Entry(tx_id, outcome, amount_in, amount_out, legs)
        for promise, kept in _promises(_Executed(order_id, entry, terms, least, most, route, confirmed)).items():
            if not kept:
                yield f"order {order_id} breaks: {tx_id} {promise}"


def kinds(ledger: Rows) -> Counter[str]:
    """How many transactions there were of each kind."""
    found: Counter[str] = Counter()
    for entry in (Entry(*row) for row in ledger):
        trades = entry.trades
        hops = max((trade.hop for trade in trades), default=0)
        found[entry.outcome] += 1
        found["over two hops"] += hops > 1
        found["split"] += len(trades) > hops
    return found


def _promises(found: _Executed) -> dict[str, bool]:
    entry, terms = found.entry, found.terms
    assert entry.amount_in is not None
    assert entry.amount_out is not None
    first, last = (_hop(entry.trades, hop) for hop in (1, entry.trades[-1].hop))
    confirmed = found.confirmed
    return {
        "paid no less than its bound": entry.amount_out >= max(found.least, terms.min_amount_out, terms.amount_out),
        "cost no more than its bound": entry.amount_in <= min(found.most, terms.max_amount_in or found.most),
        "sold what was to be sold": not terms.amount or entry.amount_in <= terms.amount,
        "executed all legs of its route": [trade.pool for trade in entry.trades]
        == [leg["pool"] for leg in found.route["legs"]],
        "spent on its second hop what the first paid": last[0].hop == 1
        or sum(trade.amount_in for trade in last) <= sum(trade.amount_out for trade in first),
        "is what its order was told": confirmed is None
        or (confirmed["txHash"], confirmed["amountIn"], confirmed["amountOut"])
        == (entry.tx_id, str(entry.amount_in), str(entry.amount_out)),
    }


def _hop(trades: Sequence[Trade], hop: int) -> list[Trade]:
    return [trade for trade in trades if trade.hop == hop]

"""What clients see of an order and of a pool."""

from typing import Any

from chalicelib.domain.event import iso
from chalicelib.domain.pool import StoredPool
from chalicelib.domain.token import Registry, plain
from chalicelib.store.orders import OrderRecord


def show_order(record: OrderRecord) -> dict[str, Any]:
    """An order, with its events where they were asked for."""
    terms = record.terms
    shown: dict[str, Any] = {
        "orderId": str(record.order_id),
        "status": record.status,
        # Null where another release stored what this one cannot read.
        "tokenIn": terms and terms.token_in.name,
        "tokenOut": terms and terms.token_out.name,
        # Null too where an output is bought.
        "amount": plain(terms.amount, terms.token_in.decimals) if terms and terms.amount else None,
        "orderType": terms and terms.order_type,
        "seq": record.seq,
        "slippageTolerance": terms and f"{terms.slippage_tolerance:f}",
        "attempts": record.attempts,
        "failureReason": record.failure_reason,
        "txHash": record.tx_hash,
        "repeatOf": str(record.repeat_of) if record.repeat_of else None,
        "clientOrderId": record.client_order_id,
        "createdAt": iso(record.created_at),
        "lastUpdate": iso(record.last_update),
    }
    if terms and terms.amount_out:
        shown["amountOut"] = plain(terms.amount_out, terms.token_out.decimals)
    if terms and terms.min_amount_out:
        shown["minAmountOut"] = str(terms.min_amount_out)
    if terms and terms.max_amount_in:
        shown["maxAmountIn"] = str(terms.max_amount_in)
    if terms:
        shown |= terms.details
    if record.events is not None:
        shown["events"] = [
            {"seq": seq, "status": status, "meta": meta, "ts": ts} for seq, status, meta, ts in record.events
        ]
        # Every order has had one.
        shown["eventsKept"] = bool(record.events)
    return shown


def show_pool(pool: StoredPool, known: Registry) -> dict[str, Any]:
    """A pool, without its state."""
    return {
        "address": pool.address,
        "venue": pool.venue,
        "tokens": [{"symbol": known.symbol(mint), "mint": mint} for mint in (pool.mint_0, pool.mint_1)],
        "slot": pool.slot,
        "ageSeconds": round(pool.age, 3),
        "version": pool.version,
        "live": pool.live,
    }

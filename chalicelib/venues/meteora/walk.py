"""A swap bin by bin, as the program executes it."""

import msgspec

from chalicelib.venues.meteora.bins import Bin, Layer, Pair, Snapshot, bins_ahead
from chalicelib.venues.meteora.fees import PRECISION, before_fee
from chalicelib.venues.meteora.price import paid


class Walk(msgspec.Struct, frozen=True):
    """What a swap does to a pair. Amounts are between the transfer fees: what arrives in the pool and what it sends."""

    amount_out: int
    # In the token that the fee is taken in.
    fee: int
    # The bins that it met as they are afterwards, by id; the last is the active one.
    bins: dict[int, Bin]
    active_id: int
    accumulator: int


def walk(pair: Pair, snapshot: Snapshot, references: tuple[int, int], amount_in: int, zero_for_one: bool) -> Walk:
    """Sell an amount above 0 that has arrived in the pool. Raises InsufficientLiquidity or IncompleteState."""
    rules = pair.fees
    fee_on_input = takes_fee_of_input(pair, zero_for_one)
    left, amount_out, fee = amount_in, 0, 0
    met: dict[int, Bin] = {}
    for bin_id, found, layers in bins_ahead(pair, snapshot, zero_for_one):
        accumulator = rules.accumulated(references, bin_id)
        kept = rules.kept(accumulator)
        net = left * kept // PRECISION if fee_on_input else left
        used, out, met[bin_id] = _take(found, layers, net, zero_for_one)
        # Where all of the net input is used, what rounding left over is fee too, and the price stays in this bin.
        gross = left if used == net else before_fee(used, kept) if fee_on_input else used
        sent = out if fee_on_input else out * kept // PRECISION
        fee += gross - used if fee_on_input else out - sent
        amount_out += sent
        if used == net:
            return Walk(amount_out, fee, met, bin_id, accumulator)
        left -= gross
    raise AssertionError("bins_ahead raises where the bins end")


def takes_fee_of_input(pair: Pair, zero_for_one: bool) -> bool:
    """Whether the fee is taken of what comes in; else of what goes out."""
    return not (pair.fee_in_y and zero_for_one)


def _take(found: Bin, layers: list[Layer], net: int, zero_for_one: bool) -> tuple[int, int, Bin]:
    """Take a bin's layers in their order: the input used, the output, and the bin that remains."""
    price = found.price
    used, out = _fill(layers[0], net, price, zero_for_one)
    x, y = (used, -out) if zero_for_one else (-out, used)
    processed, unfilled = found.processed_order_remaining, found.open_order
    if len(layers) > 1:
        # What orders are paid is kept apart from the bin's amounts.
        paid_in, bought = _fill(layers[1], net - used, price, zero_for_one)
        used, out, processed = used + paid_in, out + bought, processed - bought
        paid_in, bought = _fill(layers[2], net - used, price, zero_for_one)
        used, out = used + paid_in, out + bought
        # Open orders are touched only when processed ones are used up, and only by input that buys some of them.
        if bought:
            processed, unfilled = unfilled - bought, 0
    remains = Bin(price, found.amount_x + x, found.amount_y + y, unfilled, processed, found.limit_order_ask_side)
    return used, out, remains


def _fill(layer: Layer, net: int, price: int, zero_for_one: bool) -> tuple[int, int]:
    """What so much input uses and buys of a layer."""
    amount, need = layer
    return (need, amount) if net >= need else (net, paid(net, price, zero_for_one))

"""What a pair's accounts hold, and the order in which a swap meets its bins."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping

import msgspec

from chalicelib.domain.errors import IncompleteState, InsufficientLiquidity
from chalicelib.domain.token import U64_MAX
from chalicelib.solana.mint import Mint
from chalicelib.venues.meteora.fees import FeeRules, Volatility
from chalicelib.venues.meteora.price import needed

BINS_PER_ARRAY = 70


class Bin(msgspec.Struct, frozen=True):
    """What a bin holds: market makers' tokens, and limit orders of one side. Amounts in base units."""

    # Y for one of X, Q64.64.
    price: int
    amount_x: int
    amount_y: int
    # Limit orders that no swap has touched, and what is left of those that one has.
    open_order: int = 0
    processed_order_remaining: int = 0
    # 0: the orders sell Y; else X.
    limit_order_ask_side: int = 0


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What swaps do not change, and the bins as they were read. Token 0 is X, token 1 is Y."""

    address: str
    mints: tuple[Mint, Mint]
    fees: FeeRules
    # Whether every fee is taken in Y; else it is taken of the input.
    fee_in_y: bool
    # Whether swaps fill limit orders.
    limit_orders: bool
    disabled: bool
    # Swaps start at this slot, and at this time in Unix seconds.
    opens_at_slot: int
    opens_at_timestamp: int
    # Ascending indexes of the bin arrays that exist. Where nothing tells (the bitmap extension was not read), the ends
    # of such a stretch are among them.
    arrays: tuple[int, ...]
    # Those that were read, and their bins, empty ones left out.
    loaded: frozenset[int]
    bins: Mapping[int, Bin]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What swaps change."""

    active_id: int
    volatility: Volatility
    # The balances of the pair's two token accounts.
    reserves: tuple[int, int]
    # All bins that may hold something, by id.
    bins: Mapping[int, Bin]


# What a layer of a bin sells, and the net input that takes it whole.
Layer = tuple[int, int]


def bins_ahead(pair: Pair, snapshot: Snapshot, zero_for_one: bool) -> Iterator[tuple[int, Bin, list[Layer]]]:
    """The bins that sell what a swap buys, from the active one on, each with its id and layers.

    The layers are the market makers' amount and, where there are limit orders, the processed and the open ones.
    Raises InsufficientLiquidity where the bins end, and IncompleteState where an array begins that was not read.
    """
    bins, active_id = snapshot.bins, snapshot.active_id
    for array in _arrays_ahead(pair, active_id // BINS_PER_ARRAY, zero_for_one):
        for bin_id in _ids_ahead(array, active_id, zero_for_one):
            if (found := bins.get(bin_id)) is None:
                continue
            amount, price = found.amount_y if zero_for_one else found.amount_x, found.price
            processed, unfilled = found.processed_order_remaining, found.open_order
            if (processed or unfilled) and pair.limit_orders and (found.limit_order_ask_side == 0) == zero_for_one:
                amounts: tuple[int, ...] = amount, processed, unfilled
            elif amount:
                amounts = (amount,)
            else:
                continue
            layers: list[Layer] = []
            for each in amounts:
                if (need := needed(each, price, zero_for_one)) > U64_MAX:
                    break
                layers.append((each, need))
            else:
                yield bin_id, found, layers
                continue
            # The program reckons in 64 bits, and refuses a swap that gets to a layer that takes more.
            if layers:
                yield bin_id, found, layers + [(0, 0)] * (len(amounts) - len(layers))
            raise InsufficientLiquidity("a bin takes more than 64 bits hold")
    raise InsufficientLiquidity(f"{pair.address} has no more bins that sell this token")


def _arrays_ahead(pair: Pair, active: int, zero_for_one: bool) -> Iterator[int]:
    for array in arrays_ahead(pair.arrays, active, zero_for_one):
        if array not in pair.loaded:
            raise IncompleteState(f"bin array {array} of {pair.address} was not loaded, or its bitmap extension")
        yield array


def arrays_ahead(arrays: tuple[int, ...], active: int, zero_for_one: bool) -> tuple[int, ...]:
    """Of ascending indexes of arrays those that a swap from the active one on can meet, in its order."""
    if zero_for_one:
        return arrays[: bisect_right(arrays, active)][::-1]
    return arrays[bisect_left(arrays, active) :]


def _ids_ahead(array: int, active_id: int, zero_for_one: bool) -> range:
    lowest, behind = array * BINS_PER_ARRAY, (array + 1) * BINS_PER_ARRAY
    if zero_for_one:
        return range(min(active_id, behind - 1), lowest - 1, -1)
    return range(max(active_id, lowest), behind)

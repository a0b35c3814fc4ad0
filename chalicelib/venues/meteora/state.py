"""From accounts of the chain to a pool. Layouts as in dlmm-sdk, idls/dlmm.json."""

from collections.abc import Iterator, Mapping
from struct import Struct

from chalicelib.domain.errors import IncompleteState
from chalicelib.solana import address as addresses
from chalicelib.solana.account import Account
from chalicelib.solana.mint import Mint
from chalicelib.solana.token_account import TokenAccount
from chalicelib.venues.meteora.bins import BINS_PER_ARRAY, Bin, Pair, Snapshot, arrays_ahead
from chalicelib.venues.meteora.fees import FeeRules, Volatility
from chalicelib.venues.meteora.pool import DlmmPool
from chalicelib.venues.meteora.price import price_of

PROGRAM = "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo"
_PAIR_BYTES = 904
_ARRAY_BYTES = 10_136
_EXTENSION_BYTES = 1_576
# In bytes: of one direction's bits in the extension.
_EXTENSION_SIDE = 768
# The lowest bin has the id -443,636, the highest 443,636.
_FARTHEST_BIN = 443_636
# The arrays -512 to 511 have their bits in the pair, others in its bitmap extension.
_REACH = 512
_NOBODY = bytes(addresses.BYTES)
# amount_x, amount_y, price, open_order, processed_order_remaining, limit_order_ask_side
_BIN = Struct("<QQ16s80xQ8xQ4xB3x")
# Pairs of these types open at a moment, counted in slots or in seconds.
_OPENING_TYPES = (1, 2)
_PAIR_TYPES = (0, 1, 2, 3)
_FEE_MODES = (0, 1)
_UNDETERMINED, _LIMIT_ORDERS = 0, 2
_FUNCTION_TYPES = (0, 1, 2)
_BY_SLOT, _BY_TIME = 0, 1


def extension_address(pair: str) -> str:
    """Where a pair's bitmap extension is, if it has one."""
    return addresses.derived((b"bitmap", addresses.to_bytes(pair)), PROGRAM)


def array_address(pair: str, array: int) -> str:
    """Where a pair's bin array of this index is."""
    index = array.to_bytes(8, "little", signed=True)
    return addresses.derived((b"bin_array", addresses.to_bytes(pair), index), PROGRAM)


def parts(pair: Account, arrays: int = 2) -> tuple[str, ...]:
    """The accounts to read a pool from, beside its own: mints, reserves, the bitmap extension, and bin arrays.

    The extension need not exist. Of the arrays whose bits are in the pair these are the nearest, so many a direction.
    """
    _require(pair, _PAIR_BYTES, "LbPair")
    active = pair.i32(76) // BINS_PER_ARRAY
    existing = tuple(_arrays(pair))
    nearest = {array for direction in (True, False) for array in arrays_ahead(existing, active, direction)[:arrays]}
    return (
        *(pair.address(offset) for offset in (88, 120, 152, 184)),
        extension_address(pair.pubkey),
        *(array_address(pair.pubkey, array) for array in sorted(nearest)),
    )


def read(address: str, accounts: Mapping[str, Account | None]) -> DlmmPool:
    """The pool at an address, from accounts by their address; None where the chain has none.

    Bin arrays and the bitmap extension may be missing: a swap that would need them raises IncompleteState. Raises
    IncompleteState where another account is missing, and MalformedAccount.
    """
    pair = _loaded(accounts, address)
    _require(pair, _PAIR_BYTES, "LbPair")
    x, y = (Mint.read(_loaded(accounts, pair.address(offset))) for offset in (88, 120))
    reserves = tuple(TokenAccount.read(_loaded(accounts, pair.address(offset))) for offset in (152, 184))
    for reserve, mint in zip(reserves, (x, y), strict=True):
        if reserve.mint != mint.address:
            raise pair.malformed(f"its reserve {reserve.address} holds {reserve.mint}, not {mint.address}")
    active_id = pair.i32(76)
    if abs(active_id) > _FARTHEST_BIN:
        raise pair.malformed(f"its active bin is {active_id}")
    arrays, unknown = _arrays(pair), []
    if extension_address(address) not in accounts:
        unknown = _ends_beyond(pair)
    elif (extension := accounts[extension_address(address)]) is not None:
        arrays += _arrays_beyond(pair, extension)
    elif not -_REACH <= active_id // BINS_PER_ARRAY < _REACH:
        # The program demands the extension where the price is, even if all arrays lie near.
        arrays = []
    found = {array: accounts.get(array_address(address, array)) for array in arrays}
    loaded = {array: account for array, account in found.items() if account is not None}
    bins = {bin_id: held for array, account in loaded.items() for bin_id, held in _bins(pair, array, account)}
    opens_at_slot, opens_at_timestamp = _opening(pair)
    return DlmmPool(
        Pair(
            address=address,
            mints=(x, y),
            fees=_fees(pair),
            fee_in_y=_one_of(pair, 36, _FEE_MODES) == 1,
            limit_orders=_limit_orders(pair),
            disabled=pair.u8(82) != 0,
            opens_at_slot=opens_at_slot,
            opens_at_timestamp=opens_at_timestamp,
            arrays=tuple(sorted((*arrays, *unknown))),
            loaded=frozenset(loaded),
            bins=bins,
        ),
        Snapshot(
            active_id=active_id,
            volatility=Volatility(pair.u32(40), pair.u32(44), pair.i32(48), pair.i64(56)),
            reserves=(reserves[0].amount, reserves[1].amount),
            bins=bins,
        ),
    )


def _loaded(accounts: Mapping[str, Account | None], address: str) -> Account:
    if (account := accounts.get(address)) is None:
        raise IncompleteState(f"account {address} was not loaded")
    return account


def _require(account: Account, length: int, name: str) -> None:
    account.require((PROGRAM,), length, name)


def _one_of(pair: Account, offset: int, known: tuple[int, ...]) -> int:
    """A byte that chooses among what this module knows."""
    if (value := pair.u8(offset)) not in known:
        raise pair.malformed(f"{value} at {offset} is none of {known}")
    return value


def _fees(pair: Account) -> FeeRules:
    bin_step = pair.u16(80)
    if not bin_step:
        raise pair.malformed("its bins have no width")
    return FeeRules(
        base_rate=pair.u16(8) * bin_step * 10 * 10 ** pair.u8(34),
        bin_step=bin_step,
        variable_fee_control=pair.u32(16),
        max_accumulator=pair.u32(20),
        filter_period=pair.u16(10),
        decay_period=pair.u16(12),
        reduction_factor=pair.u16(14),
    )


def _limit_orders(pair: Account) -> bool:
    """Whether swaps fill limit orders: pairs of no certain function do, unless they farm a reward."""
    function = _one_of(pair, 35, _FUNCTION_TYPES)
    farms = any(pair.slice(offset, addresses.BYTES) != _NOBODY for offset in (264, 408))
    return function == _LIMIT_ORDERS or (function == _UNDETERMINED and not farms)


def _opening(pair: Account) -> tuple[int, int]:
    """The slot and the time from which it is open."""
    kind, unit = _one_of(pair, 75, _PAIR_TYPES), _one_of(pair, 86, (_BY_SLOT, _BY_TIME))
    if kind not in _OPENING_TYPES:
        return 0, 0
    return (pair.u64(816), 0) if unit == _BY_SLOT else (0, pair.u64(816))


def _arrays(pair: Account) -> list[int]:
    """Those of the arrays -512 to 511 that exist."""
    return [bit - _REACH for bit in _bits(pair.slice(584, 128))]


def _ends_beyond(pair: Account) -> list[int]:
    """The ends of the stretches of arrays whose bits are in the extension, as far as the pair can have bins."""
    lowest, highest = pair.i32(24) // BINS_PER_ARRAY, pair.i32(28) // BINS_PER_ARRAY
    below = [lowest, -_REACH - 1] if lowest < -_REACH else []
    above = [_REACH, highest] if highest >= _REACH else []
    return below + above


def _arrays_beyond(pair: Account, extension: Account) -> list[int]:
    """Those of the others that exist."""
    _require(extension, _EXTENSION_BYTES, "BinArrayBitmapExtension")
    _demand_pair(extension, 8, pair)
    positive, negative = extension.slice(40, _EXTENSION_SIDE), extension.slice(40 + _EXTENSION_SIDE, _EXTENSION_SIDE)
    return [*(_REACH + bit for bit in _bits(positive)), *(-_REACH - 1 - bit for bit in _bits(negative))]


def _bits(bitmap: bytes) -> Iterator[int]:
    """The numbers of the bits that are 1."""
    left = int.from_bytes(bitmap, "little")
    while left:
        yield (left & -left).bit_length() - 1
        left &= left - 1


def _bins(pair: Account, array: int, account: Account) -> Iterator[tuple[int, Bin]]:
    """The bins of an array that hold something, with their ids."""
    _require(account, _ARRAY_BYTES, "BinArray")
    _demand_pair(account, 24, pair)
    if account.i64(8) != array:
        raise account.malformed(f"it is array {account.i64(8)}, not {array}")
    rows = _BIN.iter_unpack(account.slice(56, BINS_PER_ARRAY * _BIN.size))
    for bin_id, (x, y, price, open_order, processed, ask_side) in enumerate(rows, array * BINS_PER_ARRAY):
        if not (x or y or open_order or processed):
            continue
        if abs(bin_id) > _FARTHEST_BIN:
            raise account.malformed(f"there is no bin {bin_id}")
        known = int.from_bytes(price, "little") or price_of(bin_id, pair.u16(80))
        yield bin_id, Bin(known, x, y, open_order, processed, ask_side)


def _demand_pair(account: Account, offset: int, pair: Account) -> None:
    if account.address(offset) != pair.pubkey:
        raise account.malformed(f"it belongs to {account.address(offset)}, not {pair.pubkey}")

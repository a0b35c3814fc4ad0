"""From accounts of the chain to a pool. Layouts as in raydium-cp-swap, programs/cp-swap/src/states."""

from collections.abc import Mapping

from chalicelib.domain.errors import IncompleteState
from chalicelib.solana.account import Account
from chalicelib.solana.mint import Mint
from chalicelib.solana.token_account import TokenAccount
from chalicelib.venues.raydium.curve import MILLION
from chalicelib.venues.raydium.pool import CpmmPool, Rates, Side

PROGRAM = "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C"
_POOL_BYTES = 637
_CONFIG_BYTES = 236
_MOST_CREATOR_FEE_ON = 2


def parts(pool: Account) -> tuple[str, ...]:
    """The accounts that a pool is read from, beside its own: its fees, its vaults 0 and 1, its mints 0 and 1."""
    pool.require((PROGRAM,), _POOL_BYTES, "PoolState")
    return tuple(pool.address(offset) for offset in (8, 72, 104, 168, 200))


def read(address: str, accounts: Mapping[str, Account | None]) -> CpmmPool:
    """The pool at an address, from accounts by their address. Raises IncompleteState or MalformedAccount."""
    there = {each: account for each, account in accounts.items() if account is not None}
    try:
        pool = there[address]
        config, *others = (there[part] for part in parts(pool))
    except KeyError as error:
        raise IncompleteState(f"pool {address}: account {error} has not been loaded") from None
    vaults = TokenAccount.read(others[0]), TokenAccount.read(others[1])
    tokens = Mint.read(others[2]), Mint.read(others[3])
    for vault, token in zip(vaults, tokens, strict=True):
        if vault.mint != token.address:
            raise pool.malformed(f"its vault {vault.address} holds {vault.mint}, not {token.address}")
    if (creator_fee_on := pool.u8(389)) > _MOST_CREATOR_FEE_ON:
        raise pool.malformed(f"its creator's fee is taken on {creator_fee_on}")
    return CpmmPool(
        address=address,
        tokens=tokens,
        sides=(
            Side(vaults[0].amount, pool.u64(341), pool.u64(357), pool.u64(397)),
            Side(vaults[1].amount, pool.u64(349), pool.u64(365), pool.u64(405)),
        ),
        rates=_rates(config, creator=bool(pool.u8(390))),
        creator_fee_on=creator_fee_on,
        status=pool.u8(329),
        open_time=pool.u64(373),
    )


def _rates(config: Account, creator: bool) -> Rates:
    """The fees of a configuration, its creator's where the pool has one."""
    config.require((PROGRAM,), _CONFIG_BYTES, "AmmConfig")
    rates = Rates(trade=config.u64(12), protocol=config.u64(20), fund=config.u64(28), creator=config.u64(108) * creator)
    # As the program bounds them.
    if rates.trade + rates.creator >= MILLION or rates.protocol + rates.fund > MILLION:
        raise config.malformed(f"its fees are more than the whole: {rates}")
    return rates

"""The form in which a pool's accounts are kept: documents of the Solana CLI, or addresses of what is not there."""

from collections.abc import Mapping

import msgspec

from chalicelib.domain.errors import MalformedAccount
from chalicelib.solana.account import Account
from chalicelib.store.pools import Snapshot
from chalicelib.venues.pool import Pool

_raw = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = b'"'


def snapshot(
    pool: Pool, accounts: Mapping[str, Account | None], *, live: bool, slot: int, read_at: str | None = None
) -> Snapshot:
    """A pool to be stored, with all that it was read from; None is an account that the chain does not have."""
    return Snapshot(
        address=pool.address,
        venue=pool.venue,
        mint_0=pool.mints[0],
        mint_1=pool.mints[1],
        decimals_0=pool.decimals[0],
        decimals_1=pool.decimals[1],
        live=live,
        slot=slot,
        read_at=read_at,
        accounts=[
            msgspec.Raw(msgspec.json.encode(address) if account is None else account.to_json())
            for address, account in accounts.items()
        ],
    )


def accounts_of(text: str) -> dict[str, Account | None]:
    """What a stored pool is read from, by address. Raises MalformedAccount."""
    found: dict[str, Account | None] = {}
    try:
        for raw in _raw.decode(text):
            if bytes(raw).startswith(_TEXT):
                found[msgspec.json.decode(raw, type=str)] = None
            else:
                account = Account.from_json(bytes(raw))
                found[account.pubkey] = account
    except msgspec.MsgspecError as error:
        raise MalformedAccount(f"no accounts of a pool: {error}") from None
    return found

"""Token accounts of the SPL token program and of Token-2022, such as a pool's vaults."""

from typing import Self

import msgspec

from chalicelib.solana import address
from chalicelib.solana.account import Account

_BYTES = 165
_STATE = 108
_KIND = 165
_KIND_ACCOUNT = 2


class TokenAccount(msgspec.Struct, frozen=True):
    """What somebody holds of a token: `owner` is the holder, `amount` in base units."""

    address: str
    mint: str
    owner: str
    amount: int

    @classmethod
    def read(cls, account: Account) -> Self:
        """The token account in an account. Raises MalformedAccount."""
        account.require(address.TOKEN_PROGRAMS, _BYTES)
        extended = len(account.data) > _BYTES
        if extended and (account.owner != address.TOKEN_2022_PROGRAM or account.u8(_KIND) != _KIND_ACCOUNT):
            raise account.malformed(f"its {len(account.data)} bytes are no token account")
        if not account.u8(_STATE):
            raise account.malformed("it is a token account that was not initialised")
        return cls(account.pubkey, account.address(0), account.address(32), account.u64(64))

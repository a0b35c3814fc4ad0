"""Mints of the SPL token program and of Token-2022, whose transfers may cost a fee.

Layouts and fees as in spl-token `state.rs`, and in spl-token-2022 `extension/mod.rs` and
`extension/transfer_fee/mod.rs`.
"""

from collections.abc import Iterator
from typing import Self

import msgspec

from chalicelib.solana import address
from chalicelib.solana.account import Account

BASIS_POINTS = 10_000
_BYTES = 82
# Token-2022 pads a mint with extensions to the length of a token account, so that this byte tells them apart.
_KIND = 165
# A multisig's length, which no mint has: its bytes are its signers'.
_MULTISIG_BYTES = 355
_KIND_MINT = 1
_EXTENSIONS = 166
_TRANSFER_FEE = 1
_TRANSFER_FEE_BYTES = 108


class TransferFee(msgspec.Struct, frozen=True):
    """What Token-2022 withholds of a transfer, from an epoch on: a share in basis points, at most `maximum`."""

    epoch: int = 0
    maximum: int = 0
    basis_points: int = 0

    def of(self, gross: int) -> int:
        """The fee of a transfer of `gross`."""
        return min(-(-gross * self.basis_points // BASIS_POINTS), self.maximum)

    def gross(self, net: int) -> int:
        """The least transfer of which `net` arrives. It may be more than a u64 holds."""
        if not net or not self.basis_points:
            return net
        capped = net + self.maximum
        kept = BASIS_POINTS - self.basis_points
        return min(-(-net * BASIS_POINTS // kept), capped) if kept else capped


NO_FEE = TransferFee()


class Mint(msgspec.Struct, frozen=True, kw_only=True):
    """A mint. Authorities are None where nobody has them."""

    address: str
    # The token program that owns it.
    program: str
    decimals: int
    supply: int = 0
    mint_authority: str | None = None
    freeze_authority: str | None = None
    older_fee: TransferFee = NO_FEE
    newer_fee: TransferFee = NO_FEE

    def transfer_fee(self, epoch: int) -> TransferFee:
        """The fee in force in an epoch."""
        return self.newer_fee if epoch >= self.newer_fee.epoch else self.older_fee

    @classmethod
    def read(cls, account: Account) -> Self:
        """The mint in an account. Raises MalformedAccount."""
        account.require(address.TOKEN_PROGRAMS, _BYTES)
        if not account.u8(45):
            raise account.malformed("it is a mint that was not initialised")
        older, newer = _transfer_fees(account)
        return cls(
            address=account.pubkey,
            program=account.owner,
            decimals=account.u8(44),
            supply=account.u64(36),
            mint_authority=_optional(account, 0),
            freeze_authority=_optional(account, 46),
            older_fee=older,
            newer_fee=newer,
        )


def _optional(account: Account, offset: int) -> str | None:
    """An address behind a u32 that says whether it is there."""
    if (present := account.u32(offset)) > 1:
        raise account.malformed(f"{present} at {offset} is neither 0 nor 1")
    return account.address(offset + 4) if present else None


def _transfer_fees(account: Account) -> tuple[TransferFee, TransferFee]:
    """The older and the newer fee."""
    if len(account.data) == _BYTES:
        return NO_FEE, NO_FEE
    extended = account.owner == address.TOKEN_2022_PROGRAM and len(account.data) != _MULTISIG_BYTES
    if not extended or account.u8(_KIND) != _KIND_MINT:
        raise account.malformed(f"its {len(account.data)} bytes are no mint")
    for kind, start, length in _extensions(account):
        if kind == _TRANSFER_FEE:
            if length != _TRANSFER_FEE_BYTES:
                raise account.malformed(f"its TransferFeeConfig has {length} bytes, not {_TRANSFER_FEE_BYTES}")
            # Two authorities and the withheld amount come first.
            return _transfer_fee(account, start + 72), _transfer_fee(account, start + 90)
    return NO_FEE, NO_FEE


def _extensions(account: Account) -> Iterator[tuple[int, int, int]]:
    """Each extension's type, offset and length, up to the first of type 0 or the end, a last odd byte aside."""
    offset = _EXTENSIONS
    while offset + 2 <= len(account.data) and (kind := account.u16(offset)):
        length = account.u16(offset + 2)
        yield kind, offset + 4, length
        offset += 4 + length
    if offset > len(account.data):
        raise account.malformed("its last extension ends behind its data")


def _transfer_fee(account: Account, offset: int) -> TransferFee:
    fee = TransferFee(account.u64(offset), account.u64(offset + 8), account.u16(offset + 16))
    if fee.basis_points > BASIS_POINTS:
        raise account.malformed(f"its transfer fee is {fee.basis_points} of {BASIS_POINTS}")
    return fee

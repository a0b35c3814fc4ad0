"""Accounts: bytes that a program owns, and the integers and addresses in them."""

from base64 import b64decode, b64encode
from collections.abc import Collection
from functools import lru_cache
from hashlib import sha256
from typing import Literal, Self

import msgspec

from chalicelib.domain import base58
from chalicelib.domain.errors import MalformedAccount
from chalicelib.solana import address

_DISCRIMINATOR_BYTES = 8


class _Contents(msgspec.Struct, frozen=True):
    owner: str
    data: tuple[str, Literal["base64"]]
    lamports: int = 0
    executable: bool = False


class _Document(msgspec.Struct, frozen=True, omit_defaults=True):
    pubkey: str
    account: _Contents
    slot: int | None = None


class Account(msgspec.Struct, frozen=True):
    """An account as it was at a slot, None where that is not known. Its readers raise MalformedAccount.

    Offsets are in bytes from the start of the data; integers are little-endian.
    """

    pubkey: str
    owner: str
    data: bytes
    slot: int | None = None
    lamports: int = 0

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """The account in a document of the Solana CLI (`solana account --output json`), its data in base64."""
        try:
            document = msgspec.json.decode(text, type=_Document)
            data = b64decode(document.account.data[0], validate=True)
            address.to_bytes(document.pubkey)
            address.to_bytes(document.account.owner)
        except ValueError as error:
            raise MalformedAccount(f"no account of the Solana CLI: {error}") from None
        return cls(document.pubkey, document.account.owner, data, document.slot, document.account.lamports)

    def to_json(self) -> bytes:
        """The document that `from_json` reads."""
        contents = _Contents(self.owner, (b64encode(self.data).decode(), "base64"), self.lamports)
        return msgspec.json.encode(_Document(self.pubkey, contents, self.slot))

    def require(self, owners: Collection[str], length: int, name: str | None = None) -> None:
        """Demand one of these owners, at least this length and, of a named Anchor account, its discriminator."""
        if self.owner not in owners:
            raise self.malformed(f"its owner is {self.owner}, not {' or '.join(owners)}")
        if len(self.data) < length:
            raise self.malformed(f"it has {len(self.data)} bytes, not {length}")
        if name is not None and self.data[:_DISCRIMINATOR_BYTES] != discriminator(name):
            raise self.malformed(f"it is no {name}: its discriminator is {self.data[:_DISCRIMINATOR_BYTES].hex()}")

    def is_a(self, owner: str, name: str) -> bool:
        """Whether it is a program's account of this Anchor name."""
        return self.owner == owner and self.data[:_DISCRIMINATOR_BYTES] == discriminator(name)

    def malformed(self, what: str) -> MalformedAccount:
        """The error to raise for what is wrong with it."""
        return MalformedAccount(f"account {self.pubkey}: {what}")

    def slice(self, offset: int, length: int) -> bytes:
        """So many bytes of the data."""
        if offset < 0 or offset + length > len(self.data):
            raise self.malformed(f"it has {len(self.data)} bytes, none at {offset} to {offset + length}")
        return self.data[offset : offset + length]

    def address(self, offset: int) -> str:
        """An address."""
        return base58.encode(self.slice(offset, address.BYTES))

    def u8(self, offset: int) -> int:
        """An unsigned integer of 8 bits; the others are named alike."""
        return self.slice(offset, 1)[0]

    def u16(self, offset: int) -> int:
        """Of 16 bits."""
        return int.from_bytes(self.slice(offset, 2), "little")

    def u32(self, offset: int) -> int:
        """Of 32 bits."""
        return int.from_bytes(self.slice(offset, 4), "little")

    def u64(self, offset: int) -> int:
        """Of 64 bits."""
        return int.from_bytes(self.slice(offset, 8), "little")

    def u128(self, offset: int) -> int:
        """Of 128 bits."""
        return int.from_bytes(self.slice(offset, 16), "little")

    def i32(self, offset: int) -> int:
        """A signed one of 32 bits."""
        return int.from_bytes(self.slice(offset, 4), "little", signed=True)

    def i64(self, offset: int) -> int:
        """A signed one of 64 bits."""
        return int.from_bytes(self.slice(offset, 8), "little", signed=True)


@lru_cache
def discriminator(name: str) -> bytes:
    """The bytes by which Anchor marks an account of this name."""
    return sha256(f"account:{name}".encode()).digest()[:_DISCRIMINATOR_BYTES]

"""What a caller shows: an API key, or a ticket for one socket. Both are random, and only their hashes are stored."""

import hashlib
import re

import msgspec

from chalicelib.domain import base58
from chalicelib.domain.clock import Entropy

PREFIX_LENGTH = 12
# 58^44 is more than 2^256.
SECRET_LENGTH = 44

_LETTER = f"[{base58.ALPHABET}]"
_KEY = re.compile(rf"oe_({_LETTER}{{{PREFIX_LENGTH}}})_({_LETTER}{{{SECRET_LENGTH}}})")
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE | re.ASCII)
_TICKET = re.compile(rf"{_LETTER}{{{SECRET_LENGTH}}}")
PREFIX = re.compile(rf"{_LETTER}{{{PREFIX_LENGTH}}}")
# Longer than any header that holds a key.
MAX_HEADER_LENGTH = 200


class ApiKey(msgspec.Struct, frozen=True):
    """A key: oe_<prefix>_<secret>. The prefix names it, the secret is known to its holder alone."""

    prefix: str
    secret: str

    @property
    def text(self) -> str:
        """As its holder sends it."""
        return f"oe_{self.prefix}_{self.secret}"

    @property
    def digest(self) -> bytes:
        """What is stored of the secret."""
        return digest(self.secret)


def new_key(entropy: Entropy) -> ApiKey:
    """A key that nobody has had before."""
    return ApiKey(_draw(entropy, PREFIX_LENGTH), new_ticket(entropy))


def new_ticket(entropy: Entropy) -> str:
    """A ticket, or a secret, that nobody can guess."""
    return _draw(entropy, SECRET_LENGTH)


def from_header(authorization: str) -> ApiKey | None:
    """The key in an Authorization header, `Bearer oe_…`; None where there is none."""
    if len(authorization) > MAX_HEADER_LENGTH:
        return None
    bearer = _BEARER.fullmatch(authorization)
    key = _KEY.fullmatch(bearer[1]) if bearer else None
    return ApiKey(key[1], key[2]) if key else None


def is_ticket(text: str) -> bool:
    """Whether a text has the form of a ticket."""
    return _TICKET.fullmatch(text) is not None


def digest(secret: str) -> bytes:
    """The SHA-256 of a secret: it is long and random, so nothing slower is needed."""
    return hashlib.sha256(secret.encode()).digest()


def _draw(entropy: Entropy, length: int) -> str:
    # Twenty bits more for each letter than it takes: all letters are as likely but for a part in a million.
    value, letters = entropy.bits(26 * length), []
    for _ in range(length):
        value, at = divmod(value, len(base58.ALPHABET))
        letters.append(base58.ALPHABET[at])
    return "".join(letters)

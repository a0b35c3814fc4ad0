"""Tokens: symbols, mints and decimals."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from chalicelib.domain import base58

UNKNOWN_DECIMALS = 9
# Amounts on chain have 64 bits.
U64_MAX = 2**64 - 1
SYMBOL = re.compile(r"[A-Za-z0-9$._-]{1,20}")
MINT = re.compile(rf"[{base58.ALPHABET}]{{32,44}}")
MINT_BYTES = 32


class Token(msgspec.Struct, frozen=True):
    """A token that can be swapped. `name` is its symbol, or its mint where no symbol is known."""

    name: str
    decimals: int
    mint: str = ""

    @property
    def key(self) -> str:
        """What it is known by to pools: its mint, or its name where no mint is known."""
        return self.mint or self.name

    @property
    def symbol(self) -> str | None:
        """Its symbol; None where it is known by its mint alone."""
        return None if self.name == self.mint else self.name


def is_mint(text: str) -> bool:
    """Whether a text is the base58 of 32 bytes, as mints and other addresses are."""
    return MINT.fullmatch(text) is not None and len(base58.decode(text)) == MINT_BYTES


class _Listed(msgspec.Struct, frozen=True):
    """A token in the file."""

    symbol: str
    mint: str
    decimals: int


KNOWN = tuple(
    Token(each.symbol, each.decimals, each.mint)
    for each in msgspec.json.decode((Path(__file__).parent / "tokens.json").read_bytes(), type=list[_Listed])
)


class Registry:
    """Tokens by mint, and by symbol, which several may carry.

    Where others are `made_up`, any other well-formed symbol or mint names a token of 9 decimals.
    """

    def __init__(self, tokens: Sequence[Token] = KNOWN, *, made_up: bool = False) -> None:
        self.tokens = tuple(tokens)
        self._made_up = made_up
        # No symbol is as long as a mint.
        self._named: dict[str, list[Token]] = {}
        for token in self.tokens:
            for name in {token.mint, token.symbol.upper() if token.symbol else token.mint}:
                self._named.setdefault(name, []).append(token)

    def find(self, text: str) -> Sequence[Token] | None:
        """The tokens that a symbol (in any case) or a base58 mint of 32 bytes names; None where `text` is neither."""
        if is_mint(text):
            name, mint = text, text
        # Matched before it is upper-cased: upper() turns some letters outside ASCII into ones inside (a long s into S).
        elif SYMBOL.fullmatch(text) and any(letter.isalnum() for letter in text):
            name, mint = text.upper(), ""
        else:
            return None
        found = self._named.get(name, [])
        return found or ([Token(name, UNKNOWN_DECIMALS, mint)] if self._made_up else [])

    def symbol(self, mint: str) -> str | None:
        """What the token of a mint is called; None where that is not known."""
        found = self._named.get(mint)
        return found[0].symbol if found else None


# Those of the simulated market.
ANY = Registry(made_up=True)


def find(text: str) -> Token | None:
    """The token that a symbol or mint names, made up where the file has none; None where `text` is neither."""
    found = ANY.find(text)
    return found[0] if found else None


def plain(amount: int, decimals: int) -> str:
    """Base units as a plain decimal."""
    whole, part = divmod(amount, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)

"""Tokens: symbols, mints and decimals."""

import re

import msgspec

UNKNOWN_DECIMALS = 9
SYMBOL = re.compile(r"[A-Za-z0-9$._-]{1,20}")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
MINT = re.compile(rf"[{_BASE58}]{{32,44}}")
MINT_BYTES = 32


class Token(msgspec.Struct, frozen=True):
    """A token that can be swapped. `name` is its symbol, or its mint where no symbol is known."""

    name: str
    decimals: int
    mint: str = ""


KNOWN = (
    Token("SOL", 9, "So11111111111111111111111111111111111111112"),
    Token("USDC", 6, "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
    Token("USDT", 6, "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"),
    Token("MSOL", 9, "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So"),
    Token("JITOSOL", 9, "J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn"),
    Token("JUP", 6, "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN"),
    Token("RAY", 6, "4k3Dyjzvzp8eMZWUXbBCjEvwSkkk59S5iCNLY3QrkX6R"),
    Token("BONK", 5, "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"),
    Token("WIF", 6, "EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm"),
    Token("PYTH", 6, "HZ1JovNiVvGrGNiiYvEozEVgZ58xaU3RKwX8eACQBCt3"),
    Token("ETH", 8, "7vfCXTUXx5WJV5JADk17DUJ4ksgau7utNKj4b963voxs"),
    Token("WBTC", 8, "3NZ9JMVBmGAqocybic2c7LQCJScmgsAZ6vQqTDzcqmJh"),
)
_BY_SYMBOL = {token.name: token for token in KNOWN}
_BY_MINT = {token.mint: token for token in KNOWN}


def find(text: str) -> Token | None:
    """The token that a symbol (in any case) or a base58 mint of 32 bytes names; None where `text` is neither."""
    if MINT.fullmatch(text) and _base58_length(text) == MINT_BYTES:
        return _BY_MINT.get(text) or Token(text, UNKNOWN_DECIMALS, text)
    # Matched before it is upper-cased: upper() turns some letters outside ASCII into ones inside (a long s into S).
    if SYMBOL.fullmatch(text) and any(letter.isalnum() for letter in text):
        return _BY_SYMBOL.get(text.upper()) or Token(text.upper(), UNKNOWN_DECIMALS)
    return None


def plain(amount: int, decimals: int) -> str:
    """Base units as a plain decimal."""
    whole, part = divmod(amount, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)


def _base58_length(text: str) -> int:
    """How many bytes a base58 text stands for."""
    value = 0
    for letter in text:
        value = value * 58 + _BASE58.index(letter)
    leading = len(text) - len(text.lstrip("1"))
    return leading + (value.bit_length() + 7) // 8

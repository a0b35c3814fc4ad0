"""Base58, the alphabet of Solana's addresses and transaction ids."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT = {letter: digit for digit, letter in enumerate(ALPHABET)}


def decode(text: str) -> bytes:
    """The bytes that a base58 text stands for. Raises ValueError for a letter outside the alphabet."""
    value = 0
    for letter in text:
        if (digit := _DIGIT.get(letter)) is None:
            raise ValueError(f"{letter!r} is no base58 letter")
        value = value * 58 + digit
    leading = len(text) - len(text.lstrip("1"))
    return bytes(leading) + value.to_bytes((value.bit_length() + 7) // 8, "big")


def encode(data: bytes) -> str:
    """Bytes as base58."""
    value = int.from_bytes(data, "big")
    letters = ""
    while value:
        value, digit = divmod(value, 58)
        letters = ALPHABET[digit] + letters
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + letters

"""Addresses: base58 texts of 32 bytes, and those that programs derive."""

from functools import lru_cache
from hashlib import sha256

from chalicelib.domain import base58

TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105  (a program's address, no secret)
TOKEN_2022_PROGRAM = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105
TOKEN_PROGRAMS = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
MEMO_PROGRAM = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
SYSVARS = "Sysvar1111111111111111111111111111111111111"
CLOCK = "SysvarC1ock11111111111111111111111111111111"

BYTES = 32
_LONGEST = 44
_MOST_SEEDS = 15
_MARKER = b"ProgramDerivedAddress"
# The field and the constant of edwards25519: -x² + y² = 1 + D x² y².
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def to_bytes(address: str) -> bytes:
    """The 32 bytes of an address. Raises ValueError where it isn't one."""
    raw = base58.decode(address) if len(address) <= _LONGEST else b""
    if len(raw) != BYTES:
        raise ValueError(f"not the base58 of {BYTES} bytes: {address[: _LONGEST + 1]!r}")
    return raw


@lru_cache(maxsize=4096)
def derived(seeds: tuple[bytes, ...], program: str) -> str:
    """The address that a program derives from seeds (at most 15 of at most 32 bytes). Raises ValueError for others."""
    if len(seeds) > _MOST_SEEDS or any(len(seed) > BYTES for seed in seeds):
        raise ValueError(f"at most {_MOST_SEEDS} seeds of at most {BYTES} bytes make an address")
    start, end = b"".join(seeds), to_bytes(program) + _MARKER
    for bump in range(255, -1, -1):
        raw = sha256(start + bytes([bump]) + end).digest()
        if not _on_curve(raw):
            return base58.encode(raw)
    raise ValueError("no bump leads off the curve")


def _on_curve(raw: bytes) -> bool:
    """Whether there is a point of edwards25519 with this y, so that somebody may hold the key of the address."""
    y = int.from_bytes(raw, "little") & 2**255 - 1
    # x² = u / v is a square where u * v is one: Euler's criterion.
    u, v = y * y - 1, _D * y * y + 1
    return pow(u * v, (_P - 1) // 2, _P) <= 1

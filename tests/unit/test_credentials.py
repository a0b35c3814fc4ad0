"""API keys and tickets: their form, their headers, and what is stored of them."""

import re
from collections import Counter
from hashlib import sha256

import pytest

from chalicelib.domain import base58
from chalicelib.domain.clock import SystemEntropy
from chalicelib.domain.credentials import ApiKey, digest, from_header, is_ticket, new_key, new_ticket

KEY = ApiKey("1" * 12, "2" * 44)


class Told:
    """Entropy that is all zeros or all ones."""

    def __init__(self, bit: int) -> None:
        self._bit = bit

    def bits(self, count: int) -> int:
        return (2**count - 1) * self._bit


def test_a_new_key_is_read_back_from_its_header() -> None:
    key = new_key(SystemEntropy())
    assert re.fullmatch(r"oe_[1-9A-Za-z]{12}_[1-9A-Za-z]{44}", key.text)
    assert from_header(f"Bearer {key.text}") == key
    assert key.digest == digest(key.secret) == sha256(key.secret.encode()).digest()


def test_no_two_keys_are_alike() -> None:
    entropy = SystemEntropy()
    keys = [new_key(entropy) for _ in range(1000)]
    assert len({key.prefix for key in keys}) == len({key.secret for key in keys}) == 1000


@pytest.mark.parametrize("bit", [0, 1])
def test_whatever_is_drawn_has_its_length(bit: int) -> None:
    assert is_ticket(new_ticket(Told(bit)))
    assert from_header(f"Bearer {new_key(Told(bit)).text}")


def test_each_letter_is_as_likely() -> None:
    entropy = SystemEntropy()
    counts = Counter("".join(new_ticket(entropy) for _ in range(2000)))
    assert set(counts) == set(base58.ALPHABET)
    mean = 2000 * 44 / 58
    # Eight standard deviations.
    assert all(abs(count - mean) < 8 * mean**0.5 for count in counts.values())


@pytest.mark.parametrize("header", [f"bearer {KEY.text}", f"BEARER   {KEY.text}  "])
def test_a_scheme_is_read_however_it_is_spelt(header: str) -> None:
    assert from_header(header) == KEY


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        KEY.text,
        f"Bearer{KEY.text}",
        f" Bearer {KEY.text}",
        f"Bearer\t{KEY.text}",
        f"Bearer {KEY.text}\n",
        f"Bearer {KEY.text}=",
        f"Bearer {KEY.text[:-1]}",
        f"Bearer {KEY.text.upper()}",
        f"Bearer {KEY.text}, Bearer {KEY.text}",
        f"Bearer {KEY.text} Bearer {KEY.text}",
        "Bearer oe_" + "1" * 12 + "_" + "l" * 44,
        "Bearer oe_" + "1" * 12 + "_" + "\u0661" * 44,
        f"\u212aearer {KEY.text}",
        "Bearer " + " " * 300 + KEY.text,
    ],
    ids=ascii,
)
def test_anything_else_is_no_key(header: str) -> None:
    assert from_header(header) is None


@pytest.mark.parametrize("text", ["", "1" * 43, "1" * 45, "0" * 44, "1" * 43 + "\n", "\udcff" * 44], ids=ascii)
def test_anything_else_is_no_ticket(text: str) -> None:
    assert not is_ticket(text)

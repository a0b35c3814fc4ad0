"""The domain's rules: lifecycle, tokens, retries, ids and the bytes of a frame."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from uuid import RFC_4122, UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain import event, token
from chalicelib.domain.clock import SystemClock, SystemEntropy, fraction, uuid7
from chalicelib.domain.errors import Fault
from chalicelib.domain.event import Event
from chalicelib.domain.lifecycle import TERMINAL, TRANSITIONS, Status, is_legal
from chalicelib.domain.order import Terms
from chalicelib.domain.retry import MAX_ATTEMPTS, backoff_ms, whole_seconds
from tests.hostile import ORDER_ID

# The lifecycle.


def test_every_status_has_a_row_in_the_table() -> None:
    assert set(TRANSITIONS) == set(Status)


def test_terminal_is_terminal() -> None:
    assert frozenset({Status.CONFIRMED, Status.FAILED}) <= TERMINAL
    assert not any(is_legal(before, after) for before in TERMINAL for after in Status)


def test_an_order_walks_from_pending_to_confirmed() -> None:
    way = [Status.PENDING, Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED]
    assert all(is_legal(before, after) for before, after in pairwise(way))


@pytest.mark.parametrize("before", [Status.ROUTING, Status.BUILDING, Status.SUBMITTED])
def test_every_step_of_an_attempt_may_be_retried_or_fail(before: Status) -> None:
    assert is_legal(before, Status.PENDING)
    assert is_legal(before, Status.FAILED)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Status.PENDING, Status.BUILDING),
        (Status.PENDING, Status.SUBMITTED),
        (Status.PENDING, Status.CONFIRMED),
        (Status.ROUTING, Status.SUBMITTED),
        (Status.ROUTING, Status.CONFIRMED),
        (Status.BUILDING, Status.CONFIRMED),
        (Status.SUBMITTED, Status.ROUTING),
    ],
)
def test_no_step_is_skipped_or_taken_back(before: Status, after: Status) -> None:
    assert not is_legal(before, after)


def test_nothing_stays_where_it_is() -> None:
    # But for an open order, which stays open when it is amended.
    assert [status for status in Status if is_legal(status, status)] == [Status.OPEN]


def test_every_living_status_leads_to_an_end() -> None:
    def reachable(status: Status, seen: frozenset[Status] = frozenset()) -> frozenset[Status]:
        following = TRANSITIONS[status] - seen
        return seen.union(following, *(reachable(after, seen | following) for after in following))

    for status in set(Status) - TERMINAL:
        assert TERMINAL & reachable(status)


# Tokens.

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(value: bytes) -> str:
    number, text = int.from_bytes(value), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(value) - len(value.lstrip(b"\0"))) + text


@pytest.mark.parametrize("known", token.KNOWN, ids=lambda known: known.name)
def test_known_tokens_are_found_by_symbol_and_mint(known: token.Token) -> None:
    assert token.find(known.name) is known
    assert token.find(known.name.lower()) is known
    assert token.find(known.mint) is known
    assert known in token.Registry().find(known.name.lower())
    assert token.Registry().find(known.mint) == [known]


@pytest.mark.parametrize("known", token.KNOWN, ids=lambda known: known.name)
def test_known_mints_are_32_bytes(known: token.Token) -> None:
    value = 0
    for letter in known.mint:
        value = value * 58 + _BASE58.index(letter)
    assert base58(value.to_bytes(32)) == known.mint


def test_known_tokens_are_distinct() -> None:
    assert len({known.name for known in token.KNOWN}) == len({known.mint for known in token.KNOWN}) == len(token.KNOWN)


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_are_a_mint(value: bytes) -> None:
    mint = base58(value)
    found = token.find(mint)
    assert found is not None
    assert found.mint == mint


@given(st.binary(min_size=22, max_size=34).filter(lambda value: len(value) != 32))
def test_other_lengths_are_no_mint(value: bytes) -> None:
    assert token.find(base58(value)) is None


@pytest.mark.parametrize("symbol", ["FAIL", "FLAKY", "foo", "A", "$X", "USD.e", "a-b_c"])
def test_an_unknown_symbol_is_one_token_in_any_case(symbol: str) -> None:
    found = token.find(symbol)
    assert found == token.find(symbol.lower()) == token.find(symbol.upper())
    assert found == token.Token(symbol.upper(), token.UNKNOWN_DECIMALS)


@pytest.mark.parametrize("text", ["", " ", "...", "$", "A B", "SOL\n", "S" * 21, "ſol", "WıF", "ＳＯＬ", "SOL\0"])
def test_other_text_is_no_token(text: str) -> None:
    assert token.find(text) is None


@given(st.text(alphabet=st.characters()))
def test_a_token_has_an_ascii_name(text: str) -> None:
    found = token.find(text)
    assert found is None or (found.name.isascii() and found.name.isprintable())


def test_a_registry_finds_all_that_carry_a_symbol_and_makes_nothing_up() -> None:
    one, two = token.Token("mSOL", 9, "2" * 44), token.Token("MSOL", 6, "3" * 44)
    nameless = token.Token("4" * 44, 0, "4" * 44)
    registry = token.Registry([one, two, nameless])
    assert registry.tokens == (one, two, nameless)
    assert registry.find("Msol") == [one, two]
    assert registry.find("3" * 44) == [two]
    assert registry.find("4" * 44) == [nameless]
    assert registry.find("FOO") == registry.find("5" * 44) == []
    assert registry.find("...") is registry.find("6" * 31) is None
    assert [registry.symbol(mint) for mint in ("2" * 44, "4" * 44, "5" * 44)] == ["mSOL", None, None]


# Terms.

TERMS = Terms(token.KNOWN[0], token.Token("FOO", 9), 3_000_000_000, Decimal("0.02"))


class LaterTerms(Terms, frozen=True):
    """Terms of a release with one more field."""

    limit: int | None = None


def test_the_digest_of_terms_is_the_same_in_every_release() -> None:
    pinned = "8e3258c4caf1c58ee5b75a5a7f64408238cbecc124a38f7959fd0c25ca7d4a3a"
    assert TERMS.digest().hex() == pinned
    later = LaterTerms(TERMS.token_in, TERMS.token_out, TERMS.amount, TERMS.slippage_tolerance)
    assert later.digest() == TERMS.digest()
    assert msgspec.structs.replace(later, limit=1).digest() != TERMS.digest()


# Retries.


def test_backoff_doubles_up_to_five_seconds() -> None:
    assert [backoff_ms(attempts) for attempts in range(7)] == [500, 500, 1000, 2000, 4000, 5000, 5000]
    assert MAX_ATTEMPTS == 3


@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, 0), (1, 1), (500, 1), (1000, 1), (1001, 2), (5000, 5)])
def test_queue_delays_are_rounded_up(milliseconds: int, seconds: int) -> None:
    assert whole_seconds(milliseconds) == seconds


# Ids.


class Frozen(SystemClock):
    """A clock that stands still."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


class Dealt:
    """Entropy that deals what it was given, and remembers what was asked for."""

    def __init__(self, bits: Iterator[int]) -> None:
        self.dealt = bits

    def bits(self, count: int) -> int:
        return next(self.dealt) & (2**count - 1)


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_an_id_is_a_uuid_of_version_7_that_carries_its_time(moment: datetime) -> None:
    made = uuid7(Frozen(moment), SystemEntropy())
    assert (made.version, made.variant) == (7, RFC_4122)
    assert abs((made.int >> 80) - moment.timestamp() * 1000) < 1


def test_an_id_follows_the_example_of_the_standard() -> None:
    moment = datetime.fromtimestamp(0x017F22E279B0 / 1000, UTC)
    made = uuid7(Frozen(moment), Dealt(iter([0xCC3, 0x18C4DC0C0C07398F])))
    assert made == UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


def test_later_ids_sort_after_earlier_ones() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = [uuid7(Frozen(start + timedelta(milliseconds=step)), SystemEntropy()) for step in range(50)]
    assert made == sorted(made)
    assert len(set(made)) == 50


def test_a_fraction_is_at_least_zero_and_less_than_one() -> None:
    assert fraction(Dealt(iter([0]))) == 0.0
    assert 0.99 < fraction(Dealt(iter([2**53 - 1]))) < 1.0


# Events and frames.


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC), "2026-01-02T03:04:05.678Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-01-01T21:34:05.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(moment: datetime, text: str) -> None:
    assert event.iso(moment) == text


def test_the_bytes_of_a_frame() -> None:
    pending = Event(1, Status.PENDING, event.raw({"bound": True}), datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC))
    assert event.frame_bytes(UUID(ORDER_ID), pending) == (
        b'{"orderId":"' + ORDER_ID.encode() + b'","status":"pending","meta":{"bound":true},'
        b'"ts":"2026-01-02T03:04:05.006Z","seq":1}'
    )


def test_a_frame_carries_its_meta_as_it_is_stored() -> None:
    stored = msgspec.Raw(b'{"executedPrice": 0.0066, "txHash": "MOCKTX_0123456789abcdef01234567"}')
    confirmed = Event(5, Status.CONFIRMED, stored, datetime.now(UTC))
    frame = event.frame_bytes(UUID(ORDER_ID), confirmed)
    assert stored in frame
    assert list(json.loads(frame)) == ["orderId", "status", "meta", "ts", "seq"]


@pytest.mark.parametrize("code", [Fault.INVALID_AMOUNT, "invalid_amount"])
def test_the_bytes_of_an_error(code: str) -> None:
    assert event.error_bytes("amount é", code) == '{"error":"amount é","code":"invalid_amount"}'.encode()

"""The frames that clients send."""

import json
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import ClientError, Fault
from chalicelib.streaming.protocol import FRAME_LIMIT, MAX_SEQ, Bind, from_query, parse
from tests.hostile import FRAMES, ORDER_ID, Frame

ID = UUID(ORDER_ID)


def refused(text: str) -> ClientError:
    with pytest.raises(ClientError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    "spelling",
    [
        ORDER_ID,
        ORDER_ID.upper(),
        f"<{ORDER_ID}>",
        f" {ORDER_ID} ",
        f" <{ORDER_ID}> ",
        f"< {ORDER_ID} >",
        f"{ORDER_ID} ",
    ],
)
def test_binds_an_order_in_any_spelling_of_its_id(spelling: str) -> None:
    assert parse(json.dumps({"orderId": spelling})) == Bind(ID, 0)
    assert from_query(spelling, None) is not None
    assert parse(from_query(spelling, None) or "") == Bind(ID, 0)


@pytest.mark.parametrize(("text", "after_seq"), [("0", 0), ("1", 1), ("2147483647", MAX_SEQ), ("null", 0)])
def test_resumes_after_a_frame(text: str, after_seq: int) -> None:
    assert parse(f'{{"orderId": "{ORDER_ID}", "afterSeq": {text}}}') == Bind(ID, after_seq)


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("None", "invalid_json", "JSON"),
        ("{}", "missing_order_id", "orderId"),
        ('{"orderId": 5}', "invalid_order_id", "orderId"),
        (f'{{"orderId": "{ORDER_ID}", "afterSeq": "1"}}', "invalid_after_seq", "afterSeq"),
        (f'{{"orderId": "{ORDER_ID}", "action": "x"}}', "unknown_field", '"action"'),
    ],
)
def test_a_refusal_names_the_fault(text: str, code: str, named: str) -> None:
    error = refused(text)
    assert error.code == code
    assert named in str(error)


def test_there_are_enough_hostile_frames_under_distinct_names() -> None:
    assert len(FRAMES) >= 30
    assert len({hostile.name for hostile in FRAMES}) == len(FRAMES)


@pytest.mark.parametrize("hostile", FRAMES, ids=lambda hostile: hostile.name)
def test_hostile_frames_are_refused(hostile: Frame) -> None:
    error = refused(hostile.text)
    assert error.code == hostile.code
    assert len(str(error)) < 300
    assert str(error).isascii()


def test_a_query_without_an_order_asks_nothing() -> None:
    assert from_query(None, None) is None


@pytest.mark.parametrize("order_id", [quote(f"<{ORDER_ID}>"), f"%3c{ORDER_ID}%3E", quote(f" {ORDER_ID} ")])
def test_a_query_may_still_be_encoded(order_id: str) -> None:
    assert parse(from_query(order_id, "7") or "") == Bind(ID, 7)


@pytest.mark.parametrize(
    ("order_id", "after_seq", "code"),
    [
        ("", None, "missing_order_id"),
        (None, "3", "missing_order_id"),
        ("nonsense", None, "invalid_order_id"),
        ("%FF%00", None, "invalid_text"),
        ("\0", None, "invalid_text"),
        ("\ud800", None, "invalid_text"),
        (ORDER_ID + " " * 1000, None, "invalid_order_id"),
        ("%" * 1000, None, "invalid_order_id"),
        ("🚀" * 1000, "🚀" * 1000, "invalid_order_id"),
        (ORDER_ID, "", "invalid_after_seq"),
        (ORDER_ID, "-1", "invalid_after_seq"),
        (ORDER_ID, "1.0", "invalid_after_seq"),
        (ORDER_ID, "007", "invalid_after_seq"),
        (ORDER_ID, "true", "invalid_after_seq"),
        (ORDER_ID, "NaN", "invalid_after_seq"),
        (ORDER_ID, "٣", "invalid_after_seq"),
        (ORDER_ID, "2147483648", "invalid_after_seq"),
        (ORDER_ID, "9" * 100_000, "invalid_after_seq"),
        (f'{ORDER_ID}", "afterSeq": "1', None, "invalid_order_id"),
    ],
)
def test_a_query_is_stored_unchecked_and_refused_later(order_id: str | None, after_seq: str | None, code: str) -> None:
    frame = from_query(order_id, after_seq)
    assert frame is not None
    assert refused(frame).code == code


_TEXT = st.text(alphabet=st.characters(), max_size=400)


@given(st.none() | _TEXT, st.none() | _TEXT | st.integers().map(str))
def test_any_query_is_storable_and_bounded(order_id: str | None, after_seq: str | None) -> None:
    frame = from_query(order_id, after_seq)
    if frame is None:
        return
    assert frame.isascii()
    assert "\0" not in frame
    assert len(frame) <= FRAME_LIMIT
    _only_client_errors(frame)


@given(st.uuids(), st.integers(0, MAX_SEQ), st.booleans())
def test_a_query_says_what_a_frame_says(order_id: UUID, after_seq: int, in_brackets: bool) -> None:
    text = f"<{order_id}>" if in_brackets else str(order_id)
    by_query = from_query(text, str(after_seq))
    assert by_query is not None
    assert parse(by_query) == parse(json.dumps({"orderId": text, "afterSeq": after_seq})) == Bind(order_id, after_seq)


def _only_client_errors(text: str) -> None:
    try:
        bind = parse(text)
    except ClientError as error:
        assert error.code in set(Fault)
        assert str(error).isascii()
        return
    assert 0 <= bind.after_seq <= MAX_SEQ


@given(_TEXT)
def test_any_text_is_a_bind_or_refused(text: str) -> None:
    _only_client_errors(text)


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT | st.just(ORDER_ID) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(["orderId", "afterSeq", "extra"]), _VALUES) | st.lists(_VALUES))
def test_any_json_is_a_bind_or_refused(value: object) -> None:
    _only_client_errors(json.dumps(value))

"""The strict reading of JSON: one meaning or a ClientError."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import ClientError, Fault, TooLarge
from chalicelib.domain.strict_json import MAX_DEPTH, Number, parse, quoted, refuse_unknown
from tests.hostile import nested

LIMIT = 1024


def refused(body: bytes | str, limit: int = LIMIT) -> ClientError:
    with pytest.raises(ClientError) as caught:
        parse(body, limit)
    return caught.value


@pytest.mark.parametrize("body", [b'{"a": "b"}', '{"a": "b"}', b' \r\n\t{"a"\t:\n"b"} '])
def test_reads_an_object_from_bytes_and_text(body: bytes | str) -> None:
    assert parse(body, LIMIT) == {"a": "b"}


def test_reads_every_kind_of_value() -> None:
    body = '{"t": true, "f": false, "n": null, "s": "\\u00e9\\ud83d\\ude80é", "a": [1, {"b": []}], "o": {}}'
    assert parse(body, LIMIT) == {
        "t": True,
        "f": False,
        "n": None,
        "s": "é🚀é",
        "a": [Number("1"), {"b": []}],
        "o": {},
    }


@pytest.mark.parametrize("text", ["0", "-0", "3.0", "1e400000", "-1.50E-07", "9" * 900])
def test_a_number_keeps_its_text(text: str) -> None:
    assert parse(f'{{"n": {text}}}', LIMIT) == {"n": Number(text)}


def test_the_limit_counts_bytes() -> None:
    body = '{"a": "é"}'
    size = len(body.encode())
    assert parse(body, size) == {"a": "é"}
    assert parse(body.encode(), size) == {"a": "é"}
    for beyond in (refused(body, size - 1), refused(body.encode(), size - 1)):
        assert isinstance(beyond, TooLarge)
        assert beyond.code == "too_large"
        assert str(size - 1) in str(beyond)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"", "invalid_json", "empty"),
        ("\n", "invalid_json", "empty"),
        (b'{"a": 1} {}', "invalid_json", "Extra data (character 10)"),
        (b'{"a": NaN}', "invalid_json", "NaN"),
        (b'{"a": -Infinity}', "invalid_json", "-Infinity"),
        (b'{"a": "\x01"}', "invalid_json", "control character (character"),
        (b'\xef\xbb\xbf{"a": 1}', "invalid_json", ""),
        (b'{"a": "\xff"}', "invalid_text", "UTF-8"),
        ('{"a": "\ud800"}', "invalid_text", "UTF-8"),
        ('{"a": "\ufffd"}', "invalid_text", "U+FFFD"),
        ('{"a": "\0"}', "invalid_text", "NUL"),
        (b'{"a": "\\u0000"}', "invalid_text", "NUL"),
        (b'{"\\ud800": 1}', "invalid_text", "surrogate"),
        (b'{"a": [{"b": ["\\udfff"]}]}', "invalid_text", "surrogate"),
        (b'{"a": 1, "\\u0061": 2}', "duplicate_key", '"a"'),
        (b'{"a": [{"b": 1, "b": 1}]}', "duplicate_key", '"b"'),
        (b'{"\\ud800": 1, "\\ud800": 2}', "duplicate_key", '"\\ud800"'),
        (b"[]", "not_an_object", "array"),
        (b'"a"', "not_an_object", "string"),
        (b"1", "not_an_object", "number"),
        (b"null", "not_an_object", "null"),
        (b"false", "not_an_object", "boolean"),
    ],
)
def test_refuses_with_a_code_and_says_why(body: bytes | str, code: str, said: str) -> None:
    error = refused(body)
    assert error.code == code
    assert said in str(error)


def test_nesting_is_bounded() -> None:
    inside = MAX_DEPTH - 1
    assert parse(f'{{"a": {nested("[", "]", inside)}}}', LIMIT)
    assert parse(nested('{"a":', "}", MAX_DEPTH), LIMIT)
    assert refused(f'{{"a": {nested("[", "]", inside + 1)}}}').code == "too_deep"
    assert refused(nested('{"a":', "}", MAX_DEPTH + 1)).code == "too_deep"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_beyond_the_interpreter_is_refused(opening: str, closing: str) -> None:
    assert refused(nested(opening, closing, 100_000), 10_000_000).code == "too_deep"


def test_names_few_unknown_fields_and_shortly() -> None:
    refuse_unknown({"a": 1}, ("a", "b"))
    with pytest.raises(ClientError) as caught:
        refuse_unknown({"x" * 1000: 1, "\ud800": 2, "a": 3, "y": 4, "z": 5}, ("a", "b"))
    assert caught.value.code == "unknown_field"
    expected = f'unknown field "{"x" * 40}...", "\\ud800", "y" and 1 more; accepted: a, b'
    assert str(caught.value) == expected


@given(st.text(alphabet=st.characters()))
def test_quoted_text_is_short_and_printable(text: str) -> None:
    shown = quoted(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 2 + 43 * 12


@given(st.one_of(st.binary(), st.text(alphabet=st.characters()), st.text(alphabet='{}[]":,\\u0dEe+-.NaI \0')))
def test_any_input_is_an_object_or_a_client_error(body: bytes | str) -> None:
    try:
        assert isinstance(parse(body, 64), dict)
    except ClientError as error:
        assert error.code in set(Fault)
        assert str(error).isascii()


_KEYS = st.text(alphabet=string.printable + "é🚀")
_VALUES = st.recursive(
    st.none() | st.booleans() | _KEYS, lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner), max_leaves=12
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=5), st.booleans())
def test_reads_back_what_json_wrote(value: dict[str, object], ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only), 1_000_000) == value

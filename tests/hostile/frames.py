"""Socket frames: text that a WebSocket client can send, so none holds a lone surrogate other than as an escape."""

from typing import NamedTuple

from chalicelib.domain.errors import Fault
from tests.hostile.shapes import nested

ORDER_ID = "0190f3c4-8a1e-7b2c-9d3e-4f5061728394"


class Frame(NamedTuple):
    """A socket frame that must be answered with one error frame."""

    name: str
    text: str
    code: str


def _bind(order_id: str = f'"{ORDER_ID}"', more: str = "") -> str:
    return f'{{"orderId": {order_id}{more}}}'


def _frames(code: Fault, texts: dict[str, str]) -> list[Frame]:
    return [Frame(name, text, code) for name, text in texts.items()]


FRAMES: tuple[Frame, ...] = (
    *_frames(
        Fault.INVALID_JSON,
        {
            "empty": "",
            "a missing body": "None",
            "spaces": "   ",
            "ping": "ping",
            "the id alone": ORDER_ID,
            "the id in brackets": f"<{ORDER_ID}>",
            "unquoted key": f'{{orderId: "{ORDER_ID}"}}',
            "single quotes": f"{{'orderId': '{ORDER_ID}'}}",
            "unclosed": '{"orderId": ',
            "trailing text": _bind() + " thanks",
            "two frames in one": _bind() + "\n" + _bind(),
            "byte order mark": "\ufeff" + _bind(),
            "base64 of bytes": "AAECAwQFBgcICQ==",
            "Python's bytes": "b'\\x00\\x01'",
            "afterSeq NaN": _bind(more=', "afterSeq": NaN'),
            "afterSeq -Infinity": _bind(more=', "afterSeq": -Infinity'),
            "afterSeq with a leading zero": _bind(more=', "afterSeq": 01'),
            "afterSeq hex": _bind(more=', "afterSeq": 0x1'),
        },
    ),
    *_frames(
        Fault.NOT_AN_OBJECT,
        {"array": f"[{_bind()}]", "string": f'"{ORDER_ID}"', "number": "1", "null": "null", "true": "true"},
    ),
    *_frames(
        Fault.INVALID_TEXT,
        {
            "NUL": "\0",
            "NUL in the id": _bind(f'"{ORDER_ID}\0"'),
            "NUL escaped": _bind(f'"{ORDER_ID}\\u0000"'),
            "bytes replaced": "\ufffd\ufffd\ufffd",
            "a replaced byte in the id": _bind(f'"{ORDER_ID[:-1]}\ufffd"'),
            "lone surrogate": _bind('"\\ud800"'),
            "lone surrogate in a key": _bind(more=', "\\udc00": 1'),
        },
    ),
    *_frames(
        Fault.DUPLICATE_KEY,
        {
            "two ids": _bind(more=f', "orderId": "{ORDER_ID}"'),
            "afterSeq twice": _bind(more=', "afterSeq": 1, "afterSeq": 1'),
        },
    ),
    *_frames(
        Fault.TOO_DEEP,
        {
            "deep arrays": nested("[", "]", 3000),
            "deep objects": nested('{"orderId":', "}", 600),
            "a deep id": _bind(nested("[", "]", 50)),
        },
    ),
    *_frames(Fault.TOO_LARGE, {"9 KiB of spaces": _bind() + " " * 9216, "a long id": _bind(f'"{"a" * 9216}"')}),
    *_frames(
        Fault.MISSING_ORDER_ID,
        {
            "no field": "{}",
            "another spelling": f'{{"order_id": "{ORDER_ID}"}}',
            "another field": '{"action": "ping"}',
            "afterSeq alone": '{"afterSeq": 1}',
            "id null": _bind("null"),
            "id empty": _bind('""'),
        },
    ),
    *_frames(
        Fault.INVALID_ORDER_ID,
        {
            "a number": _bind("1"),
            "a huge number": _bind("1e999999"),
            "zero": _bind("0"),
            "false": _bind("false"),
            "an array": _bind(f'["{ORDER_ID}"]'),
            "an object": _bind("{}"),
            "the placeholder": _bind('"<id>"'),
            "empty brackets": _bind('"<>"'),
            "one bracket": _bind(f'"<{ORDER_ID}"'),
            "brackets twice": _bind(f'"<<{ORDER_ID}>>"'),
            "brackets outward": _bind(f'">{ORDER_ID}<"'),
            "two spaces": _bind(f'"  {ORDER_ID}  "'),
            "a line break": _bind(f'"{ORDER_ID}\\n"'),
            "braces": _bind(f'"{{{ORDER_ID}}}"'),
            "a URN": _bind(f'"urn:uuid:{ORDER_ID}"'),
            "no hyphens": _bind(f'"{ORDER_ID.replace("-", "")}"'),
            "one digit less": _bind(f'"{ORDER_ID[:-1]}"'),
            "one digit more": _bind(f'"{ORDER_ID}0"'),
            "not hex": _bind(f'"{ORDER_ID[:-1]}g"'),
            "fullwidth digits": _bind(f'"{ORDER_ID[:-1]}４"'),
            "SQL": _bind('"\' OR 1=1 --"'),
        },
    ),
    *_frames(
        Fault.INVALID_AFTER_SEQ,
        {
            f"afterSeq {text}": _bind(more=f', "afterSeq": {text}')
            for text in (
                "-1",
                "-0",
                "1.0",
                "0.5",
                "1e0",
                "1e999999",
                '"1"',
                '""',
                "true",
                "false",
                "[]",
                "{}",
                "2147483648",
                "99999999999999999999",
            )
        },
    ),
    Frame("afterSeq of 5,000 digits", _bind(more=f', "afterSeq": {"9" * 5000}'), Fault.INVALID_AFTER_SEQ),
    *_frames(
        Fault.UNKNOWN_FIELD,
        {
            "a field more": _bind(more=', "action": "bind"'),
            "afterSeq in another spelling": _bind(more=', "after_seq": 1'),
            "a long field": _bind(more=f', "{"x" * 5000}": 1'),
        },
    ),
)

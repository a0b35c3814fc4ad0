"""Bodies of POSTs, in bytes as sent on the wire.

An edge in front may replace bytes that are not UTF-8; the code is the same.
"""

import json

from chalicelib.domain.errors import Fault
from tests.hostile.numbers import AMOUNTS_TOGETHER, NUMBERS
from tests.hostile.posts import JSON_TYPE, SOL_MINT, USDC_MINT, WRONG_TYPES, Body, as_is, order, purchase, with_field
from tests.hostile.shapes import nested

_NOT_JSON = as_is(
    Fault.INVALID_JSON,
    {
        "empty": b"",
        "spaces only": b" \r\n\t ",
        "a word": b"None",
        "undefined": b"undefined",
        "unclosed object": b'{"tokenIn": "SOL"',
        "unclosed string": b'{"tokenIn": "SOL',
        "trailing comma": b'{"tokenIn": "SOL",}',
        "trailing text": order() + b" x",
        "two objects": order() + order(),
        "single quotes": b"{'tokenIn': 'SOL', 'tokenOut': 'USDC', 'amount': 3}",
        "unquoted keys": b'{tokenIn: "SOL", tokenOut: "USDC", amount: 3}',
        "comment": b"/* order */ " + order(),
        "byte order mark": b"\xef\xbb\xbf" + order(),
        "line break in a string": b'{"tokenIn": "S\nOL", "tokenOut": "USDC", "amount": 3}',
        "unknown escape": order(tokenIn='"\\x41"'),
        "cut escape": order(tokenIn='"\\u12"'),
        "form": b"tokenIn=SOL&tokenOut=USDC&amount=3",
        "xml": b"<order><tokenIn>SOL</tokenIn></order>",
        "no-break space": b"\xc2\xa0" + order(),
    },
)

_NOT_A_NUMBER = [
    Body(f"{field}: {name}", order(**{field: text}), JSON_TYPE, Fault.INVALID_JSON)
    for field in ("amount", "slippageTolerance")
    for name, text in {
        "NaN": "NaN",
        "Infinity": "Infinity",
        "-Infinity": "-Infinity",
        "hex number": "0x10",
        "leading plus": "+3",
        "leading zero": "03",
        "no whole part": ".5",
        "no fraction": "5.",
        "cut exponent": "1e",
        "fullwidth digit": "３",
        "Arabic digit": "٣",
        "grouped digits": "1_000",
        "two numbers": "1 000",
    }.items()
]

_NOT_AN_OBJECT = as_is(
    Fault.NOT_AN_OBJECT,
    {
        "array": b"[" + order() + b"]",
        "empty array": b"[]",
        "string": b'"SOL"',
        "order in a string": json.dumps(order().decode()).encode(),
        "number": b"3",
        "huge number": b"9" * 10_000,
        "null": b"null",
        "boolean": b"true",
    },
)

_NOT_TEXT = as_is(
    Fault.INVALID_TEXT,
    {
        "NUL alone": b"\0",
        "NUL after the object": order() + b"\0",
        "NUL in a string": order(tokenIn='"SO\0L"'),
        "NUL escaped": order(tokenIn='"SOL\\u0000"'),
        "NUL escaped in a key": order(**{"to\\u0000": "1"}),
        "0xff": b"\xff" + order(),
        "overlong encoding": order().replace(b"SOL", b"\xc0\xaf"),
        "cut sequence": order().replace(b"SOL", b"\xe2\x82"),
        "encoded surrogate": order().replace(b"SOL", b"\xed\xa0\x80"),
        "latin-1": order().replace(b"SOL", "SÖL".encode("latin-1")),
        "UTF-16": order().decode().encode("utf-16"),
        "UTF-16 without a mark": order().decode().encode("utf-16-le"),
        "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
        "replacement character": order(tokenIn='"S\ufffdL"'),
        "lone high surrogate": order(tokenIn='"\\ud800"'),
        "lone low surrogate": order(tokenOut='"\\udfff"'),
        "surrogates in the wrong order": order(tokenOut='"\\udc00\\ud800"'),
        "lone surrogate in a key": order(**{"\\ud800": "1"}),
        "lone surrogate, nested": order(extra='[{"a": ["\\udead"]}]'),
    },
)

_NOT_ONE_MEANING = [
    *as_is(
        Fault.DUPLICATE_KEY,
        {
            "amount twice": order()[:-1] + b', "amount": 4}',
            "amount twice, the same": order()[:-1] + b', "amount": 3.0}',
            "key twice by an escape": order()[:-1] + b', "tokenI\\u006e": "USDT"}',
            "key twice, nested": order(extra='{"a": 1, "a": 2}'),
            "empty key twice": b'{"": 1, "": 2}',
        },
    ),
    *as_is(
        Fault.TOO_DEEP,
        {
            "deep array": nested("[", "]", 5000).encode(),
            "deep array, unclosed": b"[" * 16_000,
            "deep objects": nested('{"a":', "}", 2000).encode(),
            "deep array in a field": order(amount=nested("[", "]", 5000)),
            "deep object in a field": order(tokenIn=nested('{"a":', "}", 100)),
            "deep mixture": order(extra=nested('[{"a":', "}]", 20)),
        },
    ),
    *as_is(
        Fault.TOO_LARGE,
        {
            "17 KiB of spaces": order() + b" " * 17 * 1024,
            "a token of 20,000 characters": order(tokenIn='"' + "S" * 20_000 + '"'),
            "a number of 20,000 digits": order(amount="1" * 20_000),
            "100,000 brackets": b"[" * 100_000,
        },
    ),
]

_WRONG_MEDIA = [
    Body(f"declared as {content_type}", order(), content_type, Fault.UNSUPPORTED_MEDIA_TYPE)
    for content_type in (
        "text/plain",
        "text/plain; charset=utf-8",
        "text/html",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/xml",
        "application/jsonp",
        "application/json-seq",
        "json",
        "*/*",
    )
]

_FIELDS = [
    *as_is(
        Fault.MISSING_FIELDS,
        {
            "no field": b"{}",
            "other fields only": b'{"foo": 1}',
            "wrong case": b'{"tokenin": "SOL", "tokenout": "USDC", "Amount": 3}',
            "no tokenIn": order(tokenIn=""),
            "no tokenOut": order(tokenOut=""),
            "no amount": order(amount=""),
            "tokenIn null": order(tokenIn="null"),
            "tokenOut null": order(tokenOut="null"),
            "amount null": order(amount="null"),
            "tokenIn empty": order(tokenIn='""'),
            "tokenOut empty": order(tokenOut='""'),
            "amount empty": order(amount='""'),
            "amountOut null": purchase(amountOut="null"),
            "amountOut empty, amount null": order(amount="null", amountOut='""'),
            "bounds without an amount": order(amount="", minAmountOut='"1"', maxAmountIn='"1"'),
        },
    ),
    *as_is(
        Fault.UNKNOWN_FIELD,
        {
            "a field more": order(price="1"),
            "the prototype": order(__proto__="{}"),
            "a field of another spelling": order(slippage="0.01"),
            "an empty field name": order(**{"": "1"}),
            "a thousand fields": order(**{f"f{number}": "1" for number in range(1000)}),
            "a very long field name": order(**{"x" * 10_000: "1"}),
            "a field name in another script": order(**{"сумма": "1"}),
        },
    ),
]

_BAD_TOKENS = WRONG_TYPES | {
    "a number": "5",
    "zero": "0",
    "a space": '" "',
    "surrounding spaces": '" SOL "',
    "a line break": '"SOL\\n"',
    "dots only": '"..."',
    "too long a symbol": '"ABCDEFGHIJKLMNOPQRSTU"',
    "a path": '"../../etc"',
    "SQL": '"SOL\'; DROP TABLE orders; --"',
    "markup": '"<script>"',
    "fullwidth letters": '"ＳＯＬ"',
    "a letter that upper-cases to ASCII": '"ſOL"',
    "an emoji": '"\\ud83d\\ude80"',
    "right-to-left override": '"\\u202eSOL"',
    "a mint of 31 letters": f'"{"2" * 31}"',
    "a mint of 45 letters": f'"{"2" * 45}"',
    "a mint cut by one letter": f'"{SOL_MINT[:-1]}"',
    "a mint of 33 bytes": f'"{"z" * 44}"',
    "a mint of 33 ones": f'"{"1" * 33}"',
    "a mint with the letter 0": f'"0{USDC_MINT[1:]}"',
    "a mint with the letter l": f'"l{USDC_MINT[1:]}"',
    "an Ethereum address": '"0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"',
}

_TOKENS = [
    *with_field(Fault.INVALID_TOKEN_IN, "tokenIn", _BAD_TOKENS),
    *with_field(Fault.INVALID_TOKEN_OUT, "tokenOut", _BAD_TOKENS),
    *as_is(
        Fault.SAME_TOKEN,
        {
            "a symbol twice": order(tokenOut='"SOL"'),
            "a symbol in another case": order(tokenOut='"sol"'),
            "a symbol and its mint": order(tokenOut=f'"{SOL_MINT}"'),
            "a mint and its symbol": order(tokenIn=f'"{USDC_MINT}"'),
            "a mint twice": order(tokenIn=f'"{USDC_MINT}"', tokenOut=f'"{USDC_MINT}"'),
            "an unknown symbol twice": order(tokenIn='"FOO"', tokenOut='"foo"'),
            "an unknown mint twice": order(tokenIn=f'"{"1" * 32}"', tokenOut=f'"{"1" * 32}"'),
        },
    ),
]

BODIES: tuple[Body, ...] = (
    *_NOT_JSON,
    *_NOT_A_NUMBER,
    *_NOT_AN_OBJECT,
    *_NOT_TEXT,
    *_NOT_ONE_MEANING,
    *_WRONG_MEDIA,
    *_FIELDS,
    *_TOKENS,
    *AMOUNTS_TOGETHER,
    *NUMBERS,
)

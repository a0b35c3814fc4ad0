"""A container's first invocations, as Lambda's runtime makes them; run by a new interpreter on the unpacked archive.

The one argument is JSON: `function`, the name in app.py; `events`, one an invocation; `join`, the file of the group of
processes that it enters between its imports and the first invocation, or nothing. The last line that it prints is JSON:
`marks`, moments by name as (monotonic, of its processor) seconds, and `replies`.
"""

import time

Moment = tuple[float, float]


def moment() -> Moment:
    """Now, by the machine's clock and by what this process has used of its processors, in seconds."""
    return time.monotonic(), time.process_time()


marks: dict[str, Moment] = {"begun": moment()}

import app  # noqa: E402 - this is what takes the time

marks["imported"] = moment()

import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Awaitable, Callable  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from typing import Any  # noqa: E402

from chalicelib import bootstrap  # noqa: E402
from chalicelib.store import database  # noqa: E402


def first_of(name: str, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same, with the beginning and the end of the first call marked."""

    async def timed(*given: Any, **named: Any) -> Any:
        begun = moment()
        done = await act(*given, **named)
        if f"{name} begun" not in marks:
            marks[f"{name} begun"], marks[f"{name} done"] = begun, moment()
        return done

    return timed


async def connect(*given: Any, **named: Any) -> Any:
    """A connection whose first statement is marked."""
    connection: Any = await opened(*given, **named)
    connection.execute = first_of("statement", connection.execute)
    return connection


def main(given: dict[str, Any]) -> None:
    """Invokes the function with each event, and prints what it took."""
    if given["join"]:
        with open(given["join"], "w") as group:  # noqa: PTH123 - pathlib is not to be counted
            group.write("0")
    vars(bootstrap)["connect"] = first_of("connect", connect)
    function, replies = getattr(app, given["function"]), []
    # What is left of an invocation does not matter to any that is fast.
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 10_000, aws_request_id="1", function_name="engine")
    marks["invoked"] = moment()
    bootstrap.engine()
    marks["built"] = moment()
    for number, event in enumerate(given["events"]):
        replies.append(function(event, context))
        marks[f"answered {number}"] = moment()
    print(json.dumps({"marks": marks, "replies": replies}), flush=True)


opened = database.connect
main(json.loads(sys.argv[1]))

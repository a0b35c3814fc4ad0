"""`python -m operations list | explain | resume | repeat`, for whoever looks after the engine.

It reads the engine's own settings: DATABASE_URL, ORDERS_QUEUE, DEAD_LETTERS_QUEUE, AWS_ENDPOINT_URL. Without
DATABASE_URL it works on the `make run` that runs here. The exit status is 0 when all was done, 1 when something was
refused or not found or could not be reached, 2 when the command line or the settings are wrong.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from uuid import UUID

import msgspec

from chalicelib import settings
from chalicelib.aws.queues import Queue
from chalicelib.aws.sqs import Sqs
from chalicelib.domain.clock import SystemClock, SystemEntropy
from chalicelib.domain.errors import ConfigurationError, QueueError, StatementRefused, Unavailable
from chalicelib.domain.order import parse_order_id
from chalicelib.settings import Settings
from chalicelib.store.database import Database, connect
from chalicelib.store.operations import Operations
from operations.commands import Commands, Refused, Result
from operations.environment import addresses

DEFAULT_LIMIT = 20
MOST_LISTED = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    sqs = Sqs()
    try:
        local = addresses(os.environ)
        if local:
            print("on the running make run", file=sys.stderr)
            # The AWS SDK reads the environment itself.
            os.environ.update(local)
        given = settings.read()
        if asked.command != "list":
            # What it could not send would be found out when the order is changed already.
            sqs.check()
    except ConfigurationError as error:
        hint = "; set DATABASE_URL, or start `make run`" if "DATABASE_URL" in str(error) else ""
        parser.error(f"{error}{hint}")
    try:
        result = asyncio.run(_run(asked, given, sqs))
    except (Refused, Unavailable, StatementRefused) as error:
        if asked.json:
            print(msgspec.json.encode({"error": str(error)}).decode())
        else:
            print(error, file=sys.stderr)
        return 1
    print(msgspec.json.format(msgspec.json.encode(result)).decode() if asked.json else result.text())
    return 0 if result.done else 1


def _tell(what: str, error: QueueError) -> None:
    print(f"{what}: {error}", file=sys.stderr)


async def _run(asked: argparse.Namespace, given: Settings, sqs: Sqs) -> Result:
    clock = SystemClock()
    pooler = given.database_pooler
    database = Database(given.database_url, clock, connect, pooler=pooler, name="order-engine operations")
    commands = Commands(
        store=Operations(database),
        orders=Queue(sqs, given.orders_queue, _tell),
        dead_letters=Queue(sqs, given.dead_letters_queue, _tell),
        clock=clock,
        entropy=SystemEntropy(),
    )
    try:
        match asked.command:
            case "list":
                return await commands.need(parked=asked.parked, failed=asked.failed, limit=asked.limit)
            case "explain":
                return await commands.explain(asked.order_id)
            case "resume":
                return await commands.resume(asked.order_ids)
            case _:
                return await commands.repeat(asked.order_id)
    finally:
        await database.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m operations", description="Looks after the engine's orders.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{list,explain,resume,repeat}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON")

    listed = commands.add_parser("list", parents=[common], help="parked and failed orders, oldest first")
    listed.add_argument("--parked", action="store_true", help="only parked ones")
    listed.add_argument("--failed", action="store_true", help="only failed ones")
    listed.add_argument("--limit", type=_limit, default=DEFAULT_LIMIT, help=f"of each kind, at most {MOST_LISTED}")

    explain = commands.add_parser("explain", parents=[common], help="all about one order, and what it waits for")
    explain.add_argument("order_id", type=_order_id, metavar="ORDER_ID")

    resume = commands.add_parser("resume", parents=[common], help="have parked orders' transactions asked for at once")
    resume.add_argument("order_ids", type=_order_id, nargs="+", metavar="ORDER_ID")

    repeat = commands.add_parser("repeat", parents=[common], help="place a failed order anew, once")
    repeat.add_argument("order_id", type=_order_id, metavar="ORDER_ID")
    return parser


def _order_id(text: str) -> UUID:
    found = parse_order_id(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a UUID")
    return found


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) <= MOST_LISTED:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST_LISTED}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())

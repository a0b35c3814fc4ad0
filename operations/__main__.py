"""`python -m operations list | explain | resume | repeat | keys`, for whoever looks after the engine.

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
from chalicelib.domain import credentials
from chalicelib.domain.clock import SystemClock, SystemEntropy
from chalicelib.domain.errors import ConfigurationError, QueueError, StatementRefused, Unavailable
from chalicelib.domain.order import parse_order_id
from chalicelib.settings import Settings
from chalicelib.store.accounts import Accounts
from chalicelib.store.database import Database, connect
from chalicelib.store.operations import Operations
from operations.commands import Commands, Refused, Result
from operations.environment import addresses
from operations.keys import ACCOUNT, MOST_LABEL, KeyCommands

DEFAULT_LIMIT = 20
MOST_LISTED = 1000
NEED_NO_QUEUE = ("list", "keys")


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
        if asked.command not in NEED_NO_QUEUE:
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
    keys = KeyCommands(Accounts(database), SystemEntropy())
    try:
        match asked.command:
            case "keys":
                return await _keys(keys, asked)
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


async def _keys(keys: KeyCommands, asked: argparse.Namespace) -> Result:
    match asked.action:
        case "create":
            return await keys.create(asked.account, asked.label)
        case "list":
            return await keys.listed(asked.account)
        case "revoke":
            return await keys.revoke(asked.prefix)
        case _:
            return await keys.audit(asked.prefix)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m operations", description="Looks after the engine's orders.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{list,explain,resume,repeat,keys}")
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
    _add_keys(commands.add_parser("keys", help="API keys: make, list, revoke, and who used one"), common)
    return parser


def _add_keys(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="{create,list,revoke,audit}")

    create = actions.add_parser("create", parents=[common], help="make a key, which is shown this once")
    create.add_argument("account", type=_account, metavar="ACCOUNT")
    create.add_argument("--label", type=_label, default="", help="what it is for")

    listed = actions.add_parser("list", parents=[common], help="all keys, or those of an account")
    listed.add_argument("account", type=_account, nargs="?", metavar="ACCOUNT")

    for name, told in (("revoke", "let nobody in by a key any more"), ("audit", "uses and refusals of a key, by day")):
        action = actions.add_parser(name, parents=[common], help=told)
        action.add_argument("prefix", type=_prefix, metavar="PREFIX")


def _account(text: str) -> str:
    if not ACCOUNT.fullmatch(text):
        raise argparse.ArgumentTypeError("an account has 1 to 64 letters, digits, '.', '_' or '-'")
    return text


def _label(text: str) -> str:
    if len(text) > MOST_LABEL or not text.isprintable():
        raise argparse.ArgumentTypeError(f"a label has at most {MOST_LABEL} printable characters")
    return text


def _prefix(text: str) -> str:
    # Whoever has the whole key at hand may paste it.
    found = credentials.from_header(f"Bearer {text}")
    prefix = found.prefix if found else text.removeprefix("oe_")
    if not credentials.PREFIX.fullmatch(prefix):
        raise argparse.ArgumentTypeError("a prefix is the 12 letters and digits between oe_ and the next _ of a key")
    return prefix


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

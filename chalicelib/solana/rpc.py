"""Solana's JSON-RPC: accounts, as a node has them at a slot."""

import asyncio
import binascii
from base64 import b64decode
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from chalicelib.domain.clock import SystemEntropy, fraction
from chalicelib.domain.errors import ConfigurationError, NoReply, RpcUnavailable
from chalicelib.net.client import Client, Endpoint
from chalicelib.net.http import SUCCESS, UNREADABLE, Reply
from chalicelib.solana import address
from chalicelib.solana.account import Account

# What nearly all of the stake has voted on: a slot or two old, and hardly ever taken back.
COMMITMENT = "confirmed"
# So many accounts a node gives at once.
MOST_ACCOUNTS = 100
# A hundred of the largest accounts that are asked for, in base64, are 1.4 MB.
MOST_REPLY = 4 * 2**20
# More calls at once wait for each other; searches, which may take long, for searches alone.
MOST_CALLS = 16
MOST_SEARCHES = 16
TRIES = 4
CONNECT_SECONDS = 1.0
# Before the first try anew; doubled before each further one.
MOST_PAUSE_SECONDS = 0.1
# A node is not left alone for longer, whatever it asks for.
MOST_REST_SECONDS = 60
HTTP_TIMEOUT, HTTP_TOO_MANY, HTTP_FAULT = 408, 429, 500
# Errors that pass: a fault within the node; a block or a slot that it has not got yet; a node that lags behind.
PASSING_CODES = frozenset({-32603, -32004, -32005, -32014, -32016, HTTP_TOO_MANY})
# Bytes of a path's or a query's part that may be a key; shorter ones are words.
KEY_BYTES = 8

T = TypeVar("T")


class Window(NamedTuple):
    """The part of accounts' data that is asked for."""

    offset: int
    length: int


class _Failure(msgspec.Struct):
    code: int
    message: str = ""


class _Envelope(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Failure | None = None


class _Contents(msgspec.Struct):
    owner: str
    data: tuple[str, Literal["base64"]]


class _Context(msgspec.Struct):
    slot: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Accounts(msgspec.Struct):
    context: _Context
    value: list[_Contents | None]


class _Keyed(msgspec.Struct):
    pubkey: str
    account: _Contents


class Rpc:
    """A node's RPC, used by one event loop only. Its methods raise RpcUnavailable by `until`, a time of the loop.

    The path and the query of its URL may hold a key, and are never told.
    """

    def __init__(self, url: str) -> None:
        try:
            self._endpoint = Endpoint.of(url)
        except ConfigurationError as error:
            raise ConfigurationError(f"SOLANA_RPC_URL: {error}") from None
        parts = urlsplit(url)
        if parts.username is not None:
            raise ConfigurationError("SOLANA_RPC_URL: keys belong into its path or query, not before its host")
        keys = [self._endpoint.target, *parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
        self._keys = [key for key in keys if len(key) >= KEY_BYTES]
        self._client = Client(lambda: self._endpoint, authorities="SSL_CERT_FILE", most_reply=MOST_REPLY)
        self._calls, self._searches = asyncio.Semaphore(MOST_CALLS), asyncio.Semaphore(MOST_SEARCHES)
        # The node asked not to be called before.
        self._rests_until = float("-inf")

    async def close(self) -> None:
        """End the connections that idle."""
        await self._client.close()

    async def accounts(
        self, addresses: Sequence[str], until: float, *, least_slot: int = 0, window: Window | None = None
    ) -> tuple[int, dict[str, Account | None]]:
        """At most 100 accounts and the slot that they are of, by address; None where there is none.

        A node that has not reached `least_slot` is asked again.
        """
        options = _options(window, {"minContextSlot": least_slot} if least_slot else {})
        found = await self._call("getMultipleAccounts", [list(addresses), options], _Accounts, until, hasty=True)
        if len(found.value) != len(addresses):
            raise _unavailable(f"{len(found.value)} accounts came for {len(addresses)}")
        slot = found.context.slot
        return slot, {
            pubkey: None if contents is None else _account(pubkey, contents, slot)
            for pubkey, contents in zip(addresses, found.value, strict=True)
        }

    async def program_accounts(
        self, program: str, until: float, *, size: int, parts: Mapping[int, str], window: Window
    ) -> list[Account]:
        """The accounts of a program that have this size, and at these offsets these bytes, in base58.

        A node may well search for as long as there is time, so it is not asked anew while it does.
        """
        filters = [{"dataSize": size}, *({"memcmp": {"offset": at, "bytes": part}} for at, part in parts.items())]
        params = [program, _options(window, {"filters": filters})]
        found = await self._call("getProgramAccounts", params, list[_Keyed], until, hasty=False)
        return [_account(each.pubkey, each.account, None) for each in found]

    async def _call(self, method: str, params: Sequence[Any], reply: type[T], until: float, *, hasty: bool) -> T:
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        why = "no answer in time"
        try:
            async with asyncio.timeout_at(until), self._calls if hasty else self._searches:
                for tried in range(TRIES):
                    await self._pause(tried, until)
                    try:
                        found = self._result(await self._post(body, until, hasty=hasty and tried < TRIES - 1))
                        return msgspec.json.decode(found, type=reply)
                    except UNREADABLE as error:
                        why = f"what came back can't be read: {error}"
                    except _Passing as error:
                        why = str(error)
        except TimeoutError:
            pass
        raise _unavailable(f"{method}: {why}")

    async def _post(self, body: bytes, until: float, *, hasty: bool) -> Reply:
        """One try. A hasty one leaves half of the time to the next."""
        left = until - asyncio.get_running_loop().time()
        headers = {"host": self._endpoint.authority, "content-type": "application/json"}
        try:
            return await self._client.post(
                self._endpoint.target,
                lambda: headers,
                body,
                connect_seconds=CONNECT_SECONDS,
                reply_seconds=round(left / 2 if hasty else left, 2),
            )
        except NoReply as error:
            # Who it is that does not answer is the operator's business.
            raise _Passing(str(error).removeprefix(f"{self._endpoint.authority}: ")) from None

    def _result(self, reply: Reply) -> msgspec.Raw:
        """The result in a reply. Raises _Passing where another try may help, and else RpcUnavailable."""
        try:
            envelope = msgspec.json.decode(reply.body, type=_Envelope)
        except UNREADABLE:
            if reply.status == SUCCESS:
                raise
            envelope = _Envelope()
        failure = envelope.error
        if reply.status == SUCCESS and failure is None:
            return envelope.result
        said = f"error {failure.code} {self._without_keys(failure.message)}" if failure else f"status {reply.status}"
        passing = reply.status in (HTTP_TIMEOUT, HTTP_TOO_MANY) or reply.status >= HTTP_FAULT
        if passing or (failure is not None and failure.code in PASSING_CODES):
            if (rest := _seconds(reply.retry_after)) is not None:
                self._rests_until = asyncio.get_running_loop().time() + rest
            raise _Passing(said)
        raise _unavailable(said)

    async def _pause(self, tried: int, until: float) -> None:
        """Wait before a try, for as long as the node asked for. Raises RpcUnavailable where that is too long."""
        now = asyncio.get_running_loop().time()
        rest = self._rests_until - now
        if self._rests_until > until:
            raise _unavailable(f"it asked not to be called for {rest:.0f} s")
        pause = MOST_PAUSE_SECONDS * 2 ** (tried - 1) * fraction(SystemEntropy()) if tried else 0.0
        if max(rest, pause) > 0:
            await asyncio.sleep(max(rest, pause))

    def _without_keys(self, message: str) -> str:
        for key in self._keys:
            message = message.replace(key, "…")
        return message[:200]


class _Passing(Exception):
    """A try that failed in a way that another may not."""


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """All results; where one fails the others end with it."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _options(window: Window | None, more: Mapping[str, Any]) -> dict[str, Any]:
    options = {"encoding": "base64", "commitment": COMMITMENT, **more}
    return options | {"dataSlice": window._asdict()} if window else options


def _account(pubkey: str, contents: _Contents, slot: int | None) -> Account:
    try:
        address.to_bytes(pubkey)
        address.to_bytes(contents.owner)
        data = b64decode(contents.data[0], validate=True)
    except (ValueError, binascii.Error) as error:
        raise _unavailable(f"what came back is no account: {error}") from None
    return Account(pubkey, contents.owner, data, slot)


def _seconds(retry_after: str | None) -> float | None:
    """What the header asks for, bounded; None where it is missing or makes no sense."""
    if retry_after is None:
        return None
    try:
        if retry_after.isascii() and retry_after.isdecimal():
            seconds = float(retry_after)
        else:
            seconds = (parsedate_to_datetime(retry_after).astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MOST_REST_SECONDS)


def _unavailable(why: str) -> RpcUnavailable:
    return RpcUnavailable(f"Solana RPC: {why}")

"""A stand-in for a Solana node: serves accounts by JSON-RPC, at a slot and with the faults that a test asks for."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from chalicelib.domain import base58
from chalicelib.solana import address
from chalicelib.solana.account import Account

SLOT = 350_000_000
EPOCH = 810
TIMESTAMP = 1_764_000_000

# Makes a response instead of the node's own; None where it does not.
Fault = Callable[[web.Request, str, list[Any]], web.StreamResponse | None]


class Node:
    """`calls` holds the method and the parameters of each call; `faults` happen to calls until they are taken out."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self.accounts = dict(accounts)
        self.slot = SLOT
        # The slots of the next replies, instead of `slot`.
        self.slots: list[int] = []
        self.keeps_to_least_slot = True
        self.calls: list[tuple[str, list[Any]]] = []
        self.faults: list[Fault] = []
        # Calls of a method, or that name a program first, wait for its gate, and find what is there when it opens.
        self.gates: dict[str, asyncio.Event] = {}

    def called(self, method: str) -> list[list[Any]]:
        """The parameters of the calls of a method since the last time that somebody asked."""
        found = [params for name, params in self.calls if name == method]
        self.calls = [call for call in self.calls if call[0] != method]
        return found

    def change(self, pubkey: str, **changes: Any) -> None:
        """Give an account another owner or other data."""
        self.accounts[pubkey] = replace(self.accounts[pubkey], **changes)

    def write(self, pubkey: str, offset: int, part: bytes) -> None:
        """Put bytes into an account's data."""
        data = self.accounts[pubkey].data
        self.change(pubkey, data=data[:offset] + part + data[offset + len(part) :])

    async def serve(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        method, params = asked["method"], asked["params"]
        self.calls.append((method, params))
        for gate in [gate for name, gate in self.gates.items() if name in (method, params[0])]:
            await gate.wait()
        for fault in list(self.faults):
            if (response := fault(request, method, params)) is not None:
                return response
        if method == "getProgramAccounts":
            return answer(self.program_accounts(*params))
        if len(params[0]) > 100:
            return refusal(-32602, "Too many inputs provided; max 100")
        slot = self.slots.pop(0) if self.slots else self.slot
        if self.keeps_to_least_slot and params[1].get("minContextSlot", 0) > slot:
            return refusal(-32016, "Minimum context slot has not been reached")
        clock = b"".join(value.to_bytes(8, "little") for value in (slot, 0, EPOCH, EPOCH + 1, TIMESTAMP))
        there = self.accounts | {address.CLOCK: Account(address.CLOCK, address.SYSVARS, clock)}
        value = [_contents(there[pubkey], params[1]) if pubkey in there else None for pubkey in params[0]]
        return answer({"context": {"slot": slot, "apiVersion": "2.3.1"}, "value": value})

    def program_accounts(self, program: str, options: dict[str, Any]) -> list[dict[str, Any]]:
        """What a search comes to."""
        size = next(each["dataSize"] for each in options["filters"] if "dataSize" in each)
        parts = [each["memcmp"] for each in options["filters"] if "memcmp" in each]
        return [
            {"pubkey": account.pubkey, "account": _contents(account, options)}
            for account in self.accounts.values()
            if account.owner == program
            and len(account.data) == size
            and all(account.data[part["offset"] :].startswith(base58.decode(part["bytes"])) for part in parts)
        ]


def answer(result: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": 1, "result": result})


def refusal(code: int, message: str) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}})


def of(method: str, response: Callable[[], web.StreamResponse]) -> Fault:
    """A fault of one method's calls."""
    return lambda _, called, __: response() if called == method else None


def _contents(account: Account, options: Mapping[str, Any]) -> dict[str, Any]:
    window = options.get("dataSlice", {"offset": 0, "length": len(account.data)})
    data = account.data[window["offset"] : window["offset"] + window["length"]]
    return {
        "data": [b64encode(data).decode(), "base64"],
        "executable": False,
        "lamports": 2_039_280,
        "owner": account.owner,
        "rentEpoch": 2**64 - 1,
        "space": len(account.data),
    }


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[str]:
    """Serves it; the URL."""
    app = web.Application()
    app.router.add_post("/{key}", node.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{KEY}?api-key={KEY}"
    finally:
        await runner.cleanup()


# Never to be seen outside requests.
KEY = "0123456789abcdef"

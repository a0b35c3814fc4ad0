"""Signed POSTs to one AWS service, over kept connections."""

import asyncio
import os
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from chalicelib.aws.http import Connection, Reply
from chalicelib.aws.identity import Identity
from chalicelib.aws.signature import signed
from chalicelib.domain.errors import ConfigurationError, NoReply

# A peer or a NAT may have dropped a connection that idled this long, and a thawed container has not heard of it.
IDLE_SECONDS = 5.0
PORTS = {"http": 80, "https": 443}
HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


class Endpoint(NamedTuple):
    """Where a service is. `authority` is the Host header: without the scheme's own port, as botocore signs it."""

    host: str
    port: int
    authority: str
    secure: bool
    base: str

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """Raises ConfigurationError where the URL is no http or https one."""
        try:
            parts = urlsplit(url)
            host, usual = parts.hostname or "", PORTS[parts.scheme]
            port = parts.port or usual
        except (KeyError, ValueError):
            host = ""
        if not HOST.fullmatch(host):
            raise ConfigurationError(f"AWS settings: {url!r} is no http or https URL")
        name = f"[{host}]" if ":" in host else host
        authority = name if port == usual else f"{name}:{port}"
        return cls(host, port, authority, parts.scheme == "https", parts.path.rstrip("/"))


class SignedClient:
    """Used by one event loop only, whose connections these are. `where` finds its endpoint, on first use."""

    def __init__(self, service: str, where: Callable[[], Endpoint], identity: Identity) -> None:
        self._service = service
        self._where = where
        self._identity = identity
        # Each with the moment since which it idles.
        self._kept: list[tuple[Connection, float]] = []

    @cached_property
    def endpoint(self) -> Endpoint:
        """Raises ConfigurationError where the settings name none."""
        return self._where()

    async def close(self) -> None:
        """End the connections that idle; the next request opens another."""
        self._forget()
        # Their sockets are closed in the loop's next round, which an ending loop would not have.
        await asyncio.sleep(0)

    async def post(
        self,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        connect_seconds: float | None = None,
        reply_seconds: float | None = None,
    ) -> Reply:
        """Send a request; returns whatever reply comes. Raises NoReply and ConfigurationError.

        `path` is escaped and follows the endpoint's own; names of `headers` are in lower case.
        """
        keys, region = await self._identity.keys(), self._identity.region
        connection = self._take() or await self._open(connect_seconds)
        path = self.endpoint.base + path
        # Signed when it is sent: a signature is good for some minutes.
        given = signed(
            keys,
            region=region,
            service=self._service,
            path=path,
            headers={**headers, "host": self.endpoint.authority},
            body=body,
            now=datetime.now(UTC),
        )
        lines = "".join([f"{name}: {value}\r\n" for name, value in given.items()])
        head = f"POST {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
        try:
            async with asyncio.timeout(reply_seconds):
                reply = await connection.exchange(head.encode() + body)
        except (TimeoutError, NoReply) as error:
            # What ended one may have ended all; whoever tries again opens a new one.
            self._forget()
            if isinstance(error, NoReply):
                raise
            raise NoReply(f"{self.endpoint.authority}: no reply in {reply_seconds} s") from error
        if connection.usable:
            self._kept.append((connection, asyncio.get_running_loop().time()))
        return reply

    def _take(self) -> Connection | None:
        # The last one used comes first: where it idled too long, so did the others.
        while self._kept:
            connection, since = self._kept.pop()
            if asyncio.get_running_loop().time() - since > IDLE_SECONDS:
                connection.close()
                self._forget()
            elif connection.usable:
                return connection
        return None

    def _forget(self) -> None:
        """End all that idle."""
        kept, self._kept = self._kept, []
        for connection, _ in kept:
            connection.close()

    async def _open(self, seconds: float | None) -> Connection:
        to = self.endpoint
        try:
            tls = _trust(os.environ.get("AWS_CA_BUNDLE") or None) if to.secure else None
            async with asyncio.timeout(seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, to.host, to.port, ssl=tls
                )
        except TimeoutError as error:
            raise NoReply(f"{to.authority}: no connection in {seconds} s") from error
        # A name that no host can have is a UnicodeError.
        except (OSError, UnicodeError) as error:
            raise NoReply(f"{to.authority}: {error}") from error
        return connection


@lru_cache(maxsize=1)
def _trust(bundle: str | None) -> ssl.SSLContext:
    """Verifies certificates and names, by a bundle or else by botocore's own; to read it takes milliseconds."""
    if bundle is None:
        # Found and not imported, which would take longer. Not every Python knows of the system's own.
        found = find_spec("botocore")
        bundle = str(Path(found.origin).with_name("cacert.pem")) if found and found.origin else None
    return ssl.create_default_context(cafile=bundle)

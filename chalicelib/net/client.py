"""POSTs to one HTTP service, over kept connections."""

import asyncio
import os
import re
import ssl
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from chalicelib.domain.errors import ConfigurationError, NoReply
from chalicelib.net.http import MOST_REPLY, Connection, Reply

# A peer or a NAT may have dropped a connection that idled this long, and a thawed container has not heard of it.
IDLE_SECONDS = 5.0
PORTS = {"http": 80, "https": 443}
HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
# Of printable ASCII without the space, so that nothing in it can end the request's first line.
TARGET = re.compile(r"[!-~]+")


class Endpoint(NamedTuple):
    """Where a service is.

    `authority` is the Host header: without the scheme's own port, as botocore signs it. `base` is the path that others
    follow; `target` is the URL's own path and query, which may hold a key.
    """

    host: str
    port: int
    authority: str
    secure: bool
    base: str
    target: str

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """Raises ConfigurationError, which does not tell the URL, where it is no http or https one."""
        try:
            parts = urlsplit(url)
            host, usual = parts.hostname or "", PORTS[parts.scheme]
            port = parts.port or usual
        except (KeyError, ValueError):
            raise ConfigurationError("no http or https URL") from None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not (HOST.fullmatch(host) and TARGET.fullmatch(target)):
            raise ConfigurationError("no http or https URL")
        name = f"[{host}]" if ":" in host else host
        authority = name if port == usual else f"{name}:{port}"
        return cls(host, port, authority, parts.scheme == "https", parts.path.rstrip("/"), target)


class Client:
    """Used by one event loop only, whose connections these are. `where` finds its endpoint, on first use.

    Certificates are verified by the file that the environment names as `authorities`, or else as botocore does.
    """

    def __init__(self, where: Callable[[], Endpoint], authorities: str, most_reply: int = MOST_REPLY) -> None:
        self._where = where
        self._authorities = authorities
        self._most_reply = most_reply
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
        target: str,
        headers: Callable[[], Mapping[str, str]],
        body: bytes,
        *,
        connect_seconds: float | None = None,
        reply_seconds: float | None = None,
    ) -> Reply:
        """Send a request; returns whatever reply comes. Raises NoReply and ConfigurationError.

        `target` is sent as it is; `headers` are asked for when they are sent, and hold the host.
        """
        connection = self._take() or await self._open(connect_seconds)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers().items()])
        head = f"POST {target} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
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
            tls = _trust(os.environ.get(self._authorities) or None) if to.secure else None
            async with asyncio.timeout(seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    partial(Connection, self._most_reply), to.host, to.port, ssl=tls
                )
        except TimeoutError as error:
            raise NoReply(f"{to.authority}: no connection in {seconds} s") from error
        # A name that no host can have is a UnicodeError.
        except (OSError, UnicodeError) as error:
            raise NoReply(f"{to.authority}: {error}") from error
        return connection


@lru_cache(maxsize=2)
def _trust(bundle: str | None) -> ssl.SSLContext:
    """Verifies certificates and names, by a bundle or else by botocore's own; to read it takes milliseconds."""
    if bundle is None:
        # Found and not imported, which would take longer. Not every Python knows of the system's own.
        found = find_spec("botocore")
        bundle = str(Path(found.origin).with_name("cacert.pem")) if found and found.origin else None
    return ssl.create_default_context(cafile=bundle)

"""Ends TLS, with a certificate and its key, before the socket of a Postgres that was built without it.

To a client it is a server with TLS: it takes libpq's request for it, and passes on what comes then.
"""

import asyncio
import contextlib
import ssl
import sys

from benchmarks.surroundings.aside import HOST

# The length, and a version that no protocol has.
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
AT_ONCE = 65536


async def serve(certificate: str, key: str, path: str) -> None:
    """Prints the port, and serves until standard input ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST:
            writer.write(b"S")
            await writer.start_tls(context)
            there, back = await asyncio.open_unix_connection(path)
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        else:
            writer.close()

    server = await asyncio.start_server(client, HOST, 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    # Either side may have gone.
    with contextlib.suppress(OSError):
        while data := await source.read(AT_ONCE):
            sink.write(data)
            await sink.drain()
    sink.close()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))

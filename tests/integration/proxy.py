"""A peer between the engine and Postgres that can fall silent: it takes every byte, and passes none on."""

import contextlib
import select
import socket
import threading
from pathlib import Path


class Proxy:
    """Listens on a port of 127.0.0.1 for a server's unix socket."""

    def __init__(self, server: Path) -> None:
        self._server = str(server)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.silent = False
        # Of the connections accepted so far, this many are silent.
        self.silenced = 0
        self.accepted = 0
        # Connections that came to their end.
        self.ended: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._listener.getsockname()[1]}/{database}"

    def close(self) -> None:
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._sockets += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server, self.accepted), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = _received(ready)
                    if not data:
                        self.ended.append(client.fileno())
                        client.close()
                        server.close()
                        return
                    if not self.silent and number > self.silenced:
                        (server if ready is client else client).sendall(data)


def _received(peer: socket.socket) -> bytes:
    """What a peer sent; nothing where it has ended the connection, in whatever way."""
    try:
        return peer.recv(65536)
    except OSError:
        return b""

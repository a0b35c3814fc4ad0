"""A stand-in for API Gateway's management API: takes frames over HTTP, and fails as it is told to."""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class _Server(ThreadingHTTPServer):
    # Many sockets are pushed to at once; a connect that finds the queue full is tried again a second later.
    request_queue_size = 256


class Gateway:
    """Keeps the frames of each socket; `answers` holds the statuses of the next pushes to a socket, then 200."""

    def __init__(self) -> None:
        self.frames: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.answers: dict[str, list[int]] = defaultdict(list)
        self.signatures: list[str] = []
        # A push to a socket in here is not answered before the event is set.
        self.stalls: dict[str, threading.Event] = {}
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(gateway.take(self.path, body, self.headers["Authorization"] or ""))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api"

    def take(self, path: str, body: bytes, authorization: str) -> int:
        prefix, _, connection_id = path.rpartition("/")
        assert prefix == "/api/@connections"
        connection_id = unquote(connection_id)
        self.signatures.append(authorization)
        if stall := self.stalls.get(connection_id):
            stall.wait(30)
        status = self.answers[connection_id].pop(0) if self.answers[connection_id] else 200
        if status == 200:
            self.frames[connection_id].append(json.loads(body))
        return status

    def close(self) -> None:
        for stall in self.stalls.values():
            stall.set()
        self._server.shutdown()
        self._server.server_close()

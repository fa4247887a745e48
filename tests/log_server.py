"""A real HTTP server on a free port of this machine: serves a folder, or whatever a test says, however rude."""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

Answer = Callable[[BaseHTTPRequestHandler], None]
"""Writes a whole answer, status line and all."""


class LogServer:
    """Serves what is in a folder; a context manager.

    Args:
        folder: its files are the resources.
        answers: path -> what answers in place of the file.
        tls: context of a server that speaks https.
    """

    def __init__(
        self, folder: Path, answers: dict[str, Answer] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.folder = folder
        self.answers = answers or {}
        self.asked: Counter[str] = Counter()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                server.asked[name] += 1
                answer = server.answers.get(name)
                try:
                    if answer is not None:
                        answer(self)
                    else:
                        file = server.folder / name
                        send(self, file.read_bytes()) if file.is_file() else send(self, b"no\n", 404)
                except OSError:
                    self.close_connection = True  # whoever asked has hung up

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> LogServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def send(
    handler: BaseHTTPRequestHandler,
    data: bytes,
    status: int = 200,
    length: int | None = None,
    **headers: str,
) -> None:
    """Answer with these bytes; `length` may lie."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)

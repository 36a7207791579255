"""An HTTP server on the loopback interface that answers as a function says, well or badly."""

import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came.

    Attributes:
        method: for instance GET.
        path: as it came, with its query.
        headers: by the names that the client wrote.
        body: all of it.
        connection: its client's TCP port, which tells one connection from another.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        """The JSON of the body; None where it is empty or no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        status: the HTTP status.
        body: the answer's body.
        headers: beside Content-Length.
        before: called before the answer is given.
    """

    status: int
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], object] | None = None


# What gets the connection once a request has come, to do what no well-behaved server does: it may hang,
# drip, break off, or answer in no HTTP. The connection is closed when it returns.
Script = Callable[[socket.socket], object]


class HttpServer:
    """Answers each request in a thread of its connection; a context manager that serves while it is entered.

    Args:
        answer: gives the answer to a request, or what to do with its connection.
        port: the TCP port; 0 for any free one.
        tls: how it speaks TLS; None where it does not.

    Attributes:
        url: its URL, without a trailing slash; there once it is entered.
    """

    url: str

    def __init__(
        self,
        answer: Callable[[Request], Answer | Script],
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answer = answer
        self._port = port
        self._tls = tls

    def __enter__(self) -> Self:
        """Serve.

        Raises:
            OSError: when the port is taken; its `filename` is the address.
        """
        try:
            self._server = _Server((HOST, self._port), _handler(self._answer))
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{HOST}:{self._port}") from error
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="http-server", daemon=True
        )
        self._thread.start()
        self.url = f"{'https' if self._tls else 'http'}://{HOST}:{self._server.server_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of clients that connect at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has left, as clients with a timeout do; of all else the traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(answer: Callable[[Request], Answer | Script]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = dict(self.headers.items())
            found = answer(Request(self.command, self.path, headers, body, self.client_address[1]))
            if not isinstance(found, Answer):
                self.close_connection = True
                found(self.connection)
                return
            if found.before:
                found.before()
            self.send_response_only(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = respond  # noqa: N815 (the names that http.server looks for)

        def log_message(self, *args: object) -> None:
            """Keep the terminal free of a line for every request."""

    return Handler

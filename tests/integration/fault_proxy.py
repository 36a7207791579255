"""An HTTP proxy in front of a server, that does what the server itself never would."""

import http.client
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit


@dataclass
class Fault:
    """One request's fate.

    Attributes:
        method: the requests that it is meant for; the first of these meets it, once.
        before: called before the request is passed on.
        answer: the status and S3 error code to answer with, in place of passing it on.
        lose_answer: pass the request on, then reset the connection in place of answering.
    """

    method: str
    before: Callable[[], object] | None = None
    answer: tuple[int, str] | None = None
    lose_answer: bool = False


@dataclass
class FaultProxy:
    """Passes requests on to a server, but for those that meet a fault; keeps a list of all of them.

    Attributes:
        upstream: the server's URL.
        meddle: called with every request's method and headers, which it may change; or it gives an answer, as
            a fault's.
    """

    upstream: str
    meddle: Callable[[str, dict[str, str]], tuple[int, str] | None] | None = None
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None: ...

            def handle_any(self) -> None:
                proxy.handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def count(self, method: str) -> int:
        """Tell how many requests of a method came."""
        return sum(1 for seen, _ in self.requests if seen == method)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        with self.lock:
            self.requests.append((request.command, request.path))
            self.headers.append(dict(request.headers))
            fault = next((fault for fault in self.faults if fault.method == request.command), None)
            if fault:
                self.faults.remove(fault)
        if fault and fault.before:
            fault.before()
        headers = {name: value for name, value in request.headers.items() if name.lower() != "expect"}
        answered = fault.answer if fault else None
        if self.meddle and not answered:
            answered = self.meddle(request.command, headers)
        if answered:
            status, code = answered
            kind = request.headers.get("Content-Type") or "application/xml"
            error = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"
            if "x-amz-json" in kind:  # SQS and Secrets Manager
                error = f'{{"__type": "{code}", "message": "injected"}}'
            elif "form-urlencoded" in kind:  # STS
                error = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
            self._answer(request, status, {"Content-Type": kind}, error.encode())
            return
        parts = urlsplit(self.upstream)
        upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        upstream.request(request.command, request.path, body, headers)
        answer = upstream.getresponse()
        text = answer.read()
        if fault and fault.lose_answer:
            # A reset, not an orderly end.
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close_connection = True
            request.connection.close()
            return
        self._answer(request, answer.status, dict(answer.getheaders()), text)

    def _answer(
        self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], text: bytes
    ) -> None:
        request.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(text)

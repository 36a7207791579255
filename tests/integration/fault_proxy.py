"""An HTTP proxy in front of a server, that does what the server itself never would."""

import http.client
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from local.stack.http_server import Answer, HttpServer, Request, Script


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
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self.server = HttpServer(self.answer)
        self.url = self.server.__enter__().url
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)

    def count(self, method: str) -> int:
        """Tell how many requests of a method came."""
        return sum(1 for seen, _ in self.requests if seen == method)

    def answer(self, request: Request) -> Answer | Script:
        with self.lock:
            self.requests.append((request.method, request.path))
            self.headers.append(dict(request.headers))
            fault = next((fault for fault in self.faults if fault.method == request.method), None)
            if fault:
                self.faults.remove(fault)
        if fault and fault.before:
            fault.before()
        answered = fault.answer if fault else None
        if self.meddle and not answered:
            answered = self.meddle(request.method, request.headers)
        if answered:
            return error(request, *answered)
        answer = passed_on(request, self.upstream)
        return reset if fault and fault.lose_answer else answer


def error(request: Request, status: int, code: str) -> Answer:
    """Write an error as the service does that a request is for."""
    kind = request.headers.get("Content-Type") or "application/xml"
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"
    if "x-amz-json" in kind:  # SQS and Secrets Manager
        text = f'{{"__type": "{code}", "message": "injected"}}'
    elif "form-urlencoded" in kind:  # STS
        text = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
    return Answer(status, text.encode(), {"Content-Type": kind})


def reset(connection: socket.socket) -> None:
    """End a connection by a reset, not in order."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def passed_on(request: Request, upstream: str) -> Answer:
    """Have a server answer a request, and give its answer."""
    parts = urlsplit(upstream)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    headers = {name: value for name, value in request.headers.items() if name.lower() != "expect"}
    connection.request(request.method, request.path, request.body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    own = {"content-length", "transfer-encoding", "connection"}
    return Answer(
        answer.status, text, {name: value for name, value in answer.getheaders() if name.lower() not in own}
    )

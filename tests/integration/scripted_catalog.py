"""A catalog that answers as it is told, over real HTTP."""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Answer:
    """One answer.

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


@dataclass
class Request:
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any
    connection: int  # its client's port


class ScriptedCatalog:
    """Gives its answers one by one, then 200 to everything; keeps a list of the requests."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.requests: list[Request] = []

    def __enter__(self) -> Self:
        catalog = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None: ...

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parsed = json.loads(body) if body else None
                catalog.requests.append(
                    Request(self.command, self.path, dict(self.headers), parsed, self.client_address[1])
                )
                answer = catalog.answers.popleft() if catalog.answers else Answer(200)
                if answer.before:
                    answer.before()
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = answer

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # of threads that connect at once

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

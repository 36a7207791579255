"""A small OAM catalog on the loopback interface, which takes notifications as the real one does.

The real one: https://github.com/hotosm/oam-api/blob/master/routes/tms.js
"""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class CatalogRequest:
    """A request that came, and how it was answered.

    Attributes:
        method: GET or POST.
        path: as it came.
        authorization: the header, if there was one.
        payload: the JSON that came; None where there was none.
        status: the HTTP status of the answer.
    """

    method: str
    path: str
    authorization: str | None
    payload: Any
    status: int


class CatalogServer:
    """A catalog; a context manager that serves while it is entered.

    - `POST /tms`: 401 without the right bearer token; 400 with a JSON message when `uri` or `images` is
      missing or of another type; else 200, and the entry of that uri is updated or created.
    - `GET /tms`: 200 and the list of entries.
    - Anything else: 404.

    Args:
        token: the bearer token that it wants.
        port: the TCP port; 0 for any free one.
        base_path: what comes before `/tms`, for instance `/v1`.
        not_yet_indexed: images for which the first POST that names them is answered with 400, as the real
            one does until it has indexed an image.

    Attributes:
        url: its base URL, without a trailing slash; there once it is entered.
    """

    url: str

    def __init__(
        self, token: str, port: int = 0, base_path: str = "", not_yet_indexed: Iterable[str] = ()
    ) -> None:
        self._token = token
        self._address = (HOST, port)
        self._base_path = base_path.rstrip("/")
        self._not_yet_indexed = set(not_yet_indexed)
        self._entries: dict[str, list[str]] = {}
        self._requests: list[CatalogRequest] = []
        self._lock = threading.Lock()

    @property
    def entries(self) -> dict[str, list[str]]:
        """What it holds: for each uri its images."""
        with self._lock:
            return {uri: list(images) for uri, images in self._entries.items()}

    @property
    def requests(self) -> list[CatalogRequest]:
        """Every request so far, in the order of their answers."""
        with self._lock:
            return list(self._requests)

    @property
    def taken(self) -> list[Any]:
        """The payload of every POST that was answered with 200, in order."""
        posts = [request for request in self.requests if request.method == "POST"]
        return [request.payload for request in posts if request.status == 200]

    def __enter__(self) -> Self:
        """Serve.

        Raises:
            OSError: when the port is taken.
        """
        catalog = self

        class Handler(_CatalogRequestHandler):
            def answer(self, method: str, body: bytes) -> tuple[int, object]:
                return catalog._answer(method, self.path, self.headers.get("Authorization"), body)

        self._server = ThreadingHTTPServer(self._address, Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="catalog-server", daemon=True
        )
        self._thread.start()
        self.url = f"http://{HOST}:{self._server.server_port}{self._base_path}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, method: str, path: str, authorization: str | None, body: bytes) -> tuple[int, object]:
        try:
            payload = json.loads(body) if body else None
        except ValueError:
            payload = None
        with self._lock:
            if urlsplit(path).path != f"{self._base_path}/tms":
                status, answer = 404, _error(404, "Not Found")
            elif method == "GET":
                status, answer = 200, {"results": [_entry(*entry) for entry in self._entries.items()]}
            elif authorization != f"Bearer {self._token}":
                status, answer = 401, _error(401, "Bad token")
            else:
                status, answer = self._take(payload)
            self._requests.append(CatalogRequest(method, path, authorization, payload, status))
        return status, answer

    def _take(self, payload: object) -> tuple[int, dict[str, Any]]:
        if not isinstance(payload, dict) or not {"uri", "images"} <= payload.keys():
            return 400, _error(400, "There is an Error. Fields missing.")
        uri, images = payload["uri"], payload["images"]
        if not isinstance(uri, str):
            return 400, _error(400, "uri is not a string")
        if not isinstance(images, list) or not all(
            isinstance(image, dict) and isinstance(image.get("uuid"), str) for image in images
        ):
            return 400, _error(400, 'images is not a list of {"uuid": "..."}')
        names = [image["uuid"] for image in images]
        for name in names:
            if name in self._not_yet_indexed:
                self._not_yet_indexed.discard(name)
                return 400, _error(400, f"not indexed yet: {name}")
        self._entries[uri] = names
        return 200, {"results": _entry(uri, names)}


def _entry(uri: str, images: list[str]) -> dict[str, Any]:
    return {"uri": uri, "images": [{"uuid": image} for image in images]}


def _error(status: int, message: str) -> dict[str, Any]:
    return {"statusCode": status, "message": message}


class _CatalogRequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, method: str, body: bytes) -> tuple[int, object]:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._respond("GET")

    def do_POST(self) -> None:
        self._respond("POST")

    def _respond(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.answer(method, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep the terminal free of a line for every request."""

"""A small OAM catalog on the loopback interface, which does as the real one does, or as it is told.

The real one: https://github.com/hotosm/oam-api/blob/master/routes/tms.js
"""

import json
import threading
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from local.stack.http_server import Answer, HttpServer, Request, Script


class CatalogServer:
    """A catalog; a context manager that serves while it is entered.

    - `POST /tms`: 401 without the right bearer token; 400 with a JSON message when `uri` or `images` is
      missing or of another type; else 200, and the entry of that uri is updated or created.
    - `GET /tms`: 200 and the list of entries.
    - Anything else: 404.

    Args:
        token: the bearer token that it wants; None if it takes any.
        port: the TCP port; 0 for any free one.
        base_path: what comes before `/tms`, for instance `/v1`.
        not_yet_indexed: images for which the first POST that names them is answered with 400, as the real
            one does until it has indexed an image.

    Attributes:
        url: its base URL, without a trailing slash; there once it is entered.
        answers: what it does in place of all that, one for each request, as long as there are any.
        requests: every request so far, in the order in which they came.
        taken: the payload of every POST that it took by itself, in order.
    """

    url: str

    def __init__(
        self,
        token: str | None,
        *,
        port: int = 0,
        base_path: str = "",
        not_yet_indexed: Iterable[str] = (),
    ) -> None:
        self.answers: deque[Answer | Script] = deque()
        self.requests: list[Request] = []
        self.taken: list[Any] = []
        self._token = token
        self._base_path = base_path.rstrip("/")
        self._not_yet_indexed = set(not_yet_indexed)
        self._entries: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self._server = HttpServer(self._answer, port)

    @property
    def entries(self) -> dict[str, list[str]]:
        """What it holds: for each uri its images."""
        with self._lock:
            return {uri: list(images) for uri, images in self._entries.items()}

    def __enter__(self) -> Self:
        """Serve.

        Raises:
            OSError: when the port is taken.
        """
        self.url = self._server.__enter__().url + self._base_path
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.__exit__(kind, error, trace)

    def _answer(self, request: Request) -> Answer | Script:
        with self._lock:
            self.requests.append(request)
            if self.answers:
                return self.answers.popleft()
            status, answer = self._by_itself(request)
        return Answer(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _by_itself(self, request: Request) -> tuple[int, object]:
        if urlsplit(request.path).path != f"{self._base_path}/tms":
            return 404, _error(404, "Not Found")
        if request.method == "GET":
            return 200, {"results": [_entry(*entry) for entry in self._entries.items()]}
        if self._token is not None and request.headers.get("Authorization") != f"Bearer {self._token}":
            return 401, _error(401, "Bad token")
        return self._take(request.json)

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
        self.taken.append(payload)
        return 200, {"results": _entry(uri, names)}


def _entry(uri: str, images: list[str]) -> dict[str, Any]:
    return {"uri": uri, "images": [{"uuid": image} for image in images]}


def _error(status: int, message: str) -> dict[str, Any]:
    return {"statusCode": status, "message": message}

"""The catalog as it was told: every POST that reached it, and what it holds."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.chaos.proxy import ORDER, Fate, Fault, Request, Response


@dataclass(slots=True)
class Post:
    """A POST that reached the catalog and was understood.

    Attributes:
        begun: when it had come in, in seconds of the run.
        taken: when the catalog took it; likewise.
        request: what became of it is written there.
    """

    number: int
    uri: str
    images: tuple[str, ...]
    begun: float
    taken: float
    request: Request

    @property
    def content(self) -> tuple[str, frozenset[str]]:
        return self.uri, frozenset(self.images)


class Catalog:
    """Takes notifications as the real one does: a known uri is an update.

    Args:
        token: the bearer token that it wants.
        clock: the seconds of the run.
    """

    def __init__(self, token: str, clock: Callable[[], float]) -> None:
        self._token = token
        self._clock = clock
        self.entries: dict[str, tuple[str, ...]] = {}
        self.posts: list[Post] = []
        self.counts: Counter[str] = Counter()
        self.trouble: list[str] = []

    async def answer(self, request: Request) -> Response:
        if request.path != "/base/tms":
            self.trouble.append(f"{request.method} {request.path}")
            return _json(404, {"message": "Not Found"})
        if request.method == "GET":
            self.trouble.append("GET of the listing: a redirect was followed")
            return _json(200, {"results": []})
        self.counts["POST"] += 1
        if request.headers.get("authorization") != f"Bearer {self._token}":
            self.trouble.append(f"authorization {request.headers.get('authorization')!r}")
            return _json(401, {"message": "Bad token"})
        try:
            payload = json.loads(request.body)
            uri = payload["uri"]
            images = tuple(image["uuid"] for image in payload["images"])
            if payload.keys() != {"uri", "images"} or not isinstance(uri, str):
                raise ValueError("other fields")
        except (ValueError, KeyError, TypeError) as error:
            self.trouble.append(f"payload {request.body[:200]!r}: {error!r}")
            return _json(400, {"message": "There is an Error. Fields missing."})
        self.entries[uri] = images
        self.posts.append(Post(next(ORDER), uri, images, request.begun, self._clock(), request))
        self.counts["taken"] += 1
        return _json(200, {"results": {"uri": uri, "images": [{"uuid": image} for image in images]}})


def _json(status: int, value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(
        status, json.dumps(value).encode(), {"Content-Type": "application/json"} | (headers or {})
    )


def catalog_fault(thief: str) -> Callable[[Request, Fate], Response]:
    """Give what a catalog in trouble answers: it echoes the token, and redirects to a `thief`."""

    def answer(request: Request, fate: Fate) -> Response:
        headers = {} if fate.retry_after is None else {"Retry-After": fate.retry_after}
        if fate.status in (301, 302, 307):
            headers["Location"] = f"{thief}/tms"
        echo = request.headers.get("authorization", "")
        said = "not indexed yet" if fate.status == 400 else "trouble"
        if fate.fault is Fault.ERROR_DONE:
            said += ", though it was taken"
        return _json(fate.status, {"statusCode": fate.status, "message": said, "echo": echo}, headers)

    return answer

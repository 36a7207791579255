"""Client of the OAM catalog's `POST /tms`, which registers a job's tiles."""

import io
import json
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from handler.catalog_entry import Notification
from handler.deadline import Deadline, Reserve, Timeout
from handler.outcomes import (
    CatalogBusy,
    CatalogDown,
    CatalogError,
    CatalogTimeout,
    CatalogUnavailable,
    OutOfTime,
)
from handler.redaction import redact
from handler.tokens import TokenProvider
from handler.transport_errors import describe, kind_of

# Of a status that is not about the one notification. 520 to 524 and 530 are Cloudflare's, of an origin that
# does not respond
# (https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/).
_KINDS: dict[int, type[CatalogError]] = {
    **dict.fromkeys((408, 502, 504, *range(520, 525), 530), CatalogDown),
    429: CatalogBusy,
    503: CatalogUnavailable,
}

# A server closes a connection that idles (Node after 5 s), which a frozen function does not notice.
_IDLE_SECONDS = 2.0
_BODY_BYTES = 65_536  # what is read of a response's body
_BODY_SECONDS = 0.3  # how long it is waited for: it may never come, or have no end
_ERROR_CHARACTERS = 500  # what is kept of it


@dataclass(frozen=True, slots=True)
class _Response:
    """A catalog's response, known when its headers are there; the body comes after that, or does not."""

    status: int
    retry_after: float  # in seconds
    body: "Future[str]"

    def text(self) -> str:
        """Return what of the body comes within _BODY_SECONDS."""
        try:
            return self.body.result(_BODY_SECONDS)
        except TimeoutError:
            return "(no body in time)"


class Catalog:
    """The catalog itself; shared by as many threads as it has connections. Its base URL ends in no slash."""

    def __init__(self, url: str, token: TokenProvider, connections: int) -> None:
        self._url = f"{url}/tms"
        self._host = urlsplit(self._url).hostname or ""
        self._token = token
        # No session's request: it would put a .netrc's password in the token's place, and look into
        # redirects.
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        # The environment's proxies and CA bundle.
        self._settings: Any = requests.Session().merge_environment_settings(self._url, {}, True, None, None)
        self._lock = threading.Lock()
        self._used_at = 0.0

    def notify(self, notification: Notification, deadline: Deadline) -> None:
        """Send a notification once; a second time only with a token that has changed since a 401.

        A redirect is not followed: requests would turn the POST into a GET, get the catalog's listing with
        a 200, and nothing would have been registered.

        Raises:
            CatalogError: on anything but a 2xx; its text begins with the status code, and holds no token.
            CatalogDown: when that is not about this notification.
            TokenUnavailable: when there is no token to send.
            OutOfTime: when too little time is left to send it and to record the response.
        """
        token = self._token(None, deadline)
        response = self._post(notification, token, deadline)
        if response.status == 401 and (newer := self._token(token, deadline)) != token:
            token, response = newer, self._post(notification, newer, deadline)
        text = response.text()  # also of a success: a connection whose body is read can be used again
        if 200 <= response.status < 300:
            return
        text = redact(text, token)  # before it is cut: that may leave half of the token
        kind = _KINDS.get(response.status, CatalogError)
        raise kind(f"HTTP {response.status}: {text}"[:_ERROR_CHARACTERS], response.retry_after)

    def _post(self, notification: Notification, token: str, deadline: Deadline) -> _Response:
        """POST in a thread of its own, which is not waited for beyond the time there is.

        requests' timeouts are for one address of the name, and for one piece of the response: neither bounds
        all of it. The thread that is left behind can't send a whole request any more.
        """
        deadline.require(Reserve.SEND, "call the catalog")
        seconds = min(Timeout.POST, deadline.remaining() - Reserve.RECORD - _BODY_SECONDS)
        body = _Body(json.dumps(notification.payload).encode(), deadline)
        self._drop_idle_connections(deadline.now())
        future: Future[_Response] = Future()
        try:
            threading.Thread(target=self._send, args=(body, token, seconds, future), daemon=True).start()
        except RuntimeError as error:
            raise CatalogUnavailable(f"not asked: {error}") from None  # there is no room for a thread
        try:
            return future.result(seconds)
        except TimeoutError:
            if body.cancel():
                raise CatalogTimeout(f"{self._host} did not answer within {seconds:.1f} s") from None
            raise CatalogUnavailable(f"no connection to {self._host} within {seconds:.1f} s") from None

    def _send(self, body: "_Body", token: str, seconds: float, future: "Future[_Response]") -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        timeout = (min(Timeout.CONNECT, seconds), seconds)
        try:
            request = requests.Request("POST", self._url, headers=headers, data=body).prepare()
            with self._adapter.send(request, timeout=timeout, **self._settings) as received:
                response = _Response(received.status_code, _retry_after(received), Future())
                future.set_result(response)
                response.body.set_result(_start_of(received))
        except Exception as error:  # noqa: BLE001 (a thread's end; requests lets through much)
            kind = kind_of(error) if body.cancel() else CatalogUnavailable
            if not future.done():
                future.set_exception(kind(describe(error, self._host)))

    def _drop_idle_connections(self, now: float) -> None:
        with self._lock:
            if now - self._used_at > _IDLE_SECONDS:
                self._adapter.close()
            self._used_at = now


class MockCatalog:
    """Stands for the catalog where nothing is to be sent."""

    def notify(self, notification: Notification, deadline: Deadline) -> None:
        """Do nothing."""


class _Body(io.BytesIO):
    """A request's body that is not handed over once it is cancelled, or after the deadline.

    The transport reads it when it is connected. What has not been read can't have reached the catalog.
    """

    def __init__(self, content: bytes, deadline: Deadline) -> None:
        super().__init__(content)
        self._deadline = deadline
        self._lock = threading.Lock()
        self._is_sent = False
        self._is_cancelled = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next piece; raise OutOfTime if it must not be sent any more."""
        with self._lock:
            piece = super().read(size)
            if piece and (self._is_cancelled or self._deadline.remaining() < 0):
                raise OutOfTime("too late to send it")
            self._is_sent = True
            return piece

    def cancel(self) -> bool:
        """Keep it from being sent; return whether it was sent before."""
        with self._lock:
            self._is_cancelled = True
            return self._is_sent


def _start_of(response: requests.Response) -> str:
    """Read a body for a short time: requests' timeout is for each piece of it, and they may have no end."""
    content, end = b"", time.monotonic() + _BODY_SECONDS / 2
    try:
        while len(content) < _BODY_BYTES and time.monotonic() < end:
            part = response.raw.read1(_BODY_BYTES, decode_content=True)
            if not part:
                break
            content += part
    except (HTTPError, OSError) as error:  # the status is what counts, and it is there
        return f"(body: {type(error).__name__})"
    return content.decode(errors="replace")


def _retry_after(response: requests.Response) -> float:
    try:
        return Retry().get_retry_after(response.raw) or 0.0
    except (InvalidHeader, ValueError, OverflowError):  # the last two: a year or a number out of range
        return 0.0

"""The OAM catalog's `POST /tms`: says that a job's tiles are there."""

import random
import time
from typing import TYPE_CHECKING

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, ReadTimeoutError, ResponseError
from urllib3.util import Retry

from handler.errors import CatalogDown, CatalogError, OutOfTime
from handler.notification import SHORTEST_NOTIFY, CatalogState, Notification
from handler.redaction import without_token
from handler.tokens import Token

if TYPE_CHECKING:
    from types import TracebackType

    from aws_lambda_powertools import Logger

# All in seconds.
CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 10.0
LONGEST_RETRY_AFTER = 2.0  # a catalog that asks for more is asked again by the next delivery

_RETRIES = 2
_RETRY_STATUSES = frozenset({429, 502, 503, 504})
_ANSWER_BYTES = 65_536  # what is read of an answer
_BODY_SECONDS = 0.2  # for as long as more of it comes
_ERROR_CHARACTERS = 500  # what is kept of it


class Catalog:
    """The catalog itself; shared by threads.

    Args:
        url: its base URL.
        token: gives its bearer token.
        connections: how many threads may use it at once.
    """

    done = CatalogState.NOTIFIED

    def __init__(self, url: str, token: Token, connections: int) -> None:
        self._url = f"{url.rstrip('/')}/tms"
        self._token = token
        self._session = _Session()
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=_RETRY)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def notify(self, notification: Notification, seconds: float) -> None:
        """Send a notification.

        Connection errors, 429, 502, 503 and 504 are tried again at once, twice at the most; a 401 once, if
        the token has changed. An answer that does not come in time is left to the next delivery: the catalog
        may be at it, and two more waits are time that other jobs need. A redirect is not followed: requests
        would turn the POST into a GET, get the catalog's listing with a 200, and nothing would have been
        registered.

        Args:
            notification: what to say.
            seconds: how long it may take, retries and waits included.

        Raises:
            CatalogError: on anything but a 2xx; its text begins with the status code, and holds no token.
            CatalogDown: when that is not about this notification.
            TokenUnavailable: when there is no token to send.
            OutOfTime: when it can't be asked in the time there is.
        """
        end = time.monotonic() + seconds
        token = self._token(None, seconds - SHORTEST_NOTIFY)
        status, text, retry_after = self._post(notification, token, end)
        if status == 401 and (newer := self._token(token, end - time.monotonic() - SHORTEST_NOTIFY)) != token:
            status, text, retry_after = self._post(notification, newer, end)
        if not 200 <= status < 300:
            kind = CatalogDown if status in _RETRY_STATUSES else CatalogError
            raise kind(f"HTTP {status}: {text}"[:_ERROR_CHARACTERS], retry_after)

    def _post(self, notification: Notification, token: str, end: float) -> tuple[int, str, float]:
        """Send a notification with a token; give the answer's status, text and Retry-After in seconds."""

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        seconds = end - time.monotonic()
        if seconds < SHORTEST_NOTIFY:
            raise OutOfTime("no time was left to ask the catalog")
        # Whatever the catalog does, all waits and requests fit into the time there is.
        share = (seconds - _RETRIES * LONGEST_RETRY_AFTER) / (_RETRIES + 2)
        timeout = (min(CONNECT_TIMEOUT, share / 3), min(READ_TIMEOUT, share * 2 / 3))
        try:
            with self._session.post(
                self._url,
                json=notification.payload,
                auth=authorize,  # not a header: requests would put a .netrc's password in its place
                timeout=timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                retry_after = _RETRY.get_retry_after(answer.raw) or 0.0
                status, text = answer.status_code, self._start_of(answer)
                # What is not going to be shown is not searched.
                return status, "" if 200 <= status < 300 else without_token(text, token), retry_after
        except requests.RequestException as error:
            text = f"{type(error).__name__}: {without_token(str(error), token)}"
            raise CatalogDown(text[:_ERROR_CHARACTERS]) from None

    def _start_of(self, answer: requests.Response) -> str:
        """Read what comes of a body soon: a timeout is for each part of it, and they may have no end."""
        content, end = b"", time.monotonic() + _BODY_SECONDS
        try:
            while len(content) < _ANSWER_BYTES and time.monotonic() < end:
                part = answer.raw.read1(_ANSWER_BYTES, decode_content=True)
                if not part:
                    break
                content += part
        except (HTTPError, OSError) as error:  # the status is what counts, and it is there
            return f"(body: {type(error).__name__})"
        return content.decode(errors="replace")


class MockCatalog:
    """Stands for the catalog where nothing is to be sent.

    Args:
        logger: gets what would have been sent.
    """

    done = CatalogState.MOCKED

    def __init__(self, logger: "Logger") -> None:
        self._logger = logger

    def notify(self, notification: Notification, seconds: float) -> None:  # noqa: ARG002 (as Catalog's)
        """Log a notification."""
        self._logger.info("Catalog notification not sent: mocked", payload=notification.payload)


class _Session(requests.Session):
    """A session that knows no redirects.

    Even where it is told not to follow one, requests works out where it leads (a ValueError where that is no
    URL), and reads its body to the end, however long.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Give no target."""


class _ShortRetry(Retry):
    """urllib3's retries, but with jitter from the first on, and none after a long wait or before one."""

    def get_backoff_time(self) -> float:
        return random.uniform(0, 0.25 * 2 ** len(self.history))  # noqa: S311 (no secret)

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            return super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):  # the last two: a year or a number out of range
            return None

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: "TracebackType | None" = None,
    ) -> "_ShortRetry":
        if response is not None and (self.get_retry_after(response) or 0) > LONGEST_RETRY_AFTER:
            raise MaxRetryError(_pool, url or "", ResponseError("Retry-After is too long"))  # type: ignore[arg-type]
        if isinstance(error, ReadTimeoutError):
            raise error
        retry = super().increment(method, url, response, error, _pool, _stacktrace)
        if response is not None:
            response.close()  # else urllib3 reads its body to the end, however long
        return retry


_RETRY = _ShortRetry(
    total=_RETRIES,
    redirect=False,
    allowed_methods={"POST"},
    status_forcelist=_RETRY_STATUSES,
    raise_on_status=False,  # the last answer says more than "too many retries"
)

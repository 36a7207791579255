"""What a catalog answers to a token that is wrong, and to the function's own."""

import threading
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from handler.transport_errors import describe
from local.cli.findings import Finding, Result, ok, wrong

_CONNECT = 3.0  # seconds, for each of its addresses
_WRONG_TOKEN = "oam-status-doctor-has-no-token"  # noqa: S105 (it is to be refused)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_REFUSED = frozenset({401, 403})
_TAKEN = frozenset({400, 422})  # a token: what is refused is the message
# Other answers: what they mean, and what to do.
_OTHERS = (
    (
        {404, 405, 410},
        ": this catalog has no /tms; the public one dropped it in 2017 (its version 0.3.0)",
        "Let OAM_CATALOG_URL name a catalog that has it, or set MOCK_OAM_API=true (MockCatalog=true).",
    ),
    (
        range(300, 400),
        ", a redirect to {location}, which the function does not follow",
        "Let OAM_CATALOG_URL name the place that it leads to.",
    ),
    (
        {429, *range(500, 600)},
        ": it does not serve",
        "Try again later, or ask those who run the catalog.",
    ),
    (
        {400, 422},
        ": it takes any token, or reads the message first",
        "Ask those who run the catalog which of the two: this check can't tell.",
    ),
)


class CatalogCheck:
    """What a catalog answers; shared by the threads of two checks.

    Args:
        url: the catalog's base URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._found: Finding | None = None

    def catalog(self) -> Finding:
        """Return what came of a wrong token; the catalog is asked once, however often this is called."""
        with self._lock:
            if self._found is None:
                self._found = check_catalog(self._url)
            return self._found

    def token(self, token: str, kept: Finding) -> Finding:
        """Return what comes of the function's token.

        It is sent only to a catalog that refused a wrong one, over TLS or on this machine.

        Args:
            token: the token.
            kept: what was found of where it is kept; returned as it is where the token is not sent.
        """
        return check_token(self._url, token, kept) if self.catalog().result is Result.OK else kept


def check_catalog(url: str, seconds: float = 10) -> Finding:
    """Send a POST with a wrong token and no notification: an empty JSON object.

    The real catalog looks at the token first (401), and refuses an object without `uri` and `images` (400):
    even one that takes any token has nothing to register
    (https://github.com/hotosm/oam-api/blob/0db9a8d9e44cf7e0e34a66bf5d2c341c9ce96500/routes/tms.js). A
    redirect is not followed, as the function follows none.

    Args:
        url: the catalog's base URL.
        seconds: how long its answer is waited for.
    """
    try:
        status, location = _post(url, _WRONG_TOKEN, seconds)
    except requests.RequestException as error:
        return wrong(
            f"{url}: {describe(error, urlsplit(url).hostname or '')}",
            "Correct OAM_CATALOG_URL, or find out why the catalog can't be reached from here.",
        )
    return judge(url, status, location)


def check_token(url: str, token: str, kept: Finding, seconds: float = 10) -> Finding:
    """Send the same POST with the function's token: a catalog that takes it refuses what is missing (400).

    Args:
        url: the base URL of a catalog that refused a wrong token.
        token: the token.
        kept: what was found of where it is kept.
        seconds: how long the catalog's answer is waited for.
    """
    try:
        status, _ = _post(url, token, seconds)
    except requests.RequestException as error:
        answer = describe(error, urlsplit(url).hostname or "")
    else:
        if status in _REFUSED:
            return wrong(
                f"{kept.found}; but the catalog refuses the function's token: HTTP {status}",
                "Set the token that the catalog's owners gave: docs/operations.md#rotating-the-token.",
            )
        if status in _TAKEN:
            return ok(f"{kept.found}; the catalog takes it")
        answer = f"HTTP {status}"
    return wrong(
        f"{kept.found}; whether the catalog takes it is not known: {answer}",
        "Try again later, or ask those who run the catalog.",
    )


def _post(url: str, token: str, seconds: float) -> tuple[int, str]:
    """Send a POST without a notification; return the status of the answer, and where a redirect leads to.

    Raises:
        requests.RequestException: when there is no answer.
    """
    with requests.post(
        f"{url.rstrip('/')}/tms",
        data=b"{}",
        headers={"Content-Type": "application/json"},
        auth=_Bearer(token),
        allow_redirects=False,
        stream=True,  # the status says all, and a body may have no end
        timeout=(_CONNECT, seconds),
    ) as response:
        return response.status_code, response.headers.get("Location", "")


def judge(url: str, status: int, location: str = "") -> Finding:
    """Judge a catalog by its answer to a wrong token (pure).

    Args:
        url: its base URL.
        status: the HTTP status of the answer.
        location: where a redirect leads to.
    """
    parts, answer = urlsplit(url), f"{url}/tms answers HTTP {status} to a wrong token"
    if status in _REFUSED:
        if parts.scheme == "https" or parts.hostname in _LOOPBACK:
            return ok(f"{answer}, as it must")
        found = f"{answer}, but without TLS: everyone on the way can read the token"
        return wrong(found, "Let OAM_CATALOG_URL begin with https://.")
    for statuses, what, todo in _OTHERS:
        if status in statuses:
            return wrong(f"{answer}{what.format(location=location or 'nowhere')}", todo)
    return wrong(f"{answer}, not 401", "Ask those who run the catalog whether it checks tokens.")


class _Bearer(AuthBase):
    """Sets the header last: in the place of one among the headers requests puts a .netrc's password."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

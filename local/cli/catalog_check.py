"""What a catalog answers to a token that is wrong."""

from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from handler.transport_errors import describe
from local.cli.findings import Finding, ok, wrong

_CONNECT = 3.0  # seconds, for each of its addresses
_WRONG_TOKEN = "oam-status-doctor-has-no-token"  # noqa: S105 (it is to be refused)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_REFUSED = frozenset({401, 403})
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
    host = urlsplit(url).hostname or ""
    try:
        with requests.post(
            f"{url.rstrip('/')}/tms",
            data=b"{}",
            headers={"Content-Type": "application/json"},
            auth=_Bearer(),
            allow_redirects=False,
            stream=True,  # the status says all, and a body may have no end
            timeout=(_CONNECT, seconds),
        ) as response:
            status, location = response.status_code, response.headers.get("Location", "")
    except requests.RequestException as error:
        return wrong(
            f"{url}: {describe(error, host)}",
            "Correct OAM_CATALOG_URL, or find out why the catalog can't be reached from here.",
        )
    return judge(url, status, location)


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

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {_WRONG_TOKEN}"
        return request

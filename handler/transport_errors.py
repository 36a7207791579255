"""What requests and the libraries below it raise: in words, and with its class."""

import http.client
import socket
import ssl
from collections.abc import Iterator

import requests

from handler.outcomes import CatalogDown, CatalogTimeout

_WORDS: dict[type[BaseException], str] = {
    requests.exceptions.ProxyError: "the proxy made no connection to {host}",
    socket.gaierror: "the name {host} has no address",
    ConnectionRefusedError: "connection refused by {host}",
    ConnectionError: "connection closed by {host} without an answer",
    ssl.SSLCertVerificationError: "the certificate of {host} is not accepted",
    ssl.SSLError: "no TLS connection to {host}",
    TimeoutError: "{host} did not answer in time",
    http.client.HTTPException: "{host} did not answer in HTTP",
}


def kind_of(error: Exception) -> type[CatalogDown]:
    """Return the class of an error after which the catalog may have got the request."""
    return CatalogTimeout if any(isinstance(cause, TimeoutError) for cause in _causes(error)) else CatalogDown


def describe(error: Exception, host: str) -> str:
    """Say in words what the transport met, not what its libraries wrapped it in."""
    causes = list(_causes(error))
    for cause in causes:
        for kind, words in _WORDS.items():
            if isinstance(cause, kind):
                return words.format(host=host)
    # Of the system's own errors the words, of all others the name.
    innermost = causes[-1]
    return f"no connection to {host}: {innermost if type(innermost) is OSError else type(innermost).__name__}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

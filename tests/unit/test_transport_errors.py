"""What the transport below the catalog raises, in words and with its class."""

import http.client
import socket
import ssl

import pytest
import requests

from handler.outcomes import CatalogDown, CatalogTimeout
from handler.transport_errors import describe, kind_of


def wrapped(cause: Exception) -> Exception:
    """Wrap an error as urllib3 and requests do: once said, and once by the way."""
    middle, outer = OSError(f"Pool(host=x): {cause!r}"), requests.ConnectionError("Max retries exceeded")
    middle.__cause__ = cause
    outer.__context__ = middle
    return outer


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (requests.exceptions.ProxyError("no"), "the proxy made no connection to there"),
        (socket.gaierror(-2, "no"), "the name there has no address"),
        (ConnectionRefusedError(111, "no"), "connection refused by there"),
        (ConnectionResetError(104, "no"), "connection closed by there without an answer"),
        (http.client.RemoteDisconnected("no"), "connection closed by there without an answer"),
        (ssl.SSLCertVerificationError(1, "no"), "the certificate of there is not accepted"),
        (ssl.SSLError(1, "no"), "no TLS connection to there"),
        (TimeoutError("no"), "there did not answer in time"),
        (http.client.BadStatusLine("no"), "there did not answer in HTTP"),
        # What has no words of ours: of the system the text, of a library the name.
        (OSError("no route"), "no connection to there: no route"),
        (PermissionError(13, "no"), "no connection to there: PermissionError"),
        (ValueError("no"), "no connection to there: ValueError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_is_said_in_words_however_its_libraries_wrap_it(cause: Exception, words: str) -> None:
    assert describe(cause, "there") == words
    assert describe(wrapped(cause), "there") == words


def test_only_a_time_that_was_over_counts_as_slow() -> None:
    assert kind_of(wrapped(TimeoutError())) is kind_of(TimeoutError()) is CatalogTimeout
    assert kind_of(wrapped(ConnectionResetError())) is kind_of(ValueError()) is CatalogDown

"""The catalog's client against a real HTTP server that does what catalogs, proxies and networks do."""

import json
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from requests.adapters import HTTPAdapter

from handler.catalog import Catalog, _Body
from handler.catalog_entry import Notification
from handler.deadline import Deadline, Reserve
from handler.outcomes import CatalogDown, CatalogError, CatalogTimeout, CatalogUnavailable, OutOfTime
from handler.redaction import WITHHELD
from local.stack.catalog_server import CatalogServer
from local.stack.http_server import Answer, HttpServer, Request, Script
from tests.conftest import in_seconds
from tests.integration.fault_proxy import reset

TOKEN = 't0ken/"with"&<odd>+characters='
SAID = Notification("https://tiles/{z}/{x}/{y}.png", ("http://a/1.tif", "http://b/\ud800.tif"))


def client(url: str, token: str = TOKEN) -> Catalog:
    return Catalog(url, lambda *_: token, 32)


@pytest.fixture
def server() -> Iterator[CatalogServer]:
    with CatalogServer(TOKEN) as running:
        yield running


@contextmanager
def raw_server(script: Script) -> Iterator[tuple[str, list[Request]]]:
    """Serve every connection by a script once its request has come; give the URL and what came."""
    received: list[Request] = []

    def answer(request: Request) -> Script:
        received.append(request)
        return script

    with HttpServer(answer) as running:
        yield running.url, received


def failure(catalog: Catalog, seconds: float = 20) -> str:
    """Notify in vain; give the reason, after a look for the token in all of the error."""
    with pytest.raises(CatalogError) as caught:
        catalog.notify(SAID, in_seconds(seconds))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert TOKEN not in shown
    assert len(str(caught.value)) <= 500
    return str(caught.value)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_2xx_of_the_post_itself_is_success(server: CatalogServer, status: int) -> None:
    server.answers.append(Answer(status, b"" if status == 204 else b"{}"))
    client(server.url).notify(SAID, in_seconds(20))
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/tms")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.json == SAID.payload


@pytest.mark.parametrize("base", ["", "/v1", "/a/b"])
def test_the_base_url_may_have_a_path(server: CatalogServer, base: str) -> None:
    server.answers.append(Answer(200))
    client(server.url + base).notify(SAID, in_seconds(20))
    assert server.requests[0].path == f"{base}/tms"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_no_success(server: CatalogServer, status: int) -> None:
    with CatalogServer(TOKEN) as elsewhere:
        server.answers.append(Answer(status, headers={"Location": f"{elsewhere.url}/tms"}))
        assert f"HTTP {status}" in failure(client(server.url))
        assert elsewhere.requests == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500, 501])
def test_a_refusal_is_not_tried_again_at_once(server: CatalogServer, status: int) -> None:
    server.answers.append(Answer(status, b"the reason"))
    assert failure(client(server.url)) == f"HTTP {status}: the reason"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [413, 429, 503])
def test_what_the_catalog_asks_for_is_told(server: CatalogServer, status: int) -> None:
    server.answers.append(Answer(status, b"later", headers={"Retry-After": "3600"}))
    with pytest.raises(CatalogError, match=f"HTTP {status}: later") as caught:
        client(server.url).notify(SAID, in_seconds(20))
    assert caught.value.retry_after == 3600
    assert len(server.requests) == 1


def test_a_retry_after_that_is_none_does_not_hide_the_status(server: CatalogServer) -> None:
    server.answers.append(Answer(503, b"down", headers={"Retry-After": "soon"}))
    assert failure(client(server.url)) == "HTTP 503: down"


@pytest.mark.parametrize("status", [408, 502, 504, 520, 521, 522, 523, 524, 530])
def test_a_proxy_before_a_dead_catalog_is_a_catalog_that_is_down_and_may_be_at_work(
    server: CatalogServer, status: int
) -> None:
    server.answers.append(Answer(status))
    with pytest.raises(CatalogDown) as caught:
        client(server.url).notify(SAID, in_seconds(20))
    assert not isinstance(caught.value, CatalogUnavailable)


@pytest.mark.parametrize("status", [429, 503])
def test_a_catalog_that_turns_requests_away_may_be_asked_again_at_once(
    server: CatalogServer, status: int
) -> None:
    server.answers.append(Answer(status))
    with pytest.raises(CatalogUnavailable):
        client(server.url).notify(SAID, in_seconds(20))


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_a_refusal_is_no_catalog_that_is_down(server: CatalogServer, status: int) -> None:
    """A 500 may be about this one notification."""
    server.answers.append(Answer(status))
    with pytest.raises(CatalogError) as caught:
        client(server.url).notify(SAID, in_seconds(20))
    assert not isinstance(caught.value, CatalogDown)


def test_a_connection_reset_after_the_request_may_have_reached_the_catalog() -> None:
    with raw_server(lambda connection: connection.close()) as (url, received):
        with pytest.raises(
            CatalogDown, match=r"connection closed by 127\.0\.0\.1 without an answer"
        ) as caught:
            client(url).notify(SAID, in_seconds(20))
        assert not isinstance(caught.value, CatalogUnavailable)
    assert len(received) == 1


def test_nobody_there_is_said_in_words() -> None:
    with pytest.raises(CatalogUnavailable, match=r"^connection refused by 127\.0\.0\.1$"):
        client("http://127.0.0.1:9").notify(SAID, in_seconds(20))


def test_a_hanging_catalog_is_left_within_the_time_there_is_and_asked_once_only() -> None:
    with raw_server(lambda connection: time.sleep(30)) as (url, received):
        begun = time.monotonic()
        with pytest.raises(CatalogTimeout, match=r"127\.0\.0\.1 did not answer"):
            client(url).notify(SAID, in_seconds(Reserve.SEND + 1))
        assert time.monotonic() - begun < 4
    assert len(received) == 1


def test_nothing_is_asked_without_time_for_it(server: CatalogServer) -> None:
    with pytest.raises(OutOfTime):
        client(server.url).notify(SAID, in_seconds(Reserve.SEND - 0.1))
    assert server.requests == []


@pytest.mark.parametrize("body", [b"", b"Content-Length: 99\r\n\r\n{", b"Content-Length: x\r\n\r\n"])
def test_a_2xx_whose_body_breaks_off_is_still_a_success(body: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + (body or b"\r\n"))

    with raw_server(answer) as (url, _):
        client(url).notify(SAID, in_seconds(20))


def test_an_error_whose_body_breaks_off_keeps_its_status() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 418 Teapot\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")

    with raw_server(answer) as (url, _):
        assert failure(client(url)).startswith("HTTP 418: (body: ")


def test_an_answer_that_is_not_http_is_an_error() -> None:
    with raw_server(lambda connection: connection.sendall(b"220 smtp ready\r\n")) as (url, _):
        assert failure(client(url)) == "127.0.0.1 did not answer in HTTP"


@pytest.mark.parametrize(
    "written",
    [
        TOKEN,
        't0ken/\\"with\\"&<odd>+characters=',
        quote(TOKEN),
        quote(TOKEN, safe=""),
        "t0ken/&quot;with&quot;&amp;&lt;odd&gt;+characters=",
        't0ken\\/\\"with\\"&<odd>+characters=',  # PHP's JSON
        "t0ken\\u002f\\u0022with\\u0022\\u0026\\u003codd\\u003e\\u002bcharacters\\u003D",
        "t0ken%2f%22with%22%26%3codd%3E+characters=",
        "t0ken&#x2F;&#34;with&#034;&AMP;&#60;odd&#62;&plus;characters&#61;",
        json.dumps(json.dumps(TOKEN)),
    ],
)
@pytest.mark.parametrize("before", [0, 470, 495, 5_000])
def test_a_token_that_the_catalog_echoes_is_withheld_with_all_that_stands_around_it(
    server: CatalogServer, written: str, before: int
) -> None:
    server.answers.append(Answer(401, b"x" * before + written.encode() + b"!"))
    assert failure(client(server.url)) == f"HTTP 401: {WITHHELD}"


def test_a_token_that_breaks_off_with_the_answer_is_withheld() -> None:
    """A proxy that gives up in the middle: what came by then is shown."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 401 No\r\n\r\nno such token: " + quote(TOKEN[:16]).encode())

    with raw_server(answer) as (url, _):
        assert failure(client(url)) == f"HTTP 401: {WITHHELD}"


def test_the_text_of_an_exception_is_not_shown_and_its_kind_is(
    server: CatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library quotes of a request or an answer."""

    def fail(*arguments: object, **options: object) -> None:
        raise requests.exceptions.InvalidHeader(f"header value {TOKEN!r}")

    monkeypatch.setattr(HTTPAdapter, "send", fail)
    assert failure(client(server.url)) == "no connection to 127.0.0.1: InvalidHeader"


@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize("piece", [b"\\", b"&am", b"%", b"&#9"])
def test_64_kb_that_look_encoded_hold_no_other_job_up(
    server: CatalogServer, status: int, piece: bytes
) -> None:
    """18 s of CPU, for a token that begins with a hyphen."""
    server.answers += [Answer(status, (piece * 65_536)[:65_536])] * 3
    begun = time.thread_time()
    if status == 200:
        client(server.url, "-secret-token").notify(SAID, in_seconds(20))
    else:
        with pytest.raises(CatalogError, match=f"HTTP {status}: "):
            client(server.url, "-secret-token").notify(SAID, in_seconds(20))
    assert time.thread_time() - begun < 0.5


def test_an_answer_that_is_not_going_to_be_shown_is_not_searched(
    server: CatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []

    def search(text: str, token: str) -> str:
        searched.append(text)
        return text

    monkeypatch.setattr("handler.catalog.redact", search)
    server.answers += [Answer(201, b"made"), Answer(400, b"no")]
    client(server.url).notify(SAID, in_seconds(20))
    assert failure(client(server.url)) == "HTTP 400: no"
    assert searched == ["no"]


def test_a_token_in_a_redirects_location_or_a_garbled_answer_stays_out_of_the_error() -> None:
    def echo(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/9.9 {TOKEN}\r\n{TOKEN}: {TOKEN}\r\n\r\n".encode())

    with raw_server(echo) as (url, _):
        failure(client(url))


def test_a_body_that_is_no_utf8_is_shown_all_the_same(server: CatalogServer) -> None:
    server.answers.append(Answer(400, b"caf\xe9"))
    assert failure(client(server.url)) == "HTTP 400: caf\ufffd"


def test_a_netrc_does_not_replace_the_token(
    server: CatalogServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login u password p\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client(server.url).notify(SAID, in_seconds(20))
    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_notifications_share_a_connection(server: CatalogServer) -> None:
    catalog = client(server.url)
    for _ in range(3):
        catalog.notify(SAID, in_seconds(20))
    assert len(server.requests) == 3
    assert len({request.connection for request in server.requests}) == 1


def test_a_body_is_read_up_to_its_limit_also_where_all_of_it_would_come_in_time(
    server: CatalogServer,
) -> None:
    # GIVEN responses of a MiB, and a client that uses a connection again only if it has read all of a body
    server.answers.extend(Answer(200, b"x" * 1_048_576) for _ in range(2))
    catalog = client(server.url)
    for _ in range(2):
        catalog.notify(SAID, in_seconds(20))
    # THEN it has left a part of the first unread
    assert len({request.connection for request in server.requests}) == 2


def test_32_threads_share_a_client(server: CatalogServer) -> None:
    catalog = client(server.url)
    notifications = [Notification(f"https://tiles/{number}", ("a",)) for number in range(32)]
    with ThreadPoolExecutor(32) as pool:
        for done in [pool.submit(catalog.notify, one, in_seconds(20)) for one in notifications]:
            done.result()
    assert sorted(request.json["uri"] for request in server.requests) == sorted(
        one.uri for one in notifications
    )


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (b"302 Found", b"Location: http://["),
        (b"301 Moved", b"Location: /\xff"),
        (b"400 Bad", b"Retry-After: Fri, 31 Dec 99999 23:59:59 GMT"),
        (b"503 Busy", b"Retry-After: Fri, 99 Dec 2026 99:99:99 GMT"),
        (b"429 Slow", b"Retry-After: " + b"9" * 5_000),
        (b"400 Bad", b"Content-Encoding: gzip"),
    ],
    ids=["no URL", "no UTF-8", "year", "date", "digits", "no gzip"],
)
def test_headers_that_make_no_sense_leave_an_error_with_the_status(status: bytes, headers: bytes) -> None:
    """What a library raises for them must not be taken for a defect of ours, which would fail all the job."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 "
            + status
            + b"\r\n"
            + headers
            + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        )

    with raw_server(answer) as (url, _):
        assert failure(client(url)).startswith(f"HTTP {status[:3].decode()}")


def drip(status: bytes) -> Callable[[socket.socket], None]:
    """Make a script that answers, then sends a byte of the body now and then, for half a minute."""

    def script(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 9999\r\n\r\n")
        try:
            for _ in range(300):
                connection.sendall(b"x")
                time.sleep(0.1)
        except OSError:
            pass

    return script


def flood(status: bytes) -> Callable[[socket.socket], None]:
    """Make a script that answers with a body that has no end."""

    def script(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nLocation: /elsewhere\r\n\r\n")
        try:
            while True:
                connection.sendall(b"x" * 65_536)
        except OSError:
            pass

    return script


@pytest.mark.parametrize("body", [drip, flood])
@pytest.mark.parametrize("status", [b"201 Created", b"400 Bad", b"503 Busy", b"302 Found"])
def test_a_body_without_an_end_is_left_soon_and_the_status_counts(
    body: Callable[[bytes], Callable[[socket.socket], None]], status: bytes
) -> None:
    with raw_server(body(status)) as (url, received):
        begun = time.monotonic()
        if status.startswith(b"2"):
            client(url).notify(SAID, in_seconds(20))
        else:
            assert failure(client(url)).startswith(f"HTTP {status[:3].decode()}: x")
        assert time.monotonic() - begun < 10  # of half a minute
    assert len(received) == 1


def test_a_connection_that_idled_while_the_function_was_frozen_is_not_used_again() -> None:
    """The catalog has closed it by then, and what is sent into it is lost."""

    def once(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        if connection.recv(1):  # a second request on the same connection
            reset(connection)

    now = [time.time()]
    with raw_server(once) as (url, received):
        catalog = client(url)
        for _ in range(3):
            catalog.notify(SAID, Deadline(now[0] + 20, lambda: now[0]))
            now[0] += 5
    assert len(received) == 3


@contextmanager
def silent_addresses(count: int) -> Iterator[list[tuple[str, int]]]:
    """Yield addresses that let no connection come about, and refuse none."""
    with ExitStack() as stack:
        found = []
        for number in range(count):
            server = stack.enter_context(socket.socket())
            server.bind((f"127.0.0.{number + 1}", 0))
            server.listen(0)
            for _ in range(4):  # its queue is full: Linux drops what comes after
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(server.getsockname())
            found.append(server.getsockname())
        time.sleep(0.05)
        yield found


def test_a_name_with_eight_silent_addresses_is_a_catalog_that_is_down_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with silent_addresses(8) as addresses:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        begun = time.monotonic()
        with pytest.raises(CatalogUnavailable, match=r"no connection to catalog\.example\.org within"):
            client("http://catalog.example.org").notify(SAID, in_seconds(Reserve.RECORD + 2))
        assert 1 < time.monotonic() - begun < 4


def test_no_whole_request_is_sent_after_the_deadline_however_long_the_name_took(
    server: CatalogServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left behind would POST in the next invocation, beside another instance."""
    # GIVEN a name server that answers after the invocation's end
    resolve, done = socket.getaddrinfo, threading.Event()

    def slow(*args: Any, **kwargs: Any) -> object:
        time.sleep(2.5)
        found = resolve(*args, **kwargs)
        threading.Timer(0.5, done.set).start()
        return found

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(CatalogUnavailable):
        client(server.url).notify(SAID, in_seconds(Reserve.RECORD + 1))
    assert done.wait(10)
    # THEN what was sent is no request that the catalog could take: its body is missing
    assert [request.json for request in server.requests if request.json] == []


def test_an_answer_that_drips_is_left_in_time_and_counts_as_slow() -> None:
    def drip_headers(connection: socket.socket) -> None:
        try:
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 30:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            pass

    with raw_server(drip_headers) as (url, received):
        begun = time.monotonic()
        with pytest.raises(CatalogTimeout):
            client(url).notify(SAID, in_seconds(Reserve.RECORD + 1.5))
        assert time.monotonic() - begun < 4
    assert len(received) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", "connection refused by 127.0.0.1"),
        ("http://no-such-host.invalid", "the name no-such-host.invalid has no address"),
        ("http://" + "a" * 64 + ".org", "no connection to"),
        ("https://{server}", "no TLS connection to 127.0.0.1"),
    ],
)
def test_what_the_transport_raises_is_a_catalog_that_is_down_in_words(
    server: CatalogServer, url: str, words: str
) -> None:
    said = failure(client(url.format(server=server.url.removeprefix("http://"))))
    assert words in said
    assert not re.search(r"object at|Connection\(|Pool|urllib3|Errno", said)


def test_a_missing_ca_bundle_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    said = failure(client("https://127.0.0.1:9"))
    assert "gone.pem" in said


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("odd"), UnicodeError("odd")])
def test_whatever_else_the_transport_raises_is_a_catalog_that_is_down(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", fail)
    assert failure(client("http://127.0.0.1:9")) == f"no connection to 127.0.0.1: {type(error).__name__}"


@pytest.mark.parametrize(
    ("status", "said"), [(b"201 Created", None), (b"400 Bad", "HTTP 400: (no body in time)")]
)
def test_an_answer_whose_body_never_comes_is_known_by_its_status(status: bytes, said: str | None) -> None:
    """Else a catalog that took the notification is asked again at every delivery."""

    def stall(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n")
        time.sleep(20)

    with raw_server(stall) as (url, received):
        begun = time.monotonic()
        if said is None:
            client(url).notify(SAID, in_seconds(20))
        else:
            assert failure(client(url)) == said
        assert time.monotonic() - begun < 10
    assert len(received) == 1


def test_a_body_is_not_handed_over_after_the_deadline_or_once_it_is_cancelled() -> None:
    now = [1_000.0]
    deadline = Deadline(1_010.0, lambda: now[0])
    body = _Body(b"abc", deadline)
    assert not body.cancel()
    with pytest.raises(OutOfTime):
        body.read()
    late = _Body(b"abc", deadline)
    assert late.read(2) == b"ab"
    now[0] = 1_010.1
    with pytest.raises(OutOfTime):
        late.read(2)
    assert late.cancel()
    # AND what was handed over whole ends as it should, whenever that is seen
    assert _Body(b"", deadline).read() == b""


def test_no_room_for_a_thread_is_no_defect(monkeypatch: pytest.MonkeyPatch, server: CatalogServer) -> None:
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(CatalogUnavailable, match="can't start new thread"):
        client(server.url).notify(SAID, in_seconds(20))

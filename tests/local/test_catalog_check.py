"""What the catalog's answer to a wrong token, and to the function's, says of it."""

import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from local.cli.catalog_check import CatalogCheck, check_catalog, judge
from local.cli.findings import Result, ok
from local.stack.catalog_server import CatalogServer
from local.stack.http_server import Answer, HttpServer, Request
from tests.ports import silent_server


def test_a_catalog_that_refuses_a_wrong_token_passes() -> None:
    # GIVEN a catalog
    with CatalogServer("the-token") as catalog:
        # WHEN it is asked
        found = check_catalog(catalog.url)

    # THEN it passes, and has got nothing
    assert (found.result, found.todo) == (Result.OK, "")
    assert found.found == f"{catalog.url}/tms answers HTTP 401 to a wrong token, as it must"
    assert catalog.entries == {}


def test_a_catalog_that_takes_any_token_has_nothing_to_register() -> None:
    # GIVEN a catalog that takes the very token
    with CatalogServer(None) as spy:
        check_catalog(spy.url)
    (request,) = spy.requests
    token = request.headers["Authorization"].removeprefix("Bearer ")
    with CatalogServer(token) as catalog:
        # WHEN it is asked
        found = check_catalog(catalog.url)

    # THEN that is said, and nothing was registered
    assert (request.method, request.path, request.json) == ("POST", "/tms", {})
    assert found.result is Result.WRONG
    assert "HTTP 400 to a wrong token: it takes any token, or reads the message first" in found.found
    assert catalog.entries == {}


@pytest.mark.parametrize(
    ("answer", "said", "todo"),
    [
        (Answer(404), "this catalog has no /tms; the public one dropped it in 2017", "MOCK_OAM_API=true"),
        (Answer(405), "this catalog has no /tms", "name a catalog that has it"),
        (Answer(500), "it does not serve", "Try again later"),
        (Answer(429), "it does not serve", "Try again later"),
        (Answer(200), "HTTP 200 to a wrong token, not 401", "whether it checks tokens"),
        (
            Answer(301, headers={"Location": "https://new.example/tms"}),
            "a redirect to https://new.example/tms, which the function does not follow",
            "name the place that it leads to",
        ),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else "",
)
def test_each_other_answer_says_what_it_means(answer: Answer, said: str, todo: str) -> None:
    # GIVEN a catalog that answers so
    with CatalogServer(None) as catalog:
        catalog.answers.append(answer)

        # WHEN it is asked
        found = check_catalog(catalog.url)

    # THEN it is said what that means, and what to do; it was asked once
    assert found.result is Result.WRONG
    assert said in found.found
    assert todo in found.todo
    assert len(catalog.requests) == 1


def test_a_password_of_the_users_netrc_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a .netrc with a password for the catalog's host
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    # WHEN the catalog is asked
    with CatalogServer(None) as catalog:
        check_catalog(catalog.url)

    # THEN it got the wrong token all the same
    assert catalog.requests[0].headers["Authorization"].startswith("Bearer ")


def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path) -> None:
    # GIVEN a catalog over TLS with a certificate of its own making
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "both.pem").write_bytes(secret + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    requests: list[Request] = []

    def refuse(request: Request) -> Answer:
        requests.append(request)
        return Answer(401)

    with HttpServer(refuse, tls=context) as catalog:
        # WHEN it is asked
        found = check_catalog(catalog.url)

    # THEN it is said so, and nothing was sent
    assert found.result is Result.WRONG
    assert found.found.endswith("the certificate of 127.0.0.1 is not accepted")
    assert requests == []


def test_a_missing_tms_is_told_apart_from_a_refused_token() -> None:
    assert judge("https://c.example", 403).result is Result.OK
    assert judge("https://c.example", 404).result is Result.WRONG


def test_a_token_that_would_be_sent_without_tls_is_wrong() -> None:
    assert "without TLS" in judge("http://c.example", 401).found
    assert judge("https://c.example", 401).result is Result.OK
    assert judge("http://127.0.0.1:4578", 401).result is Result.OK  # nothing leaves this machine


def test_a_catalog_that_is_not_there_is_told_in_words() -> None:
    # WHEN nothing listens there
    found = check_catalog("http://127.0.0.1:9")

    # THEN it is said so
    assert found.result is Result.WRONG
    assert found.found == "http://127.0.0.1:9: connection refused by 127.0.0.1"


def test_a_silent_catalog_is_not_waited_for_beyond_its_time() -> None:
    # GIVEN a catalog that takes the connection, and says nothing
    with silent_server() as silent:
        # WHEN it is asked
        began = time.monotonic()
        found = check_catalog(silent, seconds=0.2)

    # THEN it is said so, in time
    assert time.monotonic() - began < 5
    assert found.result is Result.WRONG
    assert "127.0.0.1 did not answer in time" in found.found


KEPT = ok("there is a token")


def test_a_token_that_the_catalog_takes_is_told_from_one_that_it_refuses() -> None:
    # GIVEN a catalog
    with CatalogServer("the-token") as catalog:
        check = CatalogCheck(catalog.url)

        # WHEN it is asked of its token, and of another
        taken, refused = check.token("the-token", KEPT), check.token("an-old-token", KEPT)

    # THEN it is said which is which, and what to do; the catalog has got nothing but empty objects
    assert taken == ok("there is a token; the catalog takes it")
    assert refused.result is Result.WRONG
    assert refused.found == "there is a token; but the catalog refuses the function's token: HTTP 401"
    assert "docs/operations.md#rotating-the-token" in refused.todo
    assert [request.json for request in catalog.requests] == [{}, {}, {}]
    assert catalog.entries == {}


@pytest.mark.parametrize("status", [200, 301, 400, 404, 429, 500])
def test_the_token_is_not_sent_to_a_catalog_that_did_not_refuse_a_wrong_one(status: int) -> None:
    with CatalogServer("the-token") as catalog:
        catalog.answers.append(Answer(status))
        assert CatalogCheck(catalog.url).token("the-token", KEPT) == KEPT
    assert len(catalog.requests) == 1


def test_the_token_is_not_sent_to_another_host_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a catalog on another host (behind a proxy, which sees all that is sent)
    with CatalogServer("the-token") as catalog:
        monkeypatch.setenv("http_proxy", catalog.url)
        check = CatalogCheck("http://catalog.example")

        # WHEN it is asked of the token
        found = check.token("the-token", KEPT)

    # THEN it is not, and that there is no TLS is the verdict on the catalog
    assert found == KEPT
    assert "without TLS" in check.catalog().found
    assert ["the-token" in str(request.headers) for request in catalog.requests] == [False]


@pytest.mark.parametrize("status", [404, 503])
def test_an_answer_that_tells_nothing_of_the_token_is_said_to_be_so(status: int) -> None:
    with CatalogServer("the-token") as catalog:
        catalog.answers += [Answer(401), Answer(status)]
        found = CatalogCheck(catalog.url).token("the-token", KEPT)
    assert found.result is Result.WRONG
    assert f"whether the catalog takes it is not known: HTTP {status}" in found.found

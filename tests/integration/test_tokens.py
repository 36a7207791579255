"""The token in Secrets Manager, over HTTP: read when it is needed, again when it was rotated."""

import threading
import uuid
from collections.abc import Iterator

import pytest

from handler.catalog import Catalog
from handler.errors import CatalogError, OutOfTime
from handler.notification import Notification
from handler.tokens import MAX_AGE, SecretToken, TokenUnavailable
from tests.conftest import Aws, always
from tests.integration.fault_proxy import Fault, FaultProxy
from tests.integration.scripted_catalog import Answer, ScriptedCatalog

NOTIFICATION = Notification("m", "https://tiles/{z}/{x}/{y}.png", ("image",))


class Secret:
    """A secret, reached through a proxy that counts."""

    now = 0.0  # seconds, of the clock that the token is kept by

    def __init__(self, aws: Aws, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.manager = aws.client("secretsmanager", proxy.url)
        self.arn = self.manager.create_secret(Name=uuid.uuid4().hex)["ARN"]
        proxy.requests.clear()
        self.token = SecretToken(self.arn, always(self.manager), lambda: self.now)

    def put(self, value: str) -> None:
        self.manager.put_secret_value(SecretId=self.arn, SecretString=value)
        self.proxy.requests.clear()

    @property
    def reads(self) -> int:
        return len(self.proxy.requests)


@pytest.fixture
def secret(aws: Aws) -> Iterator[Secret]:
    with FaultProxy(aws.url) as proxy:
        yield Secret(aws, proxy)


def test_the_secret_is_read_once_for_many_threads_and_notifications(secret: Secret) -> None:
    secret.put("first\n")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(secret.token(None, 20))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["first"] * 16
    assert secret.reads == 1


def test_a_secret_of_minutes_ago_is_read_again(secret: Secret) -> None:
    secret.put("first")
    secret.token(None, 20)
    secret.put("second")
    secret.now = MAX_AGE - 1
    assert secret.token(None, 20) == "first"
    secret.now = MAX_AGE
    assert secret.token(None, 20) == "second"


def test_a_rotation_needs_no_deployment(secret: Secret) -> None:
    # GIVEN a catalog that no longer takes the token that is known here
    secret.put("first")
    with ScriptedCatalog() as server:
        catalog = Catalog(server.url, secret.token, 4)
        catalog.notify(NOTIFICATION, 20)
        secret.put("second")
        server.answers.append(Answer(401))
        # WHEN it is told
        catalog.notify(NOTIFICATION, 20)
        # THEN the secret was read again, once, and the notification sent with it
        assert [request.headers["Authorization"] for request in server.requests] == [
            "Bearer first",
            "Bearer first",
            "Bearer second",
        ]
        assert secret.reads == 1


def test_a_wrong_token_is_not_sent_twice(secret: Secret) -> None:
    secret.put("wrong")
    with ScriptedCatalog() as server:
        server.answers += [Answer(401), Answer(401)]
        with pytest.raises(CatalogError, match="HTTP 401"):
            Catalog(server.url, secret.token, 4).notify(NOTIFICATION, 20)
        assert len(server.requests) == 1
        assert secret.reads == 2


def test_both_tokens_of_a_rotation_stay_out_of_the_error(secret: Secret) -> None:
    secret.put("first-token")
    with ScriptedCatalog() as server:
        catalog = Catalog(server.url, secret.token, 4)
        secret.token(None, 20)
        secret.put("second-token")
        server.answers += [Answer(401, b"not first-token"), Answer(403, b"not second-token")]
        with pytest.raises(CatalogError, match=r"HTTP 403: not \*\*\*"):
            catalog.notify(NOTIFICATION, 20)


@pytest.mark.parametrize("value", ["", "two\nlines", "nön-ascii", "  "])
def test_a_secret_that_is_no_token_is_named_but_not_shown(secret: Secret, value: str) -> None:
    if value:
        secret.put(value)
    with pytest.raises(TokenUnavailable, match=secret.arn) as caught:
        secret.token(None, 20)
    assert not value.strip() or value not in str(caught.value)


def test_a_secret_that_cannot_be_read_may_be_later(secret: Secret) -> None:
    secret.put("token")
    secret.proxy.faults.extend(Fault("POST", answer=(500, "InternalServiceError")) for _ in range(3))
    with pytest.raises(TokenUnavailable, match="can't be read"):
        secret.token(None, 20)
    assert secret.token(None, 20) == "token"


def test_a_secret_is_not_waited_for_beyond_the_time_there_is(secret: Secret) -> None:
    # GIVEN a thread that reads it from a server that hangs
    secret.put("token")
    reading, hanging = threading.Event(), threading.Event()

    def hang() -> None:
        reading.set()
        hanging.wait(10)

    secret.proxy.faults.append(Fault("POST", before=hang))
    first = threading.Thread(target=secret.token, args=(None, 20))
    first.start()
    reading.wait()
    # WHEN another one has half a second
    try:
        with pytest.raises(OutOfTime):
            secret.token(None, 0.5)
    finally:
        hanging.set()
        first.join()
    # THEN it has not waited longer, and the first one's answer serves all
    assert secret.token(None, 0) == "token"
    assert secret.reads == 1

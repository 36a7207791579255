"""The token in Secrets Manager, over HTTP: read when it is needed, again when it was rotated."""

import threading
import uuid
from collections.abc import Iterator

import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider

from handler import tokens
from handler.catalog import Catalog, CatalogError
from handler.notification import Notification
from handler.tokens import SecretToken, TokenUnavailable
from tests.conftest import Aws
from tests.integration.fault_proxy import Fault, FaultProxy
from tests.integration.scripted_catalog import Answer, ScriptedCatalog

NOTIFICATION = Notification("m", "https://tiles/{z}/{x}/{y}.png", ("image",))


class Secret:
    """A secret, reached through a proxy that counts."""

    def __init__(self, aws: Aws, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.manager = aws.client("secretsmanager", proxy.url)
        self.arn = self.manager.create_secret(Name=uuid.uuid4().hex)["ARN"]
        proxy.requests.clear()
        self.token = SecretToken(self.arn, lambda: SecretsProvider(boto3_client=self.manager))

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
    threads = [threading.Thread(target=lambda: found.append(secret.token(None))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["first"] * 16
    assert secret.reads == 1


def test_a_secret_of_minutes_ago_is_read_again(secret: Secret, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_AGE", 0)
    secret.put("first")
    secret.token(None)
    secret.put("second")
    assert secret.token(None) == "second"


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
        secret.token(None)
        secret.put("second-token")
        server.answers += [Answer(401, b"not first-token"), Answer(403, b"not second-token")]
        with pytest.raises(CatalogError, match=r"HTTP 403: not \*\*\*"):
            catalog.notify(NOTIFICATION, 20)


@pytest.mark.parametrize("value", ["", "two\nlines", "nön-ascii", "  "])
def test_a_secret_that_is_no_token_is_named_but_not_shown(secret: Secret, value: str) -> None:
    if value:
        secret.put(value)
    with pytest.raises(TokenUnavailable, match=secret.arn) as caught:
        secret.token(None)
    assert not value.strip() or value not in str(caught.value)


def test_a_secret_that_cannot_be_read_may_be_later(secret: Secret) -> None:
    secret.put("token")
    secret.proxy.faults.extend(Fault("POST", answer=(500, "InternalServiceError")) for _ in range(3))
    with pytest.raises(TokenUnavailable, match="can't be read"):
        secret.token(None)
    assert secret.token(None) == "token"

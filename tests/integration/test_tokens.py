"""The token in Secrets Manager, over HTTP: read when it is needed, again when it was rotated."""

import functools
import json
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from handler.catalog import Catalog
from handler.catalog_entry import Notification
from handler.deadline import Deadline, Reserve
from handler.outcomes import CatalogError, OutOfTime, TokenUnavailable
from handler.tokens import MAX_AGE, PAUSE, SecretToken
from local.stack.catalog_server import CatalogServer
from local.stack.http_server import Answer
from tests.conftest import Aws
from tests.integration.fault_proxy import Fault, FaultProxy

NOTIFICATION = Notification("https://tiles/{z}/{x}/{y}.png", ("image",))


class Secret:
    """A secret, reached through a proxy that counts, and what is logged about it."""

    now = 0.0  # seconds, of the clock that the token is kept by

    def __init__(self, aws: Aws, proxy: FaultProxy, capsys: pytest.CaptureFixture[str]) -> None:
        self.proxy = proxy
        self.capsys = capsys
        self.manager = aws.client("secretsmanager", proxy.url)
        self.arn = self.manager.create_secret(Name=uuid.uuid4().hex)["ARN"]
        proxy.requests.clear()

    @functools.cached_property
    def token(self) -> SecretToken:
        # At the first use, since a Powertools logger holds on to the stdout that it was made with.
        logger = Logger(service=uuid.uuid4().hex)
        return SecretToken(self.arn, lambda: self.manager, logger)

    def deadline(self, seconds: float) -> Deadline:
        """Return the deadline of what has so many seconds beside the time to send and to record."""
        return Deadline(self.now + seconds + Reserve.SEND, lambda: self.now)

    def put(self, value: str) -> None:
        self.manager.put_secret_value(SecretId=self.arn, SecretString=value)
        self.proxy.requests.clear()

    def fail(self, status: int, code: str) -> None:
        """Have the next read fail, however often it is tried."""
        self.proxy.faults.extend(Fault("POST", answer=(status, code)) for _ in range(2))

    def recover(self) -> None:
        self.proxy.faults.clear()
        self.proxy.requests.clear()

    def warnings(self) -> list[dict[str, Any]]:
        """Give the lines since the last look, all of them warnings."""
        lines = [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]
        assert {line["level"] for line in lines} <= {"WARNING"}
        return lines

    @property
    def reads(self) -> int:
        return len(self.proxy.requests)


@pytest.fixture
def secret(aws: Aws, capsys: pytest.CaptureFixture[str]) -> Iterator[Secret]:
    with FaultProxy(aws.url) as proxy:
        yield Secret(aws, proxy, capsys)


def test_the_secret_is_read_once_for_many_threads_and_notifications(secret: Secret) -> None:
    secret.put("first\n")
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(secret.token(None, secret.deadline(20))))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["first"] * 16
    assert secret.reads == 1


def test_a_secret_of_minutes_ago_is_read_again(secret: Secret) -> None:
    secret.put("first")
    secret.token(None, secret.deadline(20))
    secret.put("second")
    secret.now = MAX_AGE - 1
    assert secret.token(None, secret.deadline(20)) == "first"
    secret.now = MAX_AGE
    assert secret.token(None, secret.deadline(20)) == "second"


def test_a_clock_that_went_back_does_not_put_the_next_read_off(secret: Secret) -> None:
    secret.now = 3_600
    secret.put("first")
    secret.token(None, secret.deadline(20))
    secret.put("second")
    secret.now = 0
    assert secret.token(None, secret.deadline(20)) == "second"


def test_a_rotation_needs_no_deployment(secret: Secret) -> None:
    # GIVEN a catalog that no longer takes the token that is known here
    secret.put("first")
    with CatalogServer(None) as server:
        catalog = Catalog(server.url, secret.token, 4)
        catalog.notify(NOTIFICATION, secret.deadline(20))
        secret.put("second")
        server.answers.append(Answer(401))
        # WHEN it is told
        catalog.notify(NOTIFICATION, secret.deadline(20))
        # THEN the secret was read again, once, and the notification sent with it
        assert [request.headers["Authorization"] for request in server.requests] == [
            "Bearer first",
            "Bearer first",
            "Bearer second",
        ]
        assert secret.reads == 1


def test_a_wrong_token_is_not_sent_twice(secret: Secret) -> None:
    secret.put("wrong")
    with CatalogServer(None) as server:
        server.answers += [Answer(401), Answer(401)]
        with pytest.raises(CatalogError, match="HTTP 401"):
            Catalog(server.url, secret.token, 4).notify(NOTIFICATION, secret.deadline(20))
        assert len(server.requests) == 1
        assert secret.reads == 2


def test_both_tokens_of_a_rotation_stay_out_of_the_error(secret: Secret) -> None:
    secret.put("first-token")
    with CatalogServer(None) as server:
        catalog = Catalog(server.url, secret.token, 4)
        secret.token(None, secret.deadline(20))
        secret.put("second-token")
        server.answers += [Answer(401, b"not first-token"), Answer(403, b"not second-token")]
        with pytest.raises(CatalogError, match=r"HTTP 403: \(withheld"):
            catalog.notify(NOTIFICATION, secret.deadline(20))


# What a secret may hold


@pytest.mark.parametrize(
    "value",
    [
        "t0k3n",
        "  t0k3n\n",
        '"t0k3n"',
        ' "t0k3n" ',
        '"\\u0074\\u0030k3n"',
        '"t0k3n\\n"',
        '{"token": "t0k3n"}',
        '{"OAM_API_TOKEN":"t0k3n"}',
        '{"": "t0k3n"}',
        '\n{\n  "token": " t0k3n "\n}\n',
        '{"token": "t0k3n", "version": 3, "old": null, "labels": ["a"]}',
    ],
)
def test_a_secret_as_the_console_makes_it_holds_the_same_token_as_one_of_plain_text(
    secret: Secret, value: str
) -> None:
    """Sent as it is, braces and all, the catalog answers 401."""
    secret.put(value)
    assert secret.token(None, secret.deadline(20)) == "t0k3n"


@pytest.mark.parametrize(
    "value", ["a:b", "a=b&c", 't0ken/{with}[odd]"characters"=', "12-34", "0123", "nul", "-", "x" * 8_192]
)
def test_what_is_no_json_is_the_token_as_it_is(secret: Secret, value: str) -> None:  # fmt: skip
    secret.put(value)
    assert secret.token(None, secret.deadline(20)) == value


IS_A_LITERAL = "is JSON, but neither a string nor an object (a token of digits stands in quotes)"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("two\nlines", "has a character that can't stand in a header"),
        ("nön-ascii", "has a character that can't stand in a header"),
        ("  ", "is empty"),
        ('""', "is empty"),
        ('{"token": ""}', "is empty"),
        ('{"token": "  "}', "is empty"),
        ('"two words"', "has a character that can't stand in a header"),
        ('{"token": "tw\\no"}', "has a character that can't stand in a header"),
        ("{}", "is a JSON object with 0 string values, not one"),
        ('{"token": "s3cret", "user": "s3cret-too"}', "is a JSON object with 2 string values, not one"),
        ('{"token": "s3cret", "token": "s3cret-too"}', "is a JSON object with 2 string values, not one"),
        ('{"token": 734502}', "is a JSON object with 0 string values, not one"),
        ('{"token": null}', "is a JSON object with 0 string values, not one"),
        ('{"token": {"value": "s3cret"}}', "is a JSON object with 0 string values, not one"),
        ('{"token": ["s3cret"]}', "is a JSON object with 0 string values, not one"),
        ("[]", IS_A_LITERAL),
        ('["s3cret"]', IS_A_LITERAL),
        ("734502", IS_A_LITERAL),
        ("734502.5e7", IS_A_LITERAL),
        ("true", IS_A_LITERAL),
        ("null", IS_A_LITERAL),
        ('{"token": "s3cret"', "looks like JSON, but can't be read as such"),
        ("{'token': 's3cret'}", "looks like JSON, but can't be read as such"),
        ("{token:s3cret}", "looks like JSON, but can't be read as such"),
        ('"s3cret', "looks like JSON, but can't be read as such"),
        ("[" * 8_000, "looks like JSON, but can't be read as such"),
        ('"{\\"token\\":\\"s3cret\\"}"', "is JSON in JSON"),
        ('{"secret":"{\\"token\\":\\"s3cret\\"}"}', "is JSON in JSON"),
        ('"\\"s3cret\\""', "is JSON in JSON"),
        ("s" * 8_193, "is longer than 8,192 bytes"),
        ('{"token": "' + "s" * 8_192 + '"}', "is longer than 8,192 bytes"),
    ],
)  # fmt: skip
def test_a_secret_that_is_no_token_is_refused_with_its_reason_and_not_shown(
    secret: Secret, value: str, why: str
) -> None:
    secret.put(value)
    with pytest.raises(TokenUnavailable) as caught:
        secret.token(None, secret.deadline(20))
    # (The ARN ends in six random letters, which now and then are among these.)
    said = "".join(traceback.format_exception(caught.value)).replace(secret.arn, "")
    assert str(caught.value) == f"the secret {secret.arn} holds no token: it {why}"
    assert not any(part in said for part in ("s3cret", "734502", "lines", "ascii", "words", "sss", "[["))


def test_a_binary_secret_is_refused_with_its_reason(secret: Secret) -> None:
    secret.manager.put_secret_value(SecretId=secret.arn, SecretBinary=b"s3cret")
    with pytest.raises(TokenUnavailable, match=r"holds no token: it is binary$") as caught:
        secret.token(None, secret.deadline(20))
    assert "s3cret" not in str(caught.value)


def test_a_secret_without_a_value_is_said_to_have_none(secret: Secret) -> None:
    with pytest.raises(TokenUnavailable, match=rf"{secret.arn} can't be read: .*ResourceNotFoundException"):
        secret.token(None, secret.deadline(20))


# Secrets Manager is out


OUTAGES = [
    (500, "InternalServiceError"),
    (503, "ServiceUnavailable"),
    (400, "ThrottlingException"),
    (400, "AccessDeniedException"),
    (400, "DecryptionFailure"),
    (400, "ResourceNotFoundException"),
    (400, "InvalidRequestException"),  # the secret is about to be deleted
    (400, "ExpiredTokenException"),
]


@pytest.mark.parametrize(("status", "code"), OUTAGES)
def test_while_the_secret_cannot_be_read_the_last_token_goes_on_being_used_with_a_warning(
    secret: Secret, status: int, code: str
) -> None:
    # GIVEN a token that is due to be read again
    secret.put("f1rst")
    secret.token(None, secret.deadline(20))
    secret.now = MAX_AGE
    # WHEN that fails
    secret.fail(status, code)
    assert secret.token(None, secret.deadline(20)) == "f1rst"
    # THEN there is one line, with the reason and without the token
    (line,) = secret.warnings()
    assert line["message"] == "Secret not read: its last token goes on being used"
    assert secret.arn in line["reason"]
    assert code in line["reason"]
    assert "f1rst" not in json.dumps(line)
    # AND it is not read again, nor anything said, for a while
    secret.recover()
    secret.now += PAUSE - 1
    assert [secret.token(None, secret.deadline(20)) for _ in range(5)] == ["f1rst"] * 5
    assert secret.reads == 0
    # AND then it is, with one more line if it fails again
    secret.now += 1
    secret.fail(status, code)
    assert secret.token(None, secret.deadline(20)) == "f1rst"
    assert len(secret.warnings()) == 1
    # AND the first answer ends it
    secret.recover()
    secret.put("s3cond")
    secret.now += PAUSE
    assert secret.token(None, secret.deadline(20)) == "s3cond"
    assert secret.warnings() == []


@pytest.mark.parametrize("value", ["{}", "", "two words", '{"a": "s3cond-a", "b": "s3cond-b"}'])
def test_a_new_value_that_is_no_token_leaves_the_last_one_in_use_with_a_warning(
    secret: Secret, value: str
) -> None:
    secret.put("f1rst")
    secret.token(None, secret.deadline(20))
    secret.put(value or " ")
    secret.now = MAX_AGE
    assert secret.token(None, secret.deadline(20)) == "f1rst"
    (line,) = secret.warnings()
    assert "holds no token" in line["reason"]
    assert "s3cond" not in json.dumps(line)


def test_a_secrets_manager_that_hangs_is_waited_for_by_one_thread_once(secret: Secret) -> None:
    # GIVEN a token that is due to be read again, and a read that hangs, then fails
    secret.put("f1rst")
    secret.token(None, secret.deadline(20))
    secret.recover()
    secret.now = MAX_AGE
    reading, hanging = threading.Event(), threading.Event()

    def hang() -> None:
        reading.set()
        hanging.wait(10)

    secret.proxy.faults.append(Fault("POST", before=hang, answer=(400, "AccessDeniedException")))
    first = threading.Thread(target=secret.token, args=(None, secret.deadline(20)))
    first.start()
    reading.wait()
    # WHEN others want the token meanwhile
    begun = time.monotonic()
    try:
        found = [secret.token(None, secret.deadline(20)) for _ in range(5)]
        # (but for one whose token the catalog has rejected: that one waits)
        with pytest.raises(OutOfTime):
            secret.token("f1rst", secret.deadline(0.1))
    finally:
        hanging.set()
        first.join()
    # THEN they have it at once
    assert found == ["f1rst"] * 5
    assert time.monotonic() - begun < 5  # of 20
    # AND whoever comes later does not wait, either
    assert secret.token(None, secret.deadline(20)) == "f1rst"
    assert secret.reads == 1
    assert len(secret.warnings()) == 1


def test_a_token_that_is_due_is_used_where_there_is_no_time_to_read_it_again(secret: Secret) -> None:
    secret.put("f1rst")
    assert secret.token(None, secret.deadline(20)) == "f1rst"
    secret.now = MAX_AGE
    assert secret.token(None, secret.deadline(0.1)) == "f1rst"
    assert secret.reads == 1
    # AND that is no failure of the secret's
    assert secret.warnings() == []
    with pytest.raises(OutOfTime, match=r"^no time left to read the secret$"):
        secret.token("f1rst", secret.deadline(0.1))


def test_without_a_token_to_go_on_with_each_job_fails_but_only_one_waits(secret: Secret) -> None:
    # GIVEN a secret that can't be read, and no token from before
    secret.put("t0k3n")
    secret.fail(500, "InternalServiceError")
    secret.now = 3_600
    # WHEN several want it
    for _ in range(5):
        with pytest.raises(
            TokenUnavailable, match=r"^the secret .* can't be read: .*InternalServiceError"
        ) as caught:
            secret.token(None, secret.deadline(20))
    # THEN it was tried once, and each message is to come back no sooner than it is tried again
    assert secret.reads == 2  # one more try
    assert caught.value.retry_after == PAUSE
    # AND it is read after the pause
    secret.now += PAUSE
    assert secret.token(None, secret.deadline(20)) == "t0k3n"
    assert secret.warnings() == []


def test_only_a_401_makes_the_last_token_bad(secret: Secret) -> None:
    # GIVEN a catalog that no longer takes the token, and a secret that can't be read
    secret.put("f1rst")
    with CatalogServer(None) as server:
        catalog = Catalog(server.url, secret.token, 4)
        catalog.notify(NOTIFICATION, secret.deadline(20))
        server.answers += [Answer(500), Answer(403), Answer(401)]
        for status in (500, 403):
            with pytest.raises(CatalogError, match=f"HTTP {status}"):
                catalog.notify(NOTIFICATION, secret.deadline(20))
        secret.fail(400, "AccessDeniedException")
        # WHEN it says 401
        with pytest.raises(TokenUnavailable, match=r"does not accept the token.*AccessDenied"):
            catalog.notify(NOTIFICATION, secret.deadline(20))
        # THEN the token is not sent again, and the secret not read for a while
        with pytest.raises(TokenUnavailable, match="AccessDenied"):
            catalog.notify(NOTIFICATION, secret.deadline(20))
        assert len(server.requests) == 4
        # AND after that the new token is
        secret.recover()
        secret.put("s3cond")
        secret.now = PAUSE
        catalog.notify(NOTIFICATION, secret.deadline(20))
        assert server.requests[-1].headers["Authorization"] == "Bearer s3cond"


def test_a_401_for_an_older_token_than_the_last_does_not_read_the_secret_again(secret: Secret) -> None:
    secret.put("s3cond")
    secret.token(None, secret.deadline(20))
    assert secret.token("f1rst", secret.deadline(20)) == "s3cond"
    assert secret.reads == 1


def test_a_401_during_the_pause_does_not_read_the_secret_again(secret: Secret) -> None:
    secret.put("f1rst")
    secret.token(None, secret.deadline(20))
    secret.now = MAX_AGE
    secret.fail(500, "InternalServiceError")
    secret.token(None, secret.deadline(20))
    secret.recover()
    with pytest.raises(TokenUnavailable):
        secret.token("f1rst", secret.deadline(20))
    assert secret.reads == 0
    secret.now += PAUSE
    assert secret.token(None, secret.deadline(20)) == "f1rst"


def test_a_secret_is_not_waited_for_beyond_the_time_there_is(secret: Secret) -> None:
    # GIVEN a thread that reads it from a server that hangs
    secret.put("token")
    reading, hanging = threading.Event(), threading.Event()

    def hang() -> None:
        reading.set()
        hanging.wait(10)

    secret.proxy.faults.append(Fault("POST", before=hang))
    first = threading.Thread(target=secret.token, args=(None, secret.deadline(20)))
    first.start()
    reading.wait()
    # WHEN another one has half a second, and three have nothing left
    begun = time.monotonic()
    try:
        for seconds in (0.5, -9, -9, -9):
            with pytest.raises(OutOfTime, match=r"^no time left to wait for the secret$"):
                secret.token(None, secret.deadline(seconds))
        took = time.monotonic() - begun
    finally:
        hanging.set()
        first.join()
    # THEN they have not waited longer, and the first one's answer serves all
    assert took < 3
    assert secret.token(None, secret.deadline(0)) == "token"
    assert secret.reads == 1

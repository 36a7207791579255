"""What is read of an error of AWS, and which of them may pass."""

from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from urllib3.exceptions import ProtocolError

from handler.aws_errors import error_code, http_status, is_transient

WITHOUT_RESPONSE = [BotoCoreError(), ReadTimeoutError(endpoint_url="http://s3"), ProtocolError("broken off")]


def answered(status: int, code: str) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")


def test_of_a_response_its_status_and_its_code_are_read() -> None:
    error = answered(412, "PreconditionFailed")
    assert (http_status(error), error_code(error)) == (412, "PreconditionFailed")


@pytest.mark.parametrize("error", [*WITHOUT_RESPONSE, ClientError({}, "PutObject")], ids=repr)
def test_where_there_was_no_response_there_is_no_status_and_no_code_and_it_may_pass(error: Exception) -> None:
    assert (http_status(error), error_code(error)) == (0, "")
    assert is_transient(error)


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (429, "SlowDown", True),
        (500, "InternalError", True),
        (503, "SlowDown", True),
        (400, "RequestTimeout", True),
        (400, "Throttling", True),
        (400, "ThrottlingException", True),
        (400, "TooManyRequestsException", True),
        (400, "BadRequest", False),
        (404, "NoSuchBucket", False),
        (403, "AccessDenied", False),
        (430, "Odd", False),
        (499, "Odd", False),
    ],
)
def test_what_may_succeed_a_moment_later_is_transient(status: int, code: str, transient: bool) -> None:
    assert is_transient(answered(status, code)) is transient

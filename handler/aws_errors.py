"""What botocore raises, and what of it may pass in a moment."""

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

# The service's error; a transport error; and urllib3's, which botocore does not wrap where the body of an
# error breaks off.
AWS_ERRORS = (ClientError, BotoCoreError, HTTPError)

# Of the 4xx, what botocore itself would try again:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_MAY_PASS = frozenset({"RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequestsException"})


def code(error: Exception) -> str:
    """Return the service's name for an error; "" where there was no answer."""
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""


def status(error: Exception) -> int:
    """Return an answer's HTTP status; 0 where there was none."""
    if not isinstance(error, ClientError):
        return 0
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def may_pass(error: Exception) -> bool:
    """Return whether a call may succeed a moment later: no answer, throttling, an error of the server's."""
    return status(error) in {0, 429} or status(error) >= 500 or code(error) in _MAY_PASS

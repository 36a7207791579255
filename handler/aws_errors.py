"""What botocore raises, and what of it is transient."""

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

# The service's error; a transport error; and urllib3's, which botocore does not wrap where the body of an
# error breaks off.
AWS_ERRORS = (ClientError, BotoCoreError, HTTPError)

# Of the 4xx, what botocore itself would try again:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_TRANSIENT = frozenset({"RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequestsException"})


def error_code(error: Exception) -> str:
    """Return the service's name for an error; "" where there was no response."""
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""


def http_status(error: Exception) -> int:
    """Return the HTTP status of a response; 0 where there was none."""
    if not isinstance(error, ClientError):
        return 0
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def is_transient(error: Exception) -> bool:
    """Return whether a call may succeed a moment later: no response, throttling, a server error."""
    return http_status(error) in {0, 429} or http_status(error) >= 500 or error_code(error) in _TRANSIENT

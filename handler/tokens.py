"""The catalog's bearer token: given, or kept in Secrets Manager."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from handler.aws_errors import AWS_ERRORS, http_status, is_transient
from handler.deadline import Deadline, Reserve
from handler.outcomes import OutOfTime, TokenUnavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

SENDABLE = re.compile(r"[!-~]+")  # printable ASCII: valid in a header, and no line breaks
MAX_AGE = 300.0  # seconds that a secret is taken for current
PAUSE = 30.0  # seconds from a read that failed to the next one

_VALUE_BYTES = 8_192  # of a secret; servers refuse longer headers


# Returns the token; given the one that the catalog rejected, the newest there is.
TokenProvider = Callable[[str | None, Deadline], str]


@dataclass(slots=True)
class SecretToken:
    """A token in Secrets Manager, which may be rotated at any time; shared by threads.

    Powertools' SecretsProvider would cache it too, but forgets a token that is too old before it has another.
    """

    arn: str  # of the secret, whose value is what `token_in` takes
    make_client: "Callable[[], SecretsManagerClient]"  # called when the token is first needed
    logger: Logger  # gets a line when the secret could not be read and its last token goes on being used
    _lock: threading.Lock = field(default_factory=threading.Lock)  # one call for all threads that want it
    _last: str | None = None  # the last token that was read, unless the catalog has rejected it
    _failure: str | None = None  # why the last read failed, if it did
    _next_read: float = 0.0  # when the secret is read again, if a token or a failure is known

    def __call__(self, rejected: str | None, deadline: Deadline) -> str:
        """Return the token; `rejected` is the one that the catalog did not accept, if any.

        If that is still the one that is known here, the secret is read again. Nothing else makes a token bad:
        while the secret can't be read, the last one goes on being used.

        Raises:
            TokenUnavailable: when the secret can't be read, or holds no token.
            OutOfTime: when there is no time to read it, send it and record the response.
        """
        known = self._last if self._last != rejected else None
        wait = max(0.0, deadline.remaining() - Reserve.SEND)
        # A thread that has a token to go on with does not wait for the one that reads.
        if not self._lock.acquire(timeout=0 if known else wait):
            if known:
                return known
            raise OutOfTime("no time left to wait for the secret")
        try:
            if rejected is not None and self._last == rejected:
                self._last = None
            ahead = self._next_read - deadline.now()
            # More than MAX_AGE ahead: the clock went back.
            if not 0 < ahead <= MAX_AGE or (self._last is None and self._failure is None):
                self._read(deadline)
            if self._last is None:
                reason = f"the catalog does not accept the token, and {self._failure}"
                pause = self._next_read - deadline.now()
                raise TokenUnavailable(reason if rejected else str(self._failure), pause)
            return self._last
        finally:
            self._lock.release()

    def _read(self, deadline: Deadline) -> None:
        """Read the secret, and note what came of it: a failed read is shared by all who waited for it."""
        try:
            self._last = self._value(deadline)
        except OutOfTime:
            if self._last is None:
                raise
        except TokenUnavailable as error:
            self._failure, self._next_read = str(error), deadline.now() + PAUSE
            if self._last is not None:
                self.logger.warning(
                    "Secret not read: its last token goes on being used", reason=self._failure
                )
        else:
            self._failure, self._next_read = None, deadline.now() + MAX_AGE

    def _value(self, deadline: Deadline) -> str:
        for is_last in (False, True):  # once more: a failure blocks all reads for PAUSE
            deadline.require(Reserve.AWS_CALL + Reserve.SEND, "read the secret")
            try:
                response = self.make_client().get_secret_value(SecretId=self.arn)
                break
            except AWS_ERRORS as error:
                if is_last or not is_transient(error) or not http_status(error):  # no retry after a timeout
                    raise TokenUnavailable(f"the secret {self.arn} can't be read: {error}") from error
        try:
            if "SecretString" not in response:
                raise ValueError("is binary")
            return token_in(response["SecretString"])
        except ValueError as error:
            raise TokenUnavailable(f"the secret {self.arn} holds no token: it {error}") from None


def token_in(value: str) -> str:
    """Return the token that a secret's text holds: itself, or as JSON.

    The console and `put-secret-value` make that: a string, or an object with exactly one value that is a
    string, whatever its name.

    Raises:
        ValueError: when there is none; its text says what the value is, and shows nothing of it.
    """
    if len(value.encode()) > _VALUE_BYTES:
        raise ValueError(f"is longer than {_VALUE_BYTES:,} bytes")
    token = value.strip()
    try:
        # Pairs, for a dict would hide that a name stands there twice.
        decoded = json.loads(token, object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        if _is_like_json(token):
            raise ValueError("looks like JSON, but can't be read as such") from None
    else:
        token = _string_in(decoded).strip()
        if _is_like_json(token):
            raise ValueError("is JSON in JSON")
    if not token:
        raise ValueError("is empty")
    if not SENDABLE.fullmatch(token):
        raise ValueError("has a character that can't stand in a header")
    return token


def _string_in(decoded: object) -> str:
    if isinstance(decoded, str):
        return decoded
    if not isinstance(decoded, tuple):
        raise ValueError("is JSON, but neither a string nor an object (a token of digits stands in quotes)")
    strings = [inner for _, inner in decoded if isinstance(inner, str)]
    if len(strings) != 1:
        raise ValueError(f"is a JSON object with {len(strings)} string values, not one")
    return strings[0]


def _is_like_json(token: str) -> bool:
    return token.startswith(("{", "[", '"'))

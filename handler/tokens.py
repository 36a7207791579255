"""The catalog's bearer token: given, or kept in Secrets Manager."""

import json
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from handler.aws_clients import NO_ANSWER
from handler.errors import OutOfTime, RetryLater

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger
    from mypy_boto3_secretsmanager import SecretsManagerClient

SENDABLE = re.compile(r"[!-~]+")  # what can stand in a header, and in no log by a line break's help
MAX_AGE = 300.0  # seconds that a secret is taken for current
PAUSE = 30.0  # seconds from a read that failed to the next one

_VALUE_BYTES = 8_192  # of a secret; servers refuse longer headers


# Gives the token; told the one that the catalog rejected, the newest there is. The second argument is the
# time it may take, in seconds.
Token = Callable[[str | None, float], str]


class TokenUnavailable(RetryLater):
    """Raised when the token can't be read, or what was read can't be one, and there is none from before."""


class SecretToken:
    """A token in Secrets Manager, which may be rotated at any time; shared by threads.

    Powertools' SecretsProvider would cache it too, but has one client, and so no bound on a call near the end
    of an invocation, and forgets a token that is too old before it has another one.

    Args:
        arn: the secret's ARN; its value is what `token_in` takes.
        secrets_manager: gives a client whose next call ends within a number of seconds, or raises OutOfTime.
        clock: gives a time in seconds that never goes back.
        logger: gets a line when the secret could not be read and its last token goes on being used.
    """

    def __init__(
        self,
        arn: str,
        secrets_manager: "Callable[[float], SecretsManagerClient]",
        clock: Callable[[], float],
        logger: "Logger",
    ) -> None:
        self._arn = arn
        self._secrets_manager = secrets_manager
        self._clock = clock
        self._logger = logger
        self._lock = threading.Lock()  # one call for all threads that want it
        self._last: str | None = None  # the last token that was read, unless the catalog has rejected it
        self._failure: str | None = None  # why the last read failed, if it did
        self._next_read = 0.0  # when the secret is read again, if there is one of these two

    def __call__(self, rejected: str | None, seconds: float) -> str:
        """Give the token.

        Args:
            rejected: the token that the catalog did not accept, if any. If it is still the one that is known
                here, the secret is read again. Nothing else makes a token bad: while the secret can't be
                read, the last one goes on being used.
            seconds: how long this may take.

        Returns:
            The token.

        Raises:
            TokenUnavailable: when the secret can't be read, or holds no token.
            OutOfTime: when there is no time to read it.
        """
        end = self._clock() + seconds
        last = self._last
        usable = last is not None and last != rejected
        # Whoever has a token to go on with does not wait for the thread that reads.
        if not self._lock.acquire(timeout=0 if usable else max(0.0, seconds)):
            if last is not None and usable:
                return last
            raise OutOfTime("no time left to wait for the secret")
        try:
            if rejected is not None and self._last == rejected:
                self._last = None
            if self._is_due():
                self._read(end)
            if self._last is None:
                reason = f"the catalog does not accept the token, and {self._failure}"
                wait = self._next_read - self._clock()
                raise TokenUnavailable(reason if rejected else str(self._failure), wait)
            return self._last
        finally:
            self._lock.release()

    def _is_due(self) -> bool:
        if self._last is None and self._failure is None:
            return True
        return self._clock() >= self._next_read

    def _read(self, end: float) -> None:
        """Read the secret, and note what came of it."""
        try:
            self._last = self._value(end - self._clock())
        except OutOfTime:
            if self._last is None:
                raise
        except TokenUnavailable as error:
            self._failure, self._next_read = str(error), self._clock() + PAUSE
            if self._last is not None:
                self._logger.warning(
                    "Secret not read: its last token goes on being used", reason=self._failure
                )
        else:
            self._failure, self._next_read = None, self._clock() + MAX_AGE

    def _value(self, seconds: float) -> str:
        secrets_manager = self._secrets_manager(seconds)
        try:
            answer = secrets_manager.get_secret_value(SecretId=self._arn)
        except (ClientError, *NO_ANSWER) as error:
            raise TokenUnavailable(f"the secret {self._arn} can't be read: {error}") from error
        try:
            if "SecretString" not in answer:
                raise ValueError("is binary")
            return token_in(answer["SecretString"])
        except ValueError as error:
            raise TokenUnavailable(f"the secret {self._arn} holds no token: it {error}") from None


def token_in(value: str) -> str:
    """Give the token that a secret's text holds.

    Args:
        value: the token itself, or JSON, as the console and `put-secret-value` make it: a string, or an
            object with exactly one value that is a string, whatever its name.

    Returns:
        The token.

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

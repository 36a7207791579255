"""The catalog's bearer token: given, or kept in Secrets Manager."""

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from handler.aws_clients import NO_ANSWER
from handler.errors import OutOfTime, RetryLater

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

SENDABLE = re.compile(r"[!-~]+")  # what can stand in a header, and in no log by a line break's help
MAX_AGE = 300.0  # seconds that a secret is taken for current


# Gives the token; told the one that the catalog rejected, the newest there is. The second argument is the
# time it may take, in seconds.
Token = Callable[[str | None, float], str]


class TokenUnavailable(RetryLater):
    """Raised when the token can't be read, or what was read can't be one."""


class SecretToken:
    """A token in Secrets Manager, which may be rotated at any time; shared by threads.

    Powertools' SecretsProvider would cache it too, but has one client, and so no bound on a call near the end
    of an invocation.

    Args:
        arn: the secret's ARN; its value is the token, and nothing else.
        secrets_manager: gives a client whose next call ends within a number of seconds, or raises OutOfTime.
        clock: gives a time in seconds that never goes back.
    """

    def __init__(
        self,
        arn: str,
        secrets_manager: "Callable[[float], SecretsManagerClient]",
        clock: Callable[[], float],
    ) -> None:
        self._arn = arn
        self._secrets_manager = secrets_manager
        self._clock = clock
        self._lock = threading.Lock()  # one call for all threads that want it
        self._known: tuple[str, float] | None = None  # the token, and when it was read

    def __call__(self, rejected: str | None, seconds: float) -> str:
        """Give the token.

        Args:
            rejected: the token that the catalog did not accept, if any. If it is still the one that is known
                here, the secret is read again.
            seconds: how long this may take.

        Returns:
            The token.

        Raises:
            TokenUnavailable: when the secret can't be read, or is empty or no token.
            OutOfTime: when there is no time to read it.
        """
        end = self._clock() + seconds
        if not self._lock.acquire(timeout=max(0.0, seconds)):
            raise OutOfTime("no time left to wait for the secret")
        try:
            now = self._clock()
            if self._known is None or self._known[0] == rejected or now >= self._known[1] + MAX_AGE:
                self._known = self._read(end - now), now
            return self._known[0]
        finally:
            self._lock.release()

    def _read(self, seconds: float) -> str:
        secrets_manager = self._secrets_manager(seconds)
        try:
            value = secrets_manager.get_secret_value(SecretId=self._arn).get("SecretString", "")
        except (ClientError, *NO_ANSWER) as error:
            raise TokenUnavailable(f"the secret {self._arn} can't be read: {error}") from error
        token = value.strip()
        if not SENDABLE.fullmatch(token):
            raise TokenUnavailable(
                f"the secret {self._arn} holds no token: it is empty, or can't stand in a header"
            )
        return token

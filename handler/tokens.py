"""The catalog's bearer token: given, or kept in Secrets Manager."""

import re
import threading
from collections.abc import Callable

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from handler.errors import RetryLater

SENDABLE = re.compile(r"[!-~]+")  # what can stand in a header, and in no log by a line break's help
MAX_AGE = 300  # seconds that a secret is taken for current


# Gives the token; told the one that the catalog rejected, the newest there is.
Token = Callable[[str | None], str]


class TokenUnavailable(RetryLater):
    """Raised when the token can't be read, or what was read can't be one."""


class SecretToken:
    """A token in Secrets Manager, which may be rotated at any time; shared by threads.

    Args:
        arn: the secret's ARN; its value is the token, and nothing else.
        make_provider: makes Powertools' provider, when the token is first needed.
    """

    def __init__(self, arn: str, make_provider: Callable[[], SecretsProvider]) -> None:
        self._arn = arn
        self._make_provider = make_provider
        self._provider: SecretsProvider | None = None
        self._lock = threading.Lock()  # one fetch for all threads that want one

    def __call__(self, rejected: str | None) -> str:
        """Give the token.

        Args:
            rejected: the token that the catalog did not accept, if any. If it is still the one that is known
                here, the secret is read again.

        Returns:
            The token.

        Raises:
            TokenUnavailable: when the secret can't be read, or is empty or no token.
        """
        with self._lock:
            token = self._read(force=False)
            return self._read(force=True) if token == rejected else token

    def _read(self, *, force: bool) -> str:
        try:
            self._provider = self._provider or self._make_provider()
            value = self._provider.get(self._arn, max_age=MAX_AGE, force_fetch=force)
        except GetParameterError as error:
            raise TokenUnavailable(f"the secret {self._arn} can't be read: {error}") from error
        token = value.strip() if isinstance(value, str) else ""
        if not SENDABLE.fullmatch(token):
            raise TokenUnavailable(
                f"the secret {self._arn} holds no token: it is empty, or can't stand in a header"
            )
        return token

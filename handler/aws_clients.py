"""AWS clients whose calls end in time.

botocore knows timeouts of a client, not of a call. So a service has a few clients, each with a bound on what
a call may take, and a call is made with the most patient one that is sure to end in the time there is.
"""

import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from handler.errors import OutOfTime

Client = TypeVar("Client")

# Raised when no whole answer came: botocore's own, and what it does not wrap, urllib3's of an error whose
# body breaks off.
NO_ANSWER = (BotoCoreError, HTTPError)


class Patience(NamedTuple):
    """How long a client waits; all in seconds, but for the attempts."""

    total: float  # what a call can take: each attempt's two waits, and those between attempts
    connect: float
    read: float
    attempts: int


# Between attempts botocore waits a random part of 1 second, then of 2
# (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
PATIENCE = (
    Patience(total=24.0, connect=2.0, read=5.0, attempts=3),
    Patience(total=6.0, connect=1.0, read=1.5, attempts=2),
    Patience(total=1.0, connect=0.3, read=0.7, attempts=1),
)
SHORTEST_CALL = PATIENCE[-1].total


class AwsClients(Generic[Client]):
    """The clients of one service; shared by threads.

    Args:
        make: makes a client with a configuration; called when it is first needed.
    """

    _making = threading.Lock()  # one for all services: a botocore session is not for several threads

    def __init__(self, make: Callable[[Config], Client]) -> None:
        self._make = make
        self._clients: dict[Patience, Client] = {}

    def __call__(self, seconds: float) -> Client:
        """Give a client whose next call ends within so many seconds, whatever the service does.

        Raises:
            OutOfTime: when that is not enough for a call.
        """
        for patience in PATIENCE:
            if patience.total <= seconds:
                with self._making:
                    if patience not in self._clients:
                        self._clients[patience] = self._make(_config(patience))
                    return self._clients[patience]
        raise OutOfTime("no time left for a call of AWS")


def _config(patience: Patience) -> Config:
    return Config(
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
    )

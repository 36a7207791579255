"""Spares a catalog that is down, and an invocation the time that asking it in vain would take.

The circuit breaker of https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker: closed while
the catalog answers, open after a few failures in a row, then half open: one caller a pause probes. Of the
libraries, pybreaker calls under its lock, one job after the other, and circuitbreaker lets every thread probe
at once.
"""

import threading
from collections.abc import Callable

from handler.errors import RetryLater

FAILURES = 3  # in a row, after which the circuit opens
PAUSE = 30.0  # seconds from then, or from a probe in vain, to the next probe
LONGEST_PAUSE = 120.0  # seconds, for a catalog that asks for more with a Retry-After


class CircuitOpen(RetryLater):
    """Raised when the catalog is not asked, for it has been down a moment ago."""


class CircuitBreaker:
    """The circuit of one instance of the function; shared by threads, and by one invocation after the other.

    Args:
        clock: gives a time in seconds that never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._probe_at = 0.0  # when the next probe may begin, once there are enough failures
        self._probing: str | None = None

    def admits(self, caller: str) -> bool:
        """Tell whether a caller may ask the catalog; the one that is let through an open circuit probes.

        Args:
            caller: its name; the one that probes may ask again.
        """
        with self._lock:
            if self._failures < FAILURES or self._probing == caller:
                return True
            if self._clock() < self._probe_at:
                return False
            # The next one's turn comes a pause later, whatever becomes of this one.
            self._probe_at = self._clock() + PAUSE
            self._probing = caller
            return True

    def answered(self) -> None:
        """Close the circuit: the catalog has answered, whatever it said."""
        with self._lock:
            self._failures, self._probing = 0, None

    def failed(self, retry_after: float) -> bool:
        """Count a failure; tell whether the circuit is open now.

        Args:
            retry_after: the seconds for which the catalog asked to be left alone, or 0.
        """
        with self._lock:
            self._failures += 1
            self._probe_at = self._clock() + max(PAUSE, min(retry_after, LONGEST_PAUSE))
            return self._failures >= FAILURES

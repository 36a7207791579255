"""Circuit breaker for the catalog: one that is down would cost every invocation its time.

The circuit breaker of https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker: closed while
the catalog responds, open after a few failures in a row, then half open: one request in a while probes. Of
the libraries, pybreaker calls under its lock, one job after the other, and circuitbreaker lets every thread
probe concurrently.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from handler.outcomes import CatalogBusy, CatalogDown, CatalogTimeout

# Points in a row that open the circuit. A timeout or a 429 counts a third: a catalog may be slow with one
# large mosaic, or limit the rate, and work for all others.
FAILURE_THRESHOLD = 9
FAILURE_POINTS = 3
MINOR_POINTS = 1

# In seconds.
RECOVERY_TIMEOUT = 30.0  # from the last failure to the next probe
MAX_RECOVERY_TIMEOUT = 120.0  # for a catalog whose Retry-After is longer


@dataclass(slots=True)
class CircuitBreaker:
    """The circuit of one instance of the function; shared by its threads, and by all its invocations."""

    clock: Callable[[], float]  # returns the time in seconds since the epoch
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _points: int = 0
    _last_success: float = 0.0
    _probe_at: float = 0.0  # when the next probe may begin, once the circuit is open
    _probing: str | None = None  # the owner that probes

    @property
    def is_open(self) -> bool:
        """Return whether the circuit is open, or half open."""
        return self._points >= FAILURE_THRESHOLD

    def allow_request(self, owner: str) -> bool:
        """Decide whether an owner, a job in an invocation, may call the catalog.

        An open circuit allows one to probe, and that one again whenever it asks: it asks before each attempt
        to write its claim, and a conflict in S3 must not cost it the probe.
        """
        with self._lock:
            if not self.is_open or self._probing == owner:
                return True
            now = self.clock()
            if now < self._probe_at <= now + MAX_RECOVERY_TIMEOUT:  # a clock that went back holds nothing up
                return False
            # The next one may probe after the recovery timeout, whatever becomes of this one.
            self._probe_at = now + RECOVERY_TIMEOUT
            self._probing = owner
            return True

    def record_success(self) -> None:
        """Close the circuit: the catalog has responded, whatever it said."""
        with self._lock:
            self._points, self._probing, self._last_success = 0, None, self.clock()

    def record_failure(self, error: CatalogDown, began: float) -> bool:
        """Count a failure of a request that was begun at a time, and return whether that opened the circuit.

        It does not count if the catalog has responded to another request meanwhile.
        """
        with self._lock:
            if began < self._last_success <= self.clock():
                return False
            was_open = self.is_open
            is_minor = isinstance(error, CatalogTimeout | CatalogBusy)
            self._points += MINOR_POINTS if is_minor else FAILURE_POINTS
            pause = max(RECOVERY_TIMEOUT, min(error.retry_after, MAX_RECOVERY_TIMEOUT))
            self._probe_at = self.clock() + pause
            return self.is_open and not was_open

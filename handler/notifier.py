"""Notify the catalog of a finished job: claim, POST, record."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from handler.catalog_entry import CatalogEntry, CatalogState, Notification, find_notification
from handler.circuit_breaker import CircuitBreaker
from handler.deadline import Deadline, Reserve
from handler.job_status import JobStatus, deciding, is_repeat
from handler.messages import Event, Step
from handler.outcomes import (
    CatalogClaimed,
    CatalogDown,
    CatalogError,
    CatalogUnavailable,
    CircuitOpen,
    OutOfTime,
    RetryLater,
)

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from handler.catalog import Catalog, MockCatalog

RETRIES = 2  # of a POST that can't have reached the catalog, or that it asked to send again soon
LONGEST_RETRY_AFTER = 2.0  # seconds; a catalog that asks for more is asked again by the next delivery


@dataclass(frozen=True, slots=True)
class Job:
    """A job in one invocation."""

    job_id: str
    events: Mapping[str, Event]  # what its messages of this batch say, by messageId
    deadline: Deadline
    owner: str  # this invocation's name in a claim


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about the catalog."""

    section: Mapping[str, Any]  # the `catalog` section to write
    notification: Notification | None = None  # what the messages of this batch make it necessary to send
    refusal: RetryLater | None = None  # why it is not sent now


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a notification."""

    claim: CatalogEntry  # the entry with the claim that it was sent under
    state: CatalogState
    error: Exception | None = None

    @property
    def may_be_at_work(self) -> bool:
        """Return whether the catalog may still be at work on it."""
        return isinstance(self.error, CatalogDown) and not isinstance(self.error, CatalogUnavailable)


class Notifier:
    """Notifies the catalog; shared by threads.

    Args:
        make_catalog: returns the catalog's client, made when the first job is finished.
        breaker: decides when the catalog is not asked at all.
        tiles_base: as in `handler.tiles.tiles_url`.
        logger: logs when the circuit opens.
    """

    def __init__(
        self,
        make_catalog: "Callable[[], Catalog | MockCatalog]",
        breaker: CircuitBreaker,
        tiles_base: str | None,
        logger: "Logger",
    ) -> None:
        self._make_catalog = make_catalog
        self._breaker = breaker
        self._tiles_base = tiles_base
        self._logger = logger

    def claim(self, job: Job, status: JobStatus) -> Decision:
        """Decide whether to send what a job's status makes necessary, and claim it if so.

        Only a batch with a mosaic FINISHED notifies, and always for the event that decides. That may be an
        older one, whose own message is gone: a late message can show that the newest only repeats an old.
        """
        notification = find_notification(job.job_id, status, self._tiles_base)
        finished = [event for event in job.events.values() if event.step is Step.MOSAIC_FINISHED]
        if not notification or not finished:
            return Decision(status.catalog)
        decides = deciding(status)
        carrier = next((event for event in finished if is_repeat(event, decides)), finished[0])
        notification = replace(notification, message_id=carrier.message_id)
        entry = CatalogEntry.read(status.catalog)
        if entry.is_notified(notification, self._make_catalog().done):
            return Decision(status.catalog)
        now = _milliseconds(job.deadline.now())
        refusal: RetryLater | None = None
        if entry.is_claimed(job.owner, now):
            refusal = CatalogClaimed("another invocation is notifying the catalog of this job")
            return Decision(status.catalog, notification, refusal)
        if job.deadline.remaining() < Reserve.NOTIFY:
            refusal = OutOfTime("no time left to notify the catalog")
        elif not self._breaker.allow_request(job.owner):
            refusal = CircuitOpen("the catalog was down a moment ago")
        if refusal:
            entry = entry.pending(notification, now)
        else:
            entry = entry.claim(notification, job.owner, now, _milliseconds(job.deadline.at))
        return Decision(entry.section(), notification, refusal)

    def notify(self, job: Job, notification: Notification, section: Mapping[str, Any]) -> Result:
        """Send a notification that is claimed in a `catalog` section."""
        claim = CatalogEntry.read(section)
        try:
            self._post(notification, job.deadline)
        except OutOfTime as error:  # it was not asked
            return Result(claim, CatalogState.PENDING, error)
        except Exception as error:  # noqa: BLE001 (a defect, too, is recorded, and fails the message)
            return Result(claim, CatalogState.FAILED, error)
        return Result(claim, self._make_catalog().done)

    def record(self, job: Job, status: JobStatus, result: Result) -> Mapping[str, Any]:
        """Return the `catalog` section that says what came of a notification.

        A section that another writer removed is written again; another owner's claim or record is left alone.
        """
        entry = CatalogEntry.read(status.catalog) if status.catalog else result.claim
        if entry.owner != job.owner:
            return status.catalog
        now = _milliseconds(job.deadline.now())
        if result.state is CatalogState.PENDING:
            return entry.release(now).section()
        if result.may_be_at_work:
            return entry.fail_and_keep_claim(now, str(result.error)).section()
        return entry.complete(result.state, now, str(result.error) if result.error else None).section()

    def _post(self, notification: Notification, deadline: Deadline) -> None:
        """POST, and retry only if the catalog can't have got it, or asked for a retry.

        All else is retried by the next delivery: after the claim's end, if the catalog may still be at work.
        """
        for tries in range(RETRIES + 1):
            began = deadline.now()
            try:
                self._make_catalog().notify(notification, deadline)
            except CatalogUnavailable as error:
                if not tries:  # once for each notification
                    self._record_failure(error, began)
                # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
                wait = max(error.retry_after, random.uniform(0, 0.25 * 2**tries))  # noqa: S311 (no secret)
                has_time = deadline.remaining() - wait >= Reserve.POST + Reserve.RECORD
                if tries == RETRIES or error.retry_after > LONGEST_RETRY_AFTER or not has_time:
                    raise
                time.sleep(wait)
                if self._breaker.is_open:
                    raise
            except CatalogDown as error:
                self._record_failure(error, began)
                error.retry_after = max(error.retry_after, deadline.remaining())
                raise
            except CatalogError:
                self._breaker.record_success()  # it has answered, so it is up
                raise
            else:
                self._breaker.record_success()
                return

    def _record_failure(self, error: CatalogDown, began: float) -> None:
        if self._breaker.record_failure(error, began):
            self._logger.warning("Catalog is down, and not asked for a while", reason=str(error))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

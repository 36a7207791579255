"""Notify the catalog of a finished job: claim, POST, record."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aws_lambda_powertools import Logger

from handler.catalog_entry import CatalogEntry, CatalogState, Notification, notification_for
from handler.circuit_breaker import CircuitBreaker
from handler.deadline import Deadline, Reserve
from handler.events import Event, Step
from handler.jitter import full_jitter
from handler.job_status import JobStatus, deciding_event, is_repeat
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
    from handler.catalog import Catalog, MockCatalog

RETRIES = 2  # of a POST that can't have reached the catalog, or that it wants to have again soon
LONGEST_RETRY_AFTER = 2.0  # seconds; for a longer one the next delivery calls again


class Job(NamedTuple):
    """A job in one invocation."""

    job_id: str
    events: Mapping[str, Event]  # what its messages of this batch say, by messageId
    deadline: Deadline
    owner: str  # a name for this job in this invocation, by which it knows its claim


class Claim(NamedTuple):
    """A notification that this invocation is to send, and no other one meanwhile."""

    notification: Notification
    entry: CatalogEntry


class Decision(NamedTuple):
    """What is to be done about the catalog."""

    section: Mapping[str, Any]  # the `catalog` section to write
    claim: Claim | None = None  # what to send then
    refusal: RetryLater | None = None  # why nothing is sent now, though something has to be
    message_id: str = ""  # of the mosaic FINISHED that notifies the catalog, and fails with it


class Result(NamedTuple):
    """What came of a notification."""

    claim: Claim
    state: CatalogState
    error: Exception | None = None


@dataclass
class Notifier:
    """Notifies the catalog; shared by threads."""

    make_catalog: "Callable[[], Catalog | MockCatalog]"  # called when something is to be sent
    done: CatalogState  # what a success leads to
    breaker: CircuitBreaker
    tiles_base: str | None  # as in `handler.tiles.tiles_url`
    logger: Logger

    def claim(self, job: Job, status: JobStatus) -> Decision:
        """Decide whether to send what a job's status makes necessary, and claim it if so.

        One thread at a time may call it (`publisher` does so under its lock).
        Only a batch with a mosaic FINISHED notifies, and always for the event that decides. That may be an
        older one, whose own message is gone: a late message can show that the newest only repeats an old.
        """
        notification = notification_for(status, self.tiles_base)
        finished = [event for event in job.events.values() if event.step is Step.MOSAIC_FINISHED]
        if not notification or not finished:
            return Decision(status.catalog)
        entry = CatalogEntry.read(status.catalog)
        if entry.is_notified(notification, self.done):
            return Decision(status.catalog)
        deciding = deciding_event(status)
        message_id = next((event for event in finished if is_repeat(event, deciding)), finished[0]).message_id
        now = _milliseconds(job.deadline.now())
        if entry.is_claimed(job.owner, now):
            claimed = CatalogClaimed("another invocation is notifying the catalog of this job")
            return Decision(status.catalog, refusal=claimed, message_id=message_id)
        # Made now, where one thread at a time is: it is to be one for all of them, and its imports take time.
        self.make_catalog()
        if refusal := self._refusal(job):
            section = entry.unclaimed(notification, now).section()
            return Decision(section, refusal=refusal, message_id=message_id)
        entry = entry.claim(notification, job.owner, now, _milliseconds(job.deadline.at))
        return Decision(entry.section(), claim=Claim(notification, entry), message_id=message_id)

    def _refusal(self, job: Job) -> RetryLater | None:
        """Return why this invocation does not call the catalog, if it does not."""
        if job.deadline.remaining() < Reserve.NOTIFY:
            return OutOfTime("no time left to notify the catalog")
        if not self.breaker.allow_request(job.owner):
            return CircuitOpen("the catalog was down a moment ago")
        return None

    def notify(self, claim: Claim, deadline: Deadline) -> Result:
        """Send a notification that is claimed."""
        try:
            self._post(claim.notification, deadline)
        except OutOfTime as error:  # nothing was sent; or it was, and refused with a 401 (see `_post`)
            return Result(claim, CatalogState.PENDING, error)
        except Exception as error:  # noqa: BLE001 (a defect, too, is recorded, and fails the message)
            return Result(claim, CatalogState.FAILED, error)
        return Result(claim, self.done)

    def record(self, job: Job, status: JobStatus, result: Result) -> Decision:
        """Decide what to write of a notification that was sent.

        A section that another writer removed is written again; another owner's claim or record is left alone.
        """
        entry = CatalogEntry.read(status.catalog) if status.catalog else result.claim.entry
        if entry.owner != job.owner:
            return Decision(status.catalog)
        now = _milliseconds(job.deadline.now())
        if result.state is CatalogState.PENDING:
            return Decision(entry.release(now).section())
        error = str(result.error) if result.error else None
        keep_claim = isinstance(result.error, RetryLater) and result.error.may_be_processing
        entry = entry.complete(result.state, now, error, keep_claim=keep_claim)
        return Decision(entry.section())

    def _post(self, notification: Notification, deadline: Deadline) -> None:
        """POST, and retry only if the catalog can't have got it, or wants a retry.

        All else is retried by the next delivery: after the claim's end, if the catalog may be processing it.
        Where a 401 was the response, and no newer token could be read, the circuit does not hear of the
        response: a half open one has its next probe after the recovery timeout.
        """
        for tries in range(RETRIES + 1):
            began = deadline.now()
            try:
                self.make_catalog().notify(notification, deadline)
            except CatalogUnavailable as error:
                if not tries:  # once for each notification
                    self._record_failure(error, began)
                wait = max(error.retry_after, full_jitter(0.25, tries, LONGEST_RETRY_AFTER))
                has_time = deadline.remaining() - wait >= Reserve.SEND
                if tries == RETRIES or error.retry_after > LONGEST_RETRY_AFTER or not has_time:
                    raise
                time.sleep(wait)
                if self.breaker.is_open:
                    raise
            except CatalogDown as error:
                self._record_failure(error, began)
                error.retry_after = max(error.retry_after, deadline.remaining())
                raise
            except CatalogError:
                self.breaker.record_success()  # it has responded, so it is up
                raise
            else:
                self.breaker.record_success()
                return

    def _record_failure(self, error: CatalogDown, began: float) -> None:
        if self.breaker.record_failure(error, began):
            self.logger.warning("Catalog is down, and not asked for a while", reason=str(error))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

"""One job: update its status, notify the catalog, record that."""

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from handler.aws_clients import SHORTEST_CALL
from handler.circuit_breaker import CircuitBreaker, CircuitOpen
from handler.errors import CatalogDown, CatalogError, OutOfTime, RetryLater
from handler.job_status import JobStatus, UnreadableStatus, deciding, fold, read, says_the_same, to_json
from handler.messages import Event, Step
from handler.notification import (
    SHORTEST_NOTIFY,
    CatalogState,
    Notification,
    claimed,
    due,
    is_claimed,
    is_told,
    released,
    settled,
    unclaimed,
)
from handler.outcomes import Outcome, Report
from handler.status_store import StatusStore, StoredObject

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from handler.catalog import Catalog, MockCatalog

# In seconds.
SHORTEST_JOB = 2 * SHORTEST_CALL  # to read and to write; below this a job is not begun
CLAIMING = SHORTEST_CALL  # to write the claim, before the catalog is asked
RECORDING = 2 * SHORTEST_CALL  # kept back to record what the catalog said

_CATALOG_OUTCOMES = {
    CatalogState.NOTIFIED: Outcome.CATALOG_NOTIFIED,
    CatalogState.MOCKED: Outcome.CATALOG_MOCKED,
    CatalogState.FAILED: Outcome.CATALOG_FAILED,
}


@dataclass(frozen=True, slots=True)
class _Job:
    """A job in hand."""

    job_id: str  # which
    events: Mapping[str, Event]  # what its messages say, by messageId
    time_left: Callable[[], float]  # gives the seconds left to this invocation
    claimant: str  # this invocation's name in a claim
    begun: int  # now, in milliseconds since the epoch
    until: int  # when the invocation ends, likewise, and so a claim


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one attempt at the status object found."""

    stage: str  # of what the job's status is to be
    status: str  # likewise
    catalog: Mapping[str, Any]  # likewise
    new: frozenset[str]  # the messages that were not known before
    notification: Notification | None = None  # what these messages make us tell the catalog
    hindrance: RetryLater | None = None  # why that can't be done now
    stored: StoredObject | None = None  # the object after that


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A stored object that gives way to ours."""

    reason: str  # what is wrong with it
    version: str | None  # which one it is, if S3 said so


class CatalogClaimed(RetryLater):
    """Raised when another invocation is telling the catalog of the job at this moment."""


class Publisher:
    """Publishes jobs; shared by threads.

    Args:
        store: where status objects are.
        make_catalog: makes who is told of finished jobs, when the first is.
        breaker: when the catalog is not asked at all.
        tiles_base: as in `handler.tiles.tiles_url`.
        clock: gives the time in milliseconds since the epoch.
        logger: gets a line for each job.
    """

    def __init__(
        self,
        *,
        store: StatusStore,
        make_catalog: "Callable[[], Catalog | MockCatalog]",
        breaker: CircuitBreaker,
        tiles_base: str | None,
        clock: Callable[[], int],
        logger: "Logger",
    ) -> None:
        self._store = store
        self._catalog = make_catalog
        self._breaker = breaker
        self._tiles_base = tiles_base
        self._clock = clock
        self._logger = logger
        # One job's events in memory at a time: a megabyte of nested JSON is some forty of Python's objects,
        # and the interpreter would not work on two at once anyway.
        self._folding = threading.Lock()

    def publish(self, job_id: str, events: Iterable[Event], time_left: Callable[[], float]) -> Report:
        """Take a job's messages into its status, and tell the catalog if they finish it.

        Args:
            job_id: the job.
            events: what its messages say; at least one.
            time_left: gives the seconds left to this invocation.

        Returns:
            What came of it. The message that finishes the job fails if the catalog was not told.
        """
        begun = self._clock()
        job = _Job(
            job_id,
            {event.message_id: event for event in events},
            time_left,
            uuid.uuid4().hex,
            begun,
            begun + int(time_left() * 1000),
        )
        report = Report()
        try:
            if time_left() < SHORTEST_JOB:
                raise OutOfTime("no time left to begin the job")
            plan = self._update_status(job, report)
        except RetryLater as error:
            report.failed = dict.fromkeys(job.events, error)
            return report
        if plan.notification:
            try:
                if plan.hindrance:
                    raise plan.hindrance
                self._notify_catalog(job, plan.notification, plan, report)
            except RetryLater as error:
                report.failed[plan.notification.message_id] = error
                if isinstance(error, CatalogClaimed):
                    report.outcomes.append(Outcome.CATALOG_CLAIMED)
                elif isinstance(error, CircuitOpen):
                    report.outcomes.append(Outcome.CATALOG_SPARED)
        return report

    def _update_status(self, job: _Job, report: Report) -> _Plan:
        """Write the status, and with it the claim to the notification that it makes due."""
        unreadable: list[_Unreadable] = []

        def change(stored: StoredObject | None) -> tuple[bytes, _Plan]:
            with self._folding:
                status, plan = self._plan(job, _read(stored, unreadable))
                return to_json(job.job_id, status, self._tiles_base), plan

        update = self._store.update(job.job_id, change, job.time_left)
        plan, now = replace(update.result, stored=update.stored), self._clock()
        report.outcomes += [Outcome.CONFLICT] * update.conflicts
        report.outcomes += [
            Outcome.PUBLISHED if name in plan.new else Outcome.UNCHANGED for name in job.events
        ]
        # The sender's clock may be ahead. CloudWatch gives no percentiles of a metric with a negative value
        # (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html).
        report.lags += [max(0, now - job.events[name].sent_at) for name in plan.new]
        self._report_replaced(job, unreadable, update.stored, report)
        self._logger.info(
            "Job status published" if update.written else "Job status unchanged",
            job_id=job.job_id,
            stage=plan.stage,
            status=plan.status,
            message_id=list(job.events),
        )
        return plan

    def _report_replaced(
        self, job: _Job, unreadable: list[_Unreadable], written: StoredObject, report: Report
    ) -> None:
        """Say which object had to give way; the last one, where the write took several attempts."""
        if not unreadable:
            return
        report.outcomes.append(Outcome.REPLACED)
        # Where versions are kept, what we wrote is a version of its own, and the one before is still there.
        kept = written.version not in (None, "null")
        self._logger.warning(
            "Stored object replaced",
            job_id=job.job_id,
            key=self._store.key(job.job_id),
            version_id=unreadable[-1].version if kept else None,
            reason=unreadable[-1].reason,
        )

    def _plan(self, job: _Job, before: JobStatus) -> tuple[JobStatus, _Plan]:
        status = fold(before, job.events.values())
        new = frozenset(job.events).difference(event.message_id for event in before.history)
        decides = deciding(status)
        plan = _Plan(decides.fields["stage"], decides.fields["status"], status.catalog, new)
        notification = due(job.job_id, status, self._tiles_base)
        # A mosaic FINISHED has the catalog told of what decides. That need not be what it says itself: one
        # that is late shows that another is older than its repeat was taken for, whose message may be gone.
        # All others neither tell the catalog nor wait for it.
        finished = [event for event in job.events.values() if event.step is Step.MOSAIC_FINISHED]
        if not notification or not finished:
            return status, plan
        carrier = min(finished, key=lambda event: not says_the_same(event, decides))
        notification = replace(notification, message_id=carrier.message_id)
        catalog = status.catalog
        if is_told(catalog, notification, self._catalog().done):
            return status, plan
        hindrance: RetryLater | None = None
        if is_claimed(catalog, job.claimant, job.begun):
            hindrance = CatalogClaimed("another invocation is telling the catalog of this job")
        elif job.time_left() < SHORTEST_NOTIFY + CLAIMING + RECORDING:
            hindrance = OutOfTime("no time left to tell the catalog")
            catalog = unclaimed(notification, catalog, job.begun)
        elif not self._breaker.admits(job.claimant):
            hindrance = CircuitOpen("the catalog was down a moment ago")
            catalog = unclaimed(notification, catalog, job.begun)
        else:
            catalog = claimed(notification, catalog, job.claimant, job.begun, job.until)
        plan = replace(plan, catalog=catalog, notification=notification, hindrance=hindrance)
        return replace(status, catalog=catalog), plan

    def _notify_catalog(self, job: _Job, notification: Notification, plan: _Plan, report: Report) -> None:
        """Tell the catalog, and record what came of it."""
        state: CatalogState = self._catalog().done
        failure = self._ask_catalog(notification, job.time_left() - RECORDING)
        if isinstance(failure, OutOfTime):
            state = CatalogState.PENDING
        elif failure:
            state = CatalogState.FAILED
        if outcome := _CATALOG_OUTCOMES.get(state):
            report.outcomes.append(outcome)
        now, said = self._clock(), None if failure is None else str(failure)

        def settle(section: Mapping[str, Any]) -> Mapping[str, Any]:
            if state is CatalogState.PENDING:
                return released(section, now)
            return settled(section, state, now, said)

        unreadable: list[_Unreadable] = []

        def change(stored: StoredObject | None) -> tuple[bytes, None]:
            with self._folding:
                # The events once more: another writer's overwrite since our first write is mended on the way.
                status = fold(_read(stored, unreadable), job.events.values())
                catalog: Mapping[str, Any] = status.catalog or plan.catalog
                if catalog.get("claimedBy") == job.claimant:
                    catalog = settle(catalog)
                return to_json(job.job_id, replace(status, catalog=catalog), self._tiles_base), None

        try:
            update = self._store.update(job.job_id, change, job.time_left, plan.stored)
        except RetryLater as error:
            self._logger.warning(
                "Catalog's answer not recorded", job_id=job.job_id, state=state, reason=str(error)
            )
            raise failure or error from error
        self._report_replaced(job, unreadable, update.stored, report)
        if failure:
            raise failure

    def _ask_catalog(self, notification: Notification, seconds: float) -> RetryLater | None:
        """Tell the catalog, and the circuit breaker how it is; give what went wrong, if anything did."""
        try:
            self._catalog().notify(notification, seconds)
        except CatalogDown as error:
            if self._breaker.failed(error.retry_after):
                self._logger.warning("Catalog is down, and not asked for a while", reason=str(error))
            return error
        except CatalogError as error:
            self._breaker.answered()
            return error
        except RetryLater as error:  # it was not asked
            return error
        self._breaker.answered()
        return None


def _read(stored: StoredObject | None, unreadable: list[_Unreadable]) -> JobStatus:
    """Give what is stored; what is nobody's status object is nothing, and noted."""
    if stored is None:
        return JobStatus()
    try:
        return read(stored.body, stored.last_modified)
    except UnreadableStatus as error:
        unreadable.append(_Unreadable(str(error), stored.version))
        return JobStatus()

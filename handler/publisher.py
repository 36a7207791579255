"""One job: read its status object, fold its messages in, write it, then notify the catalog."""

import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from aws_lambda_powertools import Logger

from handler.catalog_entry import CatalogState
from handler.deadline import Deadline, Reserve
from handler.events import Event
from handler.job_status import JobStatus, deciding_event, fold, new_events
from handler.notifier import Claim, Decision, Job, Notifier, Result
from handler.outcomes import Outcome, Report, RetryLater
from handler.status_object import UnreadableStatus, read, to_json
from handler.status_store import StatusStore, StoredObject, Update


class _Unreadable(NamedTuple):
    """A stored object that is no status object, and is replaced."""

    reason: str
    version: str | None  # its version, if S3 said so


class _Folded(NamedTuple):
    """What a job's status object is to be; small: the parsed object stays behind."""

    body: bytes
    stage: str
    status: str
    new: frozenset[str]  # the messages that were not known before, and count
    decision: Decision
    unreadable: _Unreadable | None  # what was stored, where it was no status object


@dataclass
class Publisher:
    """Publishes jobs; shared by threads."""

    store: StatusStore
    notifier: Notifier
    tiles_base: str | None  # as in `handler.tiles.tiles_url`
    logger: Logger  # gets a line for each job
    # One parsed object in memory at a time: a megabyte of nested JSON takes some 40 MB, and the interpreter
    # would not work on two concurrently anyway. Of what is parsed only the catalog's part may outlive _fold.
    # The bytes that were written stay, too, until the catalog's response is recorded, which spares a GET: up
    # to 4 MiB in each thread.
    _folding: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, job_id: str, events: Iterable[Event], deadline: Deadline) -> Report:
        """Take a job's messages, at least one, into its status; notify the catalog if they finish it.

        The message that finishes the job fails if the catalog did not take it.
        """
        job = Job(job_id, {event.message_id: event for event in events}, deadline, uuid.uuid4().hex)
        report = Report()
        try:
            folded, stored = self._update(job, report)
        except RetryLater as error:
            report.failed = dict.fromkeys(job.events, error)
            return report
        decision = folded.decision
        failure: Exception | None = decision.refusal
        if decision.claim:
            failure = self._notify(job, decision.claim, decision.message_id, stored, report)
        if failure:
            report.failed[decision.message_id] = failure
            if isinstance(failure, RetryLater) and failure.job_outcome:
                report.outcomes.append(failure.job_outcome)
        return report

    def _update(
        self, job: Job, report: Report, stored: StoredObject | None = None, result: Result | None = None
    ) -> tuple[_Folded, StoredObject]:
        """Write the status: with the claim to the notification that it makes necessary, or what came of that.

        `stored` is the object as it was written before the notification; it may have changed since.
        """
        update = self.store.update(job.job_id, job.deadline)
        try:
            folded, written, message = self._write(job, update, stored, result)
        finally:
            report.outcomes += [Outcome.CONFLICT] * update.conflicts
        if result is None:
            self._report(job, folded, message, report)
        self._report_replaced(job, folded.unreadable, written, report)
        return folded, written

    def _write(
        self, job: Job, update: Update, stored: StoredObject | None, result: Result | None
    ) -> tuple[_Folded, StoredObject, str]:
        """Read, fold and write until that is done; return what was written, and the log line for it."""
        new: frozenset[str] = frozenset()
        unreadable = None
        while True:
            before = stored or update.get()
            folded = self._fold(job, before, result)
            # Kept over a conflict, which may be with its own write, whose response was lost.
            new, unreadable = new | folded.new, folded.unreadable or unreadable
            folded = folded._replace(new=new, unreadable=unreadable)
            if before and before.body == folded.body:
                return folded, before, "Job status published" if new else "Job status unchanged"
            etag = before.etag if before else None
            stored = before = None  # megabytes, in each of the threads
            if written := update.put(folded.body, etag):
                return folded, written, "Job status published"

    def _report(self, job: Job, folded: _Folded, message: str, report: Report) -> None:
        """Count and log what came of a job's messages; `message` is the log line's."""
        report.outcomes += [
            Outcome.PUBLISHED if message_id in folded.new else Outcome.UNCHANGED for message_id in job.events
        ]
        lags = [_lag(job, message_id) for message_id in folded.new]
        report.lags += lags
        lag: dict[str, Any] = {"lag_ms": max(lags)} if lags else {}
        self.logger.info(
            message,
            job_id=job.job_id,
            stage=folded.stage,
            status=folded.status,
            message_id=list(job.events),
            **lag,
        )

    def _report_replaced(
        self, job: Job, unreadable: _Unreadable | None, written: StoredObject, report: Report
    ) -> None:
        """Count and log that an object was replaced that was no status object."""
        if unreadable is None:
            return
        report.outcomes.append(Outcome.REPLACED)
        # Where versions are kept, what was written is one of its own, and the one before is still there.
        is_kept = written.version not in (None, "null")
        self.logger.warning(
            "Stored object replaced",
            job_id=job.job_id,
            key=self.store.key(job.job_id),
            version_id=unreadable.version if is_kept else None,
            reason=unreadable.reason,
        )

    def _notify(
        self, job: Job, claim: Claim, message_id: str, stored: StoredObject, report: Report
    ) -> Exception | None:
        """Send what a message makes due, and record what came of it; return why it failed, if it did."""
        result = self.notifier.notify(claim, job.deadline)
        if result.state is CatalogState.NOTIFIED:
            report.outcomes.append(Outcome.CATALOG_NOTIFIED)
            self.logger.info(
                "Catalog notified",
                job_id=job.job_id,
                uri=claim.notification.uri,
                lag_ms=_lag(job, message_id),
            )
        elif result.state is CatalogState.MOCKED:
            report.outcomes.append(Outcome.CATALOG_MOCKED)
            self.logger.info(
                "Catalog notification not sent: mocked", job_id=job.job_id, payload=claim.notification.payload
            )
        try:
            self._update(job, report, stored, result)
        except RetryLater as error:
            self.logger.warning(
                "Catalog's answer not recorded", job_id=job.job_id, state=result.state, reason=str(error)
            )
            failure = result.error or error
            if isinstance(failure, RetryLater):  # the claim is still there, until its end
                failure.retry_after = max(failure.retry_after, job.deadline.remaining())
            return failure
        return result.error

    def _fold(self, job: Job, stored: StoredObject | None, result: Result | None = None) -> _Folded:
        """Fold a job's messages into what is stored, and what is known of its notification.

        After a result the messages once more: what another writer overwrote since the first write comes back.
        """
        with self._folding:
            job.deadline.require(Reserve.AWS_CALL, "fold the job's messages and to write its status object")
            before, unreadable = _read(stored)
            status = fold(before, job.events.values())
            if result:
                decision = self.notifier.record(job, status, result)
            else:
                decision = self.notifier.claim(job, status)
            body = to_json(job.job_id, replace(status, catalog=decision.section), self.tiles_base)
            new = frozenset(event.message_id for event in new_events(before, status, job.events.values()))
            fields = deciding_event(status).fields
            return _Folded(body, fields["stage"], fields["status"], new, decision, unreadable)


def _lag(job: Job, message_id: str) -> int:
    """Return the milliseconds since a message was sent.

    Not below 0: the sender's clock may be ahead, and CloudWatch gives no percentiles of a metric with a
    negative value (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html).
    """
    return max(0, round(job.deadline.now() * 1000) - job.events[message_id].sent_at)


def _read(stored: StoredObject | None) -> tuple[JobStatus, _Unreadable | None]:
    """Return what is known of a job, and what is wrong with the stored object, if it is no status object."""
    if stored is None:
        return JobStatus(), None
    try:
        return read(stored.body, stored.last_modified), None
    except UnreadableStatus as error:
        return JobStatus(), _Unreadable(str(error), stored.version)

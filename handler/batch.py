"""A batch: group its messages by job, run the jobs concurrently, report what failed."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from handler.deadline import Deadline, Reserve
from handler.events import Event
from handler.failures import Failure, log_failures
from handler.messages import InvalidMessage, parse
from handler.outcomes import MessageError, Outcome, OutOfTime, Report, RetryLater
from handler.publisher import Publisher
from handler.queue import Queue, backoff


@dataclass
class BatchRunner:
    """Runs the jobs of batches."""

    publisher: Publisher
    queue: Queue | None  # where the messages come from; None: the queue's default visibility timeout applies
    workers: int  # how many jobs run concurrently
    logger: Logger

    def run(self, records: Sequence[SQSRecord], deadline: Deadline) -> Report:
        """Process a batch's messages, and return what came of them; jobs fail independently of each other.

        What is not done by the deadline is reported as failed; its threads stop at their next step.
        """
        report = Report()
        jobs = self._group(records, report)
        if jobs:
            self._run_jobs(jobs, deadline, report)
        failed = [record for record in records if record.message_id in report.failed]
        if failed:
            retry_in = self._put_back(failed, report, deadline)
            failures = _failures(failed, jobs, report, retry_in)
            report.outcomes += [
                failure.error.outcome if isinstance(failure.error, MessageError) else Outcome.UNEXPECTED
                for failure in failures
            ]
            log_failures(self.logger, failures)
        return report

    def _group(self, records: Sequence[SQSRecord], report: Report) -> dict[str, list[Event]]:
        """Parse the records; return the events of each job, and add to the report what can't be parsed."""
        jobs: defaultdict[str, list[Event]] = defaultdict(list)
        for record in records:
            self.logger.debug("Message received", message_id=record.message_id, body=record.get("body"))
            try:
                attributes = record.get("attributes") or {}
                message = parse(record.message_id, attributes.get("SentTimestamp"), record.get("body"))
            except InvalidMessage as error:
                report.failed[record.message_id] = error
                continue
            jobs[message.job_id].append(message.event)
            if message.recovered:
                report.outcomes.append(Outcome.RECOVERED)
        return jobs

    def _run_jobs(self, jobs: Mapping[str, list[Event]], deadline: Deadline, report: Report) -> None:
        pool = ThreadPoolExecutor(min(self.workers, len(jobs)), thread_name_prefix="job")
        running: dict[Future[Report], str] = {
            pool.submit(self.publisher.publish, job_id, events, deadline): job_id
            for job_id, events in jobs.items()
        }
        # Stop waiting early enough to set the visibility timeouts. A job that ends later is repeated, which
        # does no harm.
        seconds = deadline.remaining() - (Reserve.VISIBILITY if self.queue else 0)
        done, _ = wait(running, timeout=max(0.0, seconds))
        pool.shutdown(wait=False, cancel_futures=True)
        out_of_time = OutOfTime("the invocation's time was up before the job was done")
        for future, job_id in running.items():
            failure = future.exception() if future in done else out_of_time
            if failure is None:
                report.add(future.result())
            elif isinstance(failure, Exception):
                report.failed |= {event.message_id: failure for event in jobs[job_id]}
            else:
                raise failure

    def _put_back(self, records: Sequence[SQSRecord], report: Report, deadline: Deadline) -> dict[str, int]:
        """Set when failed messages come back; return the seconds until then, by messageId, where known."""
        if not self.queue:
            return {}
        timeouts = {
            str(record.get("receiptHandle")): _visibility_timeout(record, report.failed[record.message_id])
            for record in records
        }
        changed = self.queue.change_visibility(timeouts, deadline)
        return {
            record.message_id: timeouts[receipt]
            for record in records
            if (receipt := str(record.get("receiptHandle"))) in changed
        }


def _failures(
    records: Sequence[SQSRecord],
    jobs: Mapping[str, list[Event]],
    report: Report,
    retry_in: Mapping[str, int],
) -> list[Failure]:
    """Return the failures that are worth a line, each message once.

    A message that can never succeed comes back immediately, until it is a dead letter: its first receive
    says all. Where that was lost with its invocation it gets no line; `oam-status dead-letters` says why it
    was refused.
    """
    job_ids = {event.message_id: job_id for job_id, events in jobs.items() for event in events}
    receive_counts: defaultdict[str, list[int]] = defaultdict(list)
    for record in records:
        receive_counts[record.message_id].append(_receive_count(record))
    return [
        Failure(
            message_id,
            error.job_id if isinstance(error, InvalidMessage) else job_ids.get(message_id),
            error,
            max(receive_counts[message_id]),
            retry_in.get(message_id),
        )
        for message_id, error in report.failed.items()
        if not isinstance(error, InvalidMessage) or 1 in receive_counts[message_id]
    ]


def _visibility_timeout(record: SQSRecord, error: Exception) -> int:
    """Return the seconds until a failed message comes back: 0 for one that can only become a dead letter."""
    if isinstance(error, InvalidMessage):
        return 0
    retry_after = error.retry_after if isinstance(error, RetryLater) else 0.0
    return backoff(_receive_count(record), random.random(), retry_after)  # noqa: S311 (no secret)


def _receive_count(record: SQSRecord) -> int:
    """Return how often a message has been received, this time included; 1 where the record does not say."""
    count = str((record.get("attributes") or {}).get("ApproximateReceiveCount"))
    return max(1, int(count)) if count.isdecimal() else 1

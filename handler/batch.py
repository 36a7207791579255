"""A batch: group its messages by job, run the jobs at once, report what failed."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from handler.aws_clients import SHORTEST_CALL
from handler.backoff import delay
from handler.errors import OutOfTime, RetryLater
from handler.messages import Event, InvalidMessage, parse
from handler.outcomes import Outcome, Report
from handler.publisher import Publisher
from handler.status_queue import StatusQueue

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger


POSTPONING = 2 * SHORTEST_CALL  # seconds that are kept back for it: to begin calls, and to end them


class Batch:
    """Processes batches.

    Args:
        publisher: publishes each job; shared by threads.
        queue: where the messages come from; None leaves them to its own visibility timeout.
        workers: how many jobs run at once.
        logger: gets a line for each message that failed.
    """

    def __init__(
        self, publisher: Publisher, queue: StatusQueue | None, workers: int, logger: "Logger"
    ) -> None:
        self._publisher = publisher
        self._queue = queue
        self._workers = workers
        self._logger = logger

    def process(self, records: Iterable[SQSRecord], time_left: Callable[[], float]) -> Report:
        """Process a batch's messages; no message's failure is another's.

        Args:
            records: the batch.
            time_left: gives the seconds left until the invocation has to answer. What is not done by then
                is reported as failed; its threads find no time left at their next step.

        Returns:
            What came of them.
        """
        report, records = Report(), list(records)
        jobs: defaultdict[str, list[Event]] = defaultdict(list)
        for record in records:
            self._logger.debug("Message received", message_id=record.message_id, body=record.get("body"))
            try:
                attributes = record.get("attributes") or {}
                message = parse(record.message_id, attributes.get("SentTimestamp"), record.get("body"))
            except InvalidMessage as error:
                report.failed[record.message_id] = error
                continue
            jobs[message.job_id].append(message.event)
            if message.recovered:
                report.outcomes.append(Outcome.RECOVERED)
        if jobs:
            self._run(jobs, time_left, report)
        first = {record.message_id for record in records if _receives(record) == 1}
        for message_id, reason in report.failed.items():
            # Poison comes back at once, until it is a dead letter: its first receive says all.
            if message_id in first or not isinstance(reason, InvalidMessage):
                report.outcomes.append(self._failure(message_id, reason))
        if self._queue and report.failed:
            delays = {
                str(record.get("receiptHandle")): _delay(record, report.failed[record.message_id])
                for record in records
                if record.message_id in report.failed
            }
            self._queue.postpone(delays, time_left() + POSTPONING)
        return report

    def _run(
        self, jobs: defaultdict[str, list[Event]], time_left: Callable[[], float], report: Report
    ) -> None:
        pool = ThreadPoolExecutor(min(self._workers, len(jobs)), thread_name_prefix="job")
        running: dict[Future[Report], str] = {
            pool.submit(self._publisher.publish, job_id, events, time_left): job_id
            for job_id, events in jobs.items()
        }
        done, _ = wait(running, timeout=max(0.0, time_left()))
        pool.shutdown(wait=False, cancel_futures=True)
        for future, job_id in running.items():
            failure: BaseException | None = OutOfTime("the invocation's time was up before the job was done")
            if future in done:
                failure = future.exception()
            if failure is None:
                report.add(future.result())
            elif isinstance(failure, Exception):
                report.failed |= {event.message_id: failure for event in jobs[job_id]}
            else:
                raise failure

    def _failure(self, message_id: str, error: Exception) -> Outcome:
        """Log why a message failed, and give that a name."""
        if isinstance(error, InvalidMessage):
            self._logger.warning("Message refused", message_id=message_id, reason=str(error))
            return Outcome.INVALID
        if isinstance(error, RetryLater):
            self._logger.warning(
                "Message failed", message_id=message_id, error=type(error).__name__, reason=str(error)
            )
            return Outcome.DEFERRED if isinstance(error, OutOfTime) else Outcome.FAILED
        self._logger.error("Message failed unexpectedly", message_id=message_id, exc_info=error)
        return Outcome.UNEXPECTED


def _delay(record: SQSRecord, error: Exception) -> int:
    """Give the seconds until a failed message comes back: at once, if only to become a dead letter sooner."""
    if isinstance(error, InvalidMessage):
        return 0
    at_least = error.retry_after if isinstance(error, RetryLater) else 0.0
    chance = random.random()  # noqa: S311 (no secret)
    return delay(_receives(record), chance, at_least)


def _receives(record: SQSRecord) -> int:
    """Give how often a message has been received, this time included; 1 where the record does not say."""
    receives = str((record.get("attributes") or {}).get("ApproximateReceiveCount"))
    return max(1, int(receives)) if receives.isdecimal() else 1

"""The queue in SQS: when a failed message comes back.

Exponential back-off with full jitter
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). With the stack's 60 receives an
outage of six hours dead-letters nothing, and all is back within 20 minutes of its end.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from handler.aws_errors import AWS_ERRORS
from handler.deadline import Deadline, Reserve
from handler.outcomes import OutOfTime

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# All in seconds.
BASE = 10
CAP = 1_200
# What a Retry-After may ask for. SQS would allow 12 hours
# (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html),
# but a message that waits so long each time is deleted at the end of the queue's retention period before it
# has used up its receives, and never becomes a dead letter.
MAX_RETRY_AFTER = 3_600

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
BATCH_ENTRIES = 10
CONCURRENT_CALLS = 8


def backoff(receive_count: int, jitter: float, retry_after: float = 0.0) -> int:
    """Return the seconds until the next delivery of a message that came `receive_count` times, at least once.

    `jitter` is a random number from 0 to 1, and `retry_after` the seconds to wait at least.
    """
    longest = min(CAP, BASE << min(receive_count - 1, 20))
    return min(MAX_RETRY_AFTER, ceil(max(retry_after, jitter * longest)))


@dataclass
class Queue:
    """The queue that the messages come from."""

    make_client: "Callable[[], SQSClient]"  # called when the first message has failed
    url: str
    logger: Logger  # gets a line for each reason why a message's return was not set

    def change_visibility(self, timeouts: Mapping[str, int], deadline: Deadline) -> set[str]:
        """Set when messages come back: the seconds to wait, by receipt handle.

        Return the receipt handles for which it was set; for others the queue's default visibility timeout
        applies.
        """
        entries = list(timeouts.items())
        chunks = [entries[start : start + BATCH_ENTRIES] for start in range(0, len(entries), BATCH_ENTRIES)]
        pool = ThreadPoolExecutor(CONCURRENT_CALLS)
        calls: dict[Future[dict[str, str]], list[tuple[str, int]]] = {}
        try:
            sqs = self.make_client()  # before there are threads: a session is not for several
            for chunk in chunks:
                calls[pool.submit(self._change, sqs, chunk, deadline)] = chunk
        except Exception as error:  # no client, no thread: the report of what is done must not be lost
            self.logger.error("Visibility not changed", calls=len(chunks) - len(calls), exc_info=error)
        done, late = wait(calls, max(0.0, deadline.remaining()))
        pool.shutdown(wait=False)  # a call that has not begun yet finds that no time is left
        reasons: Counter[str] = Counter({"no time was left": len(late)})
        changed = set()
        for call in done:
            if failure := call.exception():
                self.logger.error("Visibility not changed", calls=1, exc_info=failure)
            else:
                failed = call.result()
                reasons.update(set(failed.values()))
                changed |= {receipt for receipt, _ in calls[call]} - failed.keys()
        for reason, count in (+reasons).items():  # a line each: 10,000 messages are a thousand calls
            self.logger.warning("Visibility not changed", calls=count, reason=reason)
        return changed

    def _change(self, sqs: "SQSClient", entries: list[tuple[str, int]], deadline: Deadline) -> dict[str, str]:
        """Change the visibility of ten messages at the most; return why it was not, by receipt handle."""
        try:
            deadline.require(Reserve.AWS_CALL, "change the visibility")
            response = sqs.change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                    for number, (receipt, seconds) in enumerate(entries)
                ],
            )
        except (OutOfTime, *AWS_ERRORS) as error:
            return {receipt: str(error) for receipt, _ in entries}
        return {entries[int(failure["Id"])][0]: failure["Code"] for failure in response.get("Failed", [])}

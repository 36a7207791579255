"""The queue in SQS: when a failed message comes back."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from handler.aws_clients import NO_ANSWER
from handler.errors import OutOfTime

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger
    from mypy_boto3_sqs import SQSClient

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
ENTRIES = 10
CALLS_AT_ONCE = 8


class StatusQueue:
    """The queue that the messages come from.

    Args:
        sqs: gives a client whose next call ends within a number of seconds, or raises OutOfTime.
        url: the queue's URL.
        logger: gets a line for each failure.
    """

    def __init__(self, sqs: "Callable[[float], SQSClient]", url: str, logger: "Logger") -> None:
        self._sqs = sqs
        self._url = url
        self._logger = logger

    def postpone(self, delays: Mapping[str, int], seconds: float) -> None:
        """Set when messages come back. Where that fails, the queue's own visibility timeout still holds.

        Args:
            delays: the seconds to wait, by receipt handle.
            seconds: how long this may take.
        """
        end = time.monotonic() + seconds
        entries = list(delays.items())
        chunks = [entries[start : start + ENTRIES] for start in range(0, len(entries), ENTRIES)]
        pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="visibility")
        done, late = wait([pool.submit(self._change, chunk, end) for chunk in chunks], max(0.0, seconds))
        pool.shutdown(wait=False, cancel_futures=True)
        if late:
            self._logger.warning("Visibility not changed", calls=len(late), reason="no time was left")
        for call in done:
            if error := call.exception():
                self._logger.error("Visibility not changed", calls=1, exc_info=error)

    def _change(self, entries: list[tuple[str, int]], end: float) -> None:
        try:
            answer = self._sqs(end - time.monotonic()).change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                    for number, (receipt, seconds) in enumerate(entries)
                ],
            )
        except (OutOfTime, ClientError, *NO_ANSWER) as error:
            self._logger.warning("Visibility not changed", calls=1, reason=str(error))
            return
        for failure in answer.get("Failed", []):
            self._logger.warning(
                "Visibility not changed", receipt=entries[int(failure["Id"])][0], reason=failure["Code"]
            )

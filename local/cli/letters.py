"""Dead letters in hand: taken from their queue for a while, and put back or moved.

Taking one makes it invisible to others, and counts as a receive. Neither does harm in a dead-letter queue
that has none of its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from handler.messages import InvalidMessage, parse

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MOST_BYTES = 64 * 1024 * 1024  # of bodies, taken at once

_JOB_ID = re.compile(r'"jobId"\s*:\s*"([^"\\]+)"')


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that failed too often.

    Attributes:
        message_id: its messageId.
        sent_at: when it was sent, in milliseconds since the epoch.
        body: its body.
        system: SQS's own attributes of it.
        attributes: those that its sender gave it.
    """

    message_id: str
    sent_at: int
    body: str
    system: Mapping[str, str] = field(repr=False)
    attributes: Mapping[str, Any] = field(repr=False)

    @property
    def received(self) -> int:
        """How often it was received, as SQS counts: looks at it too, this one among them."""
        return int(self.system.get("ApproximateReceiveCount", 0))


def job_of(body: str) -> str | None:
    """Give the jobId of a message, also of one that the function would refuse; None if it names none."""
    try:
        return parse("", "0", body).job_id
    except InvalidMessage as error:
        if error.job_id:
            return error.job_id
        found = _JOB_ID.search(body)
        return found[1] if found else None


def refusal(letter: Letter) -> str | None:
    """Say why the function would refuse a letter; None if it would not."""
    try:
        parse(letter.message_id, str(letter.sent_at), letter.body)
    except InvalidMessage as error:
        return str(error)
    return None


class Hand:
    """Takes letters from a queue; a context manager, whose end puts back what is still held.

    Args:
        sqs: the queue's client.
        queue_url: the queue.
        seconds: for how long a letter is invisible to others, at the most.
    """

    def __init__(self, sqs: "SQSClient", queue_url: str, seconds: int) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._seconds = seconds
        self._receipts: dict[str, str] = {}  # of what is held, by messageId
        self._known: set[str] = set()
        self.not_put_back = 0  # how many come back only when their time is over

    def __enter__(self) -> Self:
        """Begin with nothing in hand."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put back what is held."""
        receipts = list(self._receipts.values())
        for some in (receipts[start : start + 10] for start in range(0, len(receipts), 10)):
            self.not_put_back += self._put_back(some)

    def ignore(self, message_id: str) -> None:
        """Count a messageId as known: it is not taken again, though it is put back with the others."""
        self._known.add(message_id)

    def take(self, limit: int) -> list[Letter]:
        """Take letters that were not taken before.

        Args:
            limit: how many, at the most. It may be fewer, though there are more, when they are large.

        Returns:
            The letters, the oldest first; none if there are no others.
        """
        letters: list[Letter] = []
        size = 0
        while len(letters) < limit and size < MOST_BYTES:
            messages = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=min(10, limit - len(letters)),
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
                VisibilityTimeout=self._seconds,
                WaitTimeSeconds=1,  # long polling asks all of SQS's servers, a short poll some
            ).get("Messages", [])
            self._receipts |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            new = [message for message in messages if message["MessageId"] not in self._known]
            if not new:  # nothing there, or all over again
                break
            self._known |= {message["MessageId"] for message in new}
            size += sum(len(message["Body"]) for message in new)
            letters += [
                Letter(
                    message["MessageId"],
                    int(message["Attributes"]["SentTimestamp"]),
                    message["Body"],
                    {str(name): value for name, value in message["Attributes"].items()},
                    message.get("MessageAttributes", {}),
                )
                for message in new
            ]
        return sorted(letters, key=lambda letter: (letter.sent_at, letter.message_id))

    def delete(self, letter: Letter) -> None:
        """Delete a letter from the queue."""
        self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=self._receipts[letter.message_id])
        del self._receipts[letter.message_id]

    def _put_back(self, receipts: list[str]) -> int:
        """Make letters visible again; give how many of them SQS did not."""
        try:
            answer = self._sqs.change_message_visibility_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                    for number, receipt in enumerate(receipts)
                ],
            )
        except (BotoCoreError, ClientError):  # counted, and said by the tool: they come back by themselves
            return len(receipts)
        return len(answer.get("Failed", []))

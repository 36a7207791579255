"""Messages for the queue, in batches of ten."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from local.cli.letters import job_of
from local.cli.queues import JUST_APART
from local.cli.text import printable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
MOST_MESSAGES = 10
MOST_BYTES = 1_048_576  # of all bodies together, as of one alone


class SendError(click.ClickException):
    """Raised when the messages can't be sent; its text is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that SQS took.

    Attributes:
        message_id: its messageId.
        body: its body.
    """

    message_id: str
    body: str


def batches(bodies: Iterable[str]) -> Iterator[list[str]]:
    """Cut messages into batches that SQS takes.

    A job's messages are ordered by the times at which SQS takes them, and those of a batch may have the same:
    a job's next message comes in a later batch than the one before. The order of two jobs' does not matter.

    Args:
        bodies: the messages' bodies, in the order in which they are to be sent.

    Yields:
        The bodies of each batch. One that is larger than SQS takes is a batch of its own.
    """
    rounds: list[list[str]] = []  # the first messages of all jobs, then the second ones ...
    counts: Counter[str] = Counter()
    for body in bodies:
        job_id = job_of(body)
        number = counts[job_id] if job_id else 0
        if job_id:
            counts[job_id] += 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(body)
    for each in rounds:
        batch: list[str] = []
        size = 0
        for body in each:
            length = len(body.encode())
            if batch and (len(batch) == MOST_MESSAGES or size + length > MOST_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(body)
            size += length
        if batch:
            yield batch


def send_in_batches(sqs: "SQSClient", queue_url: str, bodies: Iterable[str]) -> Iterator[list[Sent]]:
    """Send messages, and end at the first batch of which SQS does not take all.

    Args:
        sqs: the queue's client.
        queue_url: the queue.
        bodies: the messages' bodies, in order.

    Yields:
        Those messages of each batch that SQS took.

    Raises:
        SendError: when SQS did not take a message of a batch; the others of that batch are sent.
        ClientError, BotoCoreError: when SQS takes nothing of a batch.
    """
    for batch in batches(bodies):
        answer = sqs.send_message_batch(
            QueueUrl=queue_url,
            Entries=[{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)],
        )
        yield [Sent(taken["MessageId"], batch[int(taken["Id"])]) for taken in answer.get("Successful", [])]
        if refused := answer.get("Failed", []):
            lines = [
                f"    {printable(batch[int(each['Id'])], 100)}\n"
                f"        {each['Code']}: {printable(each.get('Message', ''), 300)}"
                for each in refused
            ]
            raise SendError("SQS did not take all of a batch:\n" + "\n".join(lines))
        time.sleep(JUST_APART)

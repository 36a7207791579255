"""A queue's dead-letter queue, and how many messages are in a queue."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Seconds between two sends of one job's messages: SentTimestamp counts milliseconds, and orders them.
JUST_APART = 0.002


class NoQueue(click.ClickException):
    """Raised when there is no such queue; its text is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages are in a queue, as far as SQS knows.

    Attributes:
        visible: those that can be received now.
        in_flight: those that were received and come back when their time is over.
        visibility_timeout: how long that is in seconds, unless another time was asked for at the receive.
    """

    visible: int
    in_flight: int
    visibility_timeout: int

    @property
    def in_flight_text(self) -> str:
        """Say what is in flight, in a sentence."""
        back = "it comes back" if self.in_flight == 1 else "they come back"
        return (
            f"{self.in_flight} in flight (received and not visible, as by a look in the console):"
            f" {back} within {self.visibility_timeout} seconds."
        )


def find_dead_letter_queue(sqs: "SQSClient", queue_url: str) -> tuple[str, str]:
    """Give a queue's dead-letter queue: its URL and its ARN.

    Raises:
        NoQueue: when it has none.
    """
    policy = attributes(sqs, queue_url, "RedrivePolicy").get("RedrivePolicy")
    if not policy:
        raise NoQueue(f"{queue_url} has no dead-letter queue.")
    arn: str = json.loads(policy)["deadLetterTargetArn"]
    *_, account, name = arn.split(":")
    return sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"], arn


def count(sqs: "SQSClient", queue_url: str) -> Counts:
    """Count a queue's messages, those in flight too."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "VisibilityTimeout")
    found = attributes(sqs, queue_url, *names)
    return Counts(*(int(found[name]) for name in names))


def attributes(sqs: "SQSClient", queue_url: str, *names: str) -> dict[str, str]:
    """Give those of a queue's attributes that it has."""
    answer = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=list(names),  # type: ignore[arg-type] # the stubs want each name as a literal
    )
    return {str(name): value for name, value in answer.get("Attributes", {}).items()}

"""The dead-letter queue, and why each message is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handler.messages import InvalidMessage, parse

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed too often.

    Attributes:
        message_id: its messageId.
        body: its body.
        reason: why it failed, as far as that can be told.
    """

    message_id: str
    body: str
    reason: str


def read_dead_letters(
    sqs: "SQSClient", queue_url: str, jobs: Mapping[str, Mapping[str, Any]]
) -> list[DeadLetter]:
    """Read a dead-letter queue, and leave its messages there.

    Args:
        sqs: the queue's client.
        queue_url: the queue.
        jobs: the status objects by jobId, which may tell why a valid message failed.

    Returns:
        What is there.
    """
    letters: dict[str, DeadLetter] = {}
    while messages := sqs.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    ).get("Messages"):
        for message in messages:
            reason = _reason(
                message["MessageId"], message["Attributes"]["SentTimestamp"], message["Body"], jobs
            )
            letters[message["MessageId"]] = DeadLetter(message["MessageId"], message["Body"], reason)
    return list(letters.values())


def _reason(message_id: str, sent_timestamp: str, body: str, jobs: Mapping[str, Mapping[str, Any]]) -> str:
    try:
        job_id = parse(message_id, sent_timestamp, body).job_id
    except InvalidMessage as error:
        return str(error)
    answer = jobs.get(job_id, {}).get("catalog", {}).get("error")
    if answer:
        return f"a valid message; of job {job_id} the catalog said: {answer}"
    return "a valid message; the function's log says why it failed"

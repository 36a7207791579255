"""The queue that is meant, and its dead-letter queue."""

import json
import os
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import EndpointConnectionError

from local.aws_server import HOST
from local.configuration import region
from local.embedded import QUEUE, leave_aws, sqs_client

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class NoQueue(Exception):
    """Raised when there is no such queue; its text is for the person who asked."""


def find_queue(port: int) -> tuple["SQSClient", str]:
    """Give the queue that the environment names, else the embedded stack's: a client and its URL.

    Args:
        port: of the embedded stack.

    Raises:
        NoQueue: when no embedded stack runs.
    """
    queue_url = os.environ.get("OAM_STATUS_SQS_QUEUE_URL", "").strip()
    if queue_url:
        return boto3.client("sqs", region_name=region(os.environ)), queue_url
    leave_aws()
    url = f"http://{HOST}:{port}"
    sqs = sqs_client(url)
    try:
        return sqs, sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    except EndpointConnectionError as error:
        raise NoQueue(f"Nothing listens at {url}. `make start` in another terminal starts it.") from error


def find_dead_letter_queue(sqs: "SQSClient", queue_url: str) -> tuple[str, str]:
    """Give a queue's dead-letter queue: its URL and its ARN.

    Raises:
        NoQueue: when it has none.
    """
    policy = attribute(sqs, queue_url, "RedrivePolicy")
    if not policy:
        raise NoQueue(f"{queue_url} has no dead-letter queue.")
    arn: str = json.loads(policy)["deadLetterTargetArn"]
    *_, account, name = arn.split(":")
    return sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"], arn


def attribute(sqs: "SQSClient", queue_url: str, name: str) -> str:
    """Give a queue's attribute; nothing if it does not have it."""
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])  # type: ignore[list-item]
    return answer.get("Attributes", {}).get(name, "")  # type: ignore[call-overload,no-any-return]

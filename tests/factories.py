"""Makes messages, events and SQS records for the tests."""

import itertools
import json
import uuid
from typing import Any

from handler.messages import Event, parse

NOON = 1_700_000_000_000  # milliseconds since the epoch: 2023-11-14T22:13:20.000Z
TARGET = "s3://oam-tiles/test-job"
IMAGES = [
    "http://bucketname.s3.amazonaws.com/image1.tif",
    "/vsicurl/http://bucketname.s3.amazonaws.com/image2.tif",
]

_numbers = itertools.count()


def fields(stage: str, status: str, **more: Any) -> dict[str, Any]:
    """Give what a message says beside its jobId: what the producers say, and more."""
    own: dict[str, Any] = {"stage": stage, "status": status}
    if status == "FAILED":
        own["error"] = "so many errors"
    if (stage, status) == ("mosaic", "FINISHED"):
        own |= {"target": TARGET, "images": IMAGES}
    return own | more


def body(stage: str, status: str, job_id: str = "test-job", **more: Any) -> str:
    """Write a message as its producer does."""
    return json.dumps({"jobId": job_id, **fields(stage, status, **more)})


def event(stage: str, status: str, at: int = 0, message_id: str | None = None, **more: Any) -> Event:
    """Make an event sent `at` milliseconds after NOON."""
    name = message_id or f"message-{next(_numbers):06d}"
    return parse(name, str(NOON + at), body(stage, status, **more)).event


def step_event(step: str, at: int = 0, message_id: str | None = None, **more: Any) -> Event:
    """Make an event of a step, for instance "chunk STARTED", sent `at` milliseconds after NOON."""
    stage, status = step.split()
    return event(stage, status, at, message_id, **more)


def record(text: str, at: int = 0, message_id: str | None = None, receives: int = 1) -> dict[str, Any]:
    """Make an SQS record as Lambda receives it, sent `at` milliseconds after NOON."""
    return {
        "messageId": message_id or str(uuid.uuid4()),
        "receiptHandle": "AQEB",
        "body": text,
        "attributes": {
            "ApproximateReceiveCount": str(receives),
            "SentTimestamp": str(NOON + at),
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": str(NOON + at + 5),
        },
        "messageAttributes": {},
        "md5OfBody": "0" * 32,
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:oam-status",
        "awsRegion": "us-east-1",
    }

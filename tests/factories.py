"""Makes messages, events and SQS records for the tests."""

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any

from handler.events import Event
from handler.job_status import JobStatus, fold
from handler.messages import parse
from handler.status_object import to_json

NOON = 1_700_000_000_000  # milliseconds since the epoch: 2023-11-14T22:13:20.000Z
TARGET = "s3://oam-tiles/test-job"
IMAGES = [
    "http://bucketname.s3.amazonaws.com/image1.tif",
    "/vsicurl/http://bucketname.s3.amazonaws.com/image2.tif",
]

MIB = 1024 * 1024  # bytes: the most that SQS takes

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


def stored(*events: Event, before: JobStatus | None = None) -> dict[str, Any]:
    """Return the status object of "test-job" after some events."""
    found: dict[str, Any] = json.loads(to_json("test-job", fold(before or JobStatus(), events)))
    return found


def headline(status: dict[str, Any]) -> tuple[str, str, int]:
    """Return the stage, status and attempt of a status object."""
    return status["stage"], status["status"], status["attempt"]


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


def largest_messages() -> list[tuple[str, dict[str, Any]]]:
    """Give messages as large as SQS takes them, each with what it says: those that grow most when written.

    The three that become the largest are the last.
    """
    return [*_long_texts(), *_long_images(), *_long_lists(), _long_list_beside_an_image()]


def _long_texts() -> Iterator[tuple[str, dict[str, Any]]]:
    escaped = '{"jobId":"j","stage":"chunk","status":"FAILED","error":"'
    unescaped = '{ "jobId": "j", "stage": "mosaic", "status": "FAILED", "error": "'
    for written, meant in (("x", "x"), ("é", "é"), (r"\u001f", "\x1f"), (r"\ud800", "\ufffd")):
        count, rest = divmod(MIB - len(escaped) - len('."}'), len(written.encode()))
        text = escaped + written * count + "." * rest + '."}'
        yield text, fields("chunk", "FAILED", error=meant * count + "." * rest + ".")
    for written in ('"', '\n"', "\\"):
        count, rest = divmod(MIB - len(unescaped) - len('""}'), len(written))
        error = '"' + written * count + "." * rest
        yield unescaped + error + '"}', fields("mosaic", "FAILED", error=error)


def _long_lists() -> Iterator[tuple[str, dict[str, Any]]]:
    head = '{"jobId":"j","stage":"mosaic","status":"STARTED","x":['
    for written in ("[]", "9e15", '{"":9e15}'):  # what takes the most memory, and the number that grows most
        count, rest = divmod(MIB - len(head) - len("0]}"), len(written) + 1)
        text = head + (written + ",") * count + "0]" + " " * rest + "}"
        yield text, fields("mosaic", "STARTED", x=[*[json.loads(written)] * count, 0])


def _long_images() -> Iterator[tuple[str, dict[str, Any]]]:
    for image, count in (("http://i.org/" + "i" * 40 + ".tif", 16_000), ("i" * 1_000_000, 1), ("", 349_000)):
        own = fields("mosaic", "FINISHED", images=[image] * count, log="")
        own["log"] = "l" * (MIB - len(_compact(own)))
        yield _compact(own), own


def _long_list_beside_an_image() -> tuple[str, dict[str, Any]]:
    own = fields("mosaic", "FINISHED", images=["i" * 500_000], x=[])
    count, rest = divmod(MIB - len(_compact(own)) - 1, 5)
    text = _compact(own)[:-2] + "9e15," * count + "0]" + " " * rest + "}"
    return text, own | {"x": [*[9e15] * count, 0]}


def _compact(own: dict[str, Any]) -> str:
    return json.dumps({"jobId": "j", **own}, separators=(",", ":"))

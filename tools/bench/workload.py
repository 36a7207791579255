"""Batches: the same for every subject."""

import json
from dataclasses import dataclass
from typing import Any

NOON = 1_700_000_000_000

_STEPS = (
    {"stage": "chunk", "status": "STARTED"},
    {"stage": "chunk", "status": "FINISHED"},
    {"stage": "mosaic", "status": "STARTED"},
    {"stage": "mosaic", "status": "FAILED", "error": "lost a worker"},
)


@dataclass(frozen=True)
class Workload:
    """A batch.

    Attributes:
        messages: how many.
        jobs: of how many jobs; message n is of job n modulo jobs, and the next step of it.
        completions: how many of them, the first ones, are a mosaic FINISHED.
        name: goes into the jobIds.
        first: the number of the first message: later ones than an earlier batch's.
    """

    messages: int
    jobs: int
    completions: int = 0
    name: str = "w"
    first: int = 0


def make_event(workload: Workload) -> dict[str, Any]:
    """Write the batch as an SQS event."""
    return {"Records": [_record(workload, workload.first + number) for number in range(workload.messages)]}


def _record(workload: Workload, number: int) -> dict[str, Any]:
    job_id = f"{workload.name}-{number % workload.jobs}"
    fields: dict[str, Any] = dict(_STEPS[number // workload.jobs % len(_STEPS)])
    finished = number - workload.first < workload.completions
    if finished:
        images = [f"http://images.s3.amazonaws.com/{job_id}-{n}.tif" for n in range(2)]
        fields = {
            "stage": "mosaic",
            "status": "FINISHED",
            "target": f"s3://tiles/{job_id}",
            "images": images,
        }
    return {
        "messageId": f"{workload.name}-m{number}",
        "receiptHandle": "AQEB",
        "body": json.dumps({"jobId": job_id, **fields}),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(NOON + number)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:oam-status",
        "awsRegion": "us-east-1",
        "floor": job_id,
        "finished": finished,
    }

"""Writes events/*.json: SQS events as Lambda hands them over. Always the same: no clock, no chance."""

import base64
import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from local.demo.scenario import message, unescaped_mosaic_failure

FOLDER = Path(__file__).parents[2] / "events"

_NOON = 1_791_892_800_000  # 2026-10-13T12:00:00Z, in milliseconds since the epoch
_SECOND = 1_000

_ACCOUNT, _REGION, _QUEUE = "123456789012", "us-east-1", "oam-status"

_IMAGES = ["http://bucketname.s3.amazonaws.com/image1.tif", "http://bucketname.s3.amazonaws.com/image2.tif"]

# Letter for letter as documented.
_DOCUMENTED = {
    "chunk-started": '{ "jobId": "test-job", "stage": "chunk", "status": "STARTED" }',
    "chunk-failed": (
        '{ "jobId": "test-job", "stage": "chunk", "status": "FAILED", "error": "so many errors" }'
    ),
    "chunk-finished": '{ "jobId": "test-job", "stage": "chunk", "status": "FINISHED" }',
    "mosaic-started": '{ "jobId": "test-job", "stage": "mosaic", "status": "STARTED" }',
    "mosaic-failed": (
        '{ "jobId": "test-job", "stage": "mosaic", "status": "FAILED", "error": "scala errors oh my" }'
    ),
    "mosaic-finished": (
        '{ "jobId": "test-job", "stage": "mosaic", "status": "FINISHED", '
        '"target": "s3://oam-tiles/test-job", '
        '"images": ["http://bucketname.s3.amazonaws.com/image1.tif", '
        '"http://bucketname.s3.amazonaws.com/image2.tif"] }'
    ),
}


def make_events() -> dict[str, dict[str, Any]]:
    """Make all events.

    Returns:
        For each file name its event.
    """
    events = {
        f"{name}.json": [_record(name, body, index * 60 * _SECOND)]
        for index, (name, body) in enumerate(_DOCUMENTED.items())
    }
    events["full-job.json"] = _full_job()
    events["mixed-with-poison.json"] = _mixed_with_poison()
    events["malformed-mosaic-failure.json"] = [
        _record(
            "malformed",
            unescaped_mosaic_failure(
                "test-job", 'Job aborted: "stage 3"\n\tat C:\\spark\\new\\Main.scala:14 { "nested": "}" }'
            ).body,
            0,
        )
    ]
    events["redelivery.json"] = _redelivery()
    events["large-batch.json"] = _large_batch()
    return {name: {"Records": records} for name, records in events.items()}


def render(event: dict[str, Any]) -> str:
    """Write an event as the text of its file."""
    return json.dumps(event, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files."""
    for name, event in make_events().items():
        (FOLDER / name).write_text(render(event), encoding="utf-8")
        print(f"{FOLDER / name}: {len(event['Records'])} messages")


def _full_job() -> list[dict[str, Any]]:
    """Give the four messages of a job, not in the order in which they were sent."""
    records = [_record("full", body, index * 60 * _SECOND) for index, body in enumerate(_bodies("test-job"))]
    return [records[index] for index in (3, 0, 2, 1)]


def _bodies(job_id: str) -> list[str]:
    """Write what is sent of a job that runs straight through."""
    return [
        message(job_id, "chunk", "STARTED").body,
        message(job_id, "chunk", "FINISHED").body,
        message(job_id, "mosaic", "STARTED").body,
        message(job_id, "mosaic", "FINISHED", target=f"s3://oam-tiles/{job_id}", images=_IMAGES).body,
    ]


def _mixed_with_poison() -> list[dict[str, Any]]:
    finished = {"target": "s3://oam-tiles/test-job", "images": _IMAGES}
    bodies = [
        message("test-job", "chunk", "STARTED").body,
        message("../escape", "mosaic", "FINISHED", **finished).body,
        "not JSON at all",
        message("test-job", "chunk", "FINISHED").body,
        "[]",
        "null",
        '{ "jobId": "test-job", "stage": "chunk", "status": "FINISHED", "progress": NaN }',
        message("test-job", "mosaic", "STARTED").body,
        message("test-job", "mosaic", "PAUSED").body,
        message("test-job", "mosaic", "FINISHED", images=_IMAGES).body,
        message("test-job", "mosaic", "FINISHED", **(finished | {"images": "image1.tif"})).body,
        message("test-job", "mosaic", "FINISHED", **finished).body,
    ]
    return [_record("mixed", body, index * 60 * _SECOND) for index, body in enumerate(bodies)]


def _redelivery() -> list[dict[str, Any]]:
    """Give messages that come again; one of them twice at once, and once more redriven from the dead."""
    bodies = _bodies("test-job")
    records = [
        _record("redelivery", body, index * 60 * _SECOND, receives=2) for index, body in enumerate(bodies)
    ]
    twice = _record("redelivery", bodies[1], 60 * _SECOND, receives=3)
    redriven = _record("redriven", bodies[1], 24 * 60 * 60 * _SECOND)
    return [*records, twice, redriven]


def _large_batch() -> list[dict[str, Any]]:
    """Give the 100 messages of 25 jobs in disorder; every fifth job fails."""
    records = []
    for number in range(25):
        job_id = f"job-{number:02d}"
        bodies = _bodies(job_id)
        if number % 5 == 4:
            bodies[-1] = unescaped_mosaic_failure(job_id, f'no such tile: "14/{number}/7"').body
        records += [
            _record("large", body, number * _SECOND + index * 60 * _SECOND)
            for index, body in enumerate(bodies)
        ]
    return [records[index * 37 % len(records)] for index in range(len(records))]


def _record(origin: str, body: str, sent: int, receives: int = 1) -> dict[str, Any]:
    """Write a record as Lambda hands it over.

    Args:
        origin: with `sent` and the body, what makes the message one of its own.
        body: the body.
        sent: milliseconds after noon.
        receives: how often it has been received, this time included.
    """
    message_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{origin}/{sent}/{body}"))
    handle = hashlib.sha512(f"{message_id}/{receives}".encode()).digest()
    return {
        "messageId": message_id,
        "receiptHandle": "AQEB" + base64.b64encode(handle).decode(),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(receives),
            "SentTimestamp": str(_NOON + sent),
            "SenderId": "AROAEXAMPLEEXAMPLEXMP:tiler",
            "ApproximateFirstReceiveTimestamp": str(_NOON + sent + 7),
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:{_QUEUE}",
        "awsRegion": _REGION,
    }


if __name__ == "__main__":
    main()

"""Status objects, read back from S3 for people to look at."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from handler.messages import STEPS, Step

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SUFFIX = "-status.json"
_STARTED = {Step.CHUNK_STARTED, Step.MOSAIC_STARTED}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a job's history, for people.

    Attributes:
        time: when it was sent: hours to milliseconds, UTC.
        attempt: of which attempt of the job it is.
        stage: its stage.
        status: its status.
        detail: what else it says, on one line, short.
    """

    time: str
    attempt: int
    stage: str
    status: str
    detail: str


def read_jobs(s3: "S3Client", bucket: str, prefix: str) -> dict[str, dict[str, Any]]:
    """Read all status objects of a bucket.

    Args:
        s3: the bucket's client.
        bucket: the bucket's name.
        prefix: what the keys begin with; its slashes do not matter.

    Returns:
        For each jobId its status object, in the order of the jobIds.
    """
    folder = "".join(f"{part}/" for part in prefix.split("/") if part)
    jobs = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
        for listed in page.get("Contents", []):
            name = listed["Key"].removeprefix(folder)
            if name.endswith(_SUFFIX) and "/" not in name:
                body = s3.get_object(Bucket=bucket, Key=listed["Key"])["Body"].read()
                jobs[name.removesuffix(_SUFFIX)] = json.loads(body)
    return jobs


def timeline(status: Mapping[str, Any]) -> list[Entry]:
    """Lay out a status object's history.

    Args:
        status: the object.

    Returns:
        Its entries in order.
    """
    entries, attempt, steps = [], 1, set[Step]()
    for entry in status.get("history", []):
        if before := entry.get("droppedBefore"):
            attempt, steps = before["attempt"], {STEPS[*name.split()] for name in before["steps"]}
        step = STEPS.get((entry["stage"], entry["status"]))
        if step is not None:
            if step in _STARTED and step in steps:
                attempt, steps = attempt + 1, {known for known in steps if known < step}
            steps.add(step)
        moment = datetime.fromisoformat(entry["sentAt"])
        entries.append(
            Entry(
                f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}",
                attempt,
                entry["stage"],
                entry["status"],
                _detail(entry),
            )
        )
    return entries


def _detail(entry: Mapping[str, Any]) -> str:
    parts = [
        f"{name}: {_one_line(value)}"
        for name, value in entry.items()
        if name not in {"messageId", "sentAt", "stage", "status", "droppedBefore"}
    ]
    return _one_line(", ".join(parts), 100)


def _one_line(value: object, length: int = 60) -> str:
    if isinstance(value, str) and value.count("\n") > 3:
        return f"{value.count(chr(10)) + 1} lines"
    if isinstance(value, list):
        return f"{len(value)} of them"
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.replace("\n", "⏎").replace("\r", "")
    return text if len(text) <= length else text[: length - 1] + "…"

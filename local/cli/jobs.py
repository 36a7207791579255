"""Status objects, read back from S3 for people to look at."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from handler.events import STEPS, Step
from handler.status_store import MAX_STORED_BYTES
from local.cli.text import printable

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


@dataclass(frozen=True, slots=True)
class Found:
    """An object that was found where status objects are.

    Attributes:
        key: its key.
        job_id: the job's, as the key says it.
        status: its content; None if it is no status object.
        problem: what is wrong with it, in a few words; empty if nothing is.
    """

    key: str
    job_id: str
    status: dict[str, Any] | None
    problem: str = ""


def find_jobs(s3: "S3Client", bucket: str, prefix: str) -> Iterator[Found]:
    """Read what is where status objects are, one after the other, in the order of the keys.

    Args:
        s3: the bucket's client.
        bucket: the bucket's name.
        prefix: what the keys begin with; its slashes do not matter.

    Raises:
        ClientError, BotoCoreError: when the bucket can't be listed, or does not answer.
    """
    folder = _folder(prefix)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
        for listed in page.get("Contents", []):
            name = listed["Key"].removeprefix(folder)
            if name.endswith(_SUFFIX) and "/" not in name:
                yield _read(s3, bucket, listed["Key"], name.removesuffix(_SUFFIX))


def find_job(s3: "S3Client", bucket: str, prefix: str, job_id: str) -> Found:
    """Read a job's status object, with one request.

    Args:
        s3: the bucket's client.
        bucket: the bucket's name.
        prefix: what the keys begin with; its slashes do not matter.
        job_id: the job's.

    Raises:
        BotoCoreError: when the bucket does not answer.
    """
    return _read(s3, bucket, f"{_folder(prefix)}{job_id}{_SUFFIX}", job_id)


def read_jobs(s3: "S3Client", bucket: str, prefix: str) -> dict[str, dict[str, Any]]:
    """Read all status objects of a bucket; what is none is left out.

    Args:
        s3: the bucket's client.
        bucket: the bucket's name.
        prefix: what the keys begin with; its slashes do not matter.

    Returns:
        For each jobId its status object, in the order of the jobIds.
    """
    return {found.job_id: found.status for found in find_jobs(s3, bucket, prefix) if found.status is not None}


def describe(status: Mapping[str, Any]) -> str:
    """Say in a few words how a job stands."""
    attempt, catalog = status.get("attempt"), status.get("catalog")
    text = f"{status['stage']} {status['status']}, attempt {attempt if isinstance(attempt, int) else '-'}"
    if isinstance(catalog, dict):
        text += f", catalog {catalog.get('state', '-')}"
    return printable(text)


def _folder(prefix: str) -> str:
    return "".join(f"{part}/" for part in prefix.split("/") if part)


def _read(s3: "S3Client", bucket: str, key: str, job_id: str) -> Found:
    """Read one object; whatever is wrong with it alone is said in what is given."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as stream:
            if answer["ContentLength"] > MAX_STORED_BYTES:
                return Found(
                    key, job_id, None, f"longer than any status object: {answer['ContentLength']:,} bytes"
                )
            body = stream.read()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
            return Found(key, job_id, None, "it is not there")
        return Found(key, job_id, None, f"S3 does not give it: {error}")
    except (ResponseStreamingError, IncompleteReadError, ReadTimeoutError) as error:
        return Found(key, job_id, None, f"S3 did not give all of it: {error}")
    return _understand(key, job_id, body)


def _understand(key: str, job_id: str, body: bytes) -> Found:
    try:
        status = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Found(key, job_id, None, "not UTF-8")
    except (ValueError, RecursionError) as error:
        return Found(key, job_id, None, f"not JSON: {error}")
    if not isinstance(status, dict):
        return Found(key, job_id, None, f"not a JSON object, but {type(status).__name__}")
    missing = [name for name in ("stage", "status") if not isinstance(status.get(name), str)]
    if missing:
        return Found(key, job_id, None, f"no status object: it has no {' and no '.join(missing)}")
    note = "begins with a byte order mark (BOM), and is read all the same"
    return Found(key, job_id, status, note if body.startswith(BOM_UTF8) else "")


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

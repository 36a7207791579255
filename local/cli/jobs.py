"""Status objects, listed and read back from S3 for people to look at."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from json import detect_encoding
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from handler.status_store import MAX_STORED_BYTES
from handler.strict_json import MAX_DEPTH, decode_object
from local.cli.text import printable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SUFFIX = "-status.json"
_NOTES = {"utf-8": "", "utf-8-sig": "begins with a byte order mark (BOM), and is read all the same"}


@dataclass(frozen=True, slots=True)
class Listed:
    """An object, as a listing of the bucket says it.

    Attributes:
        key: its key.
        job_id: the job's, as the key says it.
        modified: when it was last written, in seconds since the epoch.
        etag: changes with its content.
    """

    key: str
    job_id: str
    modified: float
    etag: str


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


def list_jobs(s3: "S3Client", bucket: str, prefix: str) -> Iterator[Listed]:
    """List what is where status objects are, in the order of the keys; nothing is read.

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
                yield Listed(
                    listed["Key"],
                    name.removesuffix(_SUFFIX),
                    listed["LastModified"].timestamp(),
                    listed["ETag"],
                )


def find_jobs(s3: "S3Client", bucket: str, prefix: str) -> Iterator[Found]:
    """Read what is where status objects are, one after the other, in the order of the keys.

    Arguments and errors are those of `list_jobs`.
    """
    for listed in list_jobs(s3, bucket, prefix):
        yield read_object(s3, bucket, listed.key, listed.job_id)


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
    return read_object(s3, bucket, f"{_folder(prefix)}{job_id}{_SUFFIX}", job_id)


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


def read_object(s3: "S3Client", bucket: str, key: str, job_id: str) -> Found:
    """Read one object; whatever is wrong with it alone is said in what is returned.

    Raises:
        BotoCoreError: when the bucket does not answer.
    """
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as stream:
            if answer["ContentLength"] > MAX_STORED_BYTES:
                return Found(
                    key, job_id, None, f"longer than any status object: {answer['ContentLength']:,} bytes"
                )
            body = stream.read()
    except ClientError as error:
        return Found(key, job_id, None, _refusal(error))
    except (ResponseStreamingError, IncompleteReadError, ReadTimeoutError) as error:
        return Found(key, job_id, None, f"S3 did not give all of it: {error}")
    return _understand(key, job_id, body)


def describe(status: Mapping[str, Any]) -> str:
    """Say in a few words how a job stands."""
    attempt, catalog = status.get("attempt"), status.get("catalog")
    text = f"{status['stage']} {status['status']}, attempt {attempt if isinstance(attempt, int) else '-'}"
    if isinstance(catalog, dict):
        text += f", catalog {catalog.get('state', '-')}"
    return printable(text)


def _folder(prefix: str) -> str:
    return "".join(f"{part}/" for part in prefix.split("/") if part)


def _refusal(error: ClientError) -> str:
    said = error.response.get("Error", {})
    code = said.get("Code", "")
    if code in {"NoSuchKey", "404"}:
        return "it is not there"
    hint = " (or it is not there: without s3:ListBucket S3 does not tell)" if code == "AccessDenied" else ""
    return f"S3 does not give it: {code}: {said.get('Message', '')}{hint}"


def _understand(key: str, job_id: str, body: bytes) -> Found:
    """Read an object's content as the function does, which replaces what is no status object."""
    encoding = detect_encoding(body)
    try:
        # A message's fields are nested in the object's.
        status = decode_object(body.decode(encoding), 2 * MAX_DEPTH)
    except UnicodeDecodeError:
        return Found(key, job_id, None, "not UTF-8")
    except ValueError as error:
        return Found(key, job_id, None, f"not a JSON object: {error}")
    missing = [
        name for name in ("stage", "status") if not (status.get(name) and isinstance(status[name], str))
    ]
    if missing:
        return Found(key, job_id, None, f"no status object: it has no {' and no '.join(missing)}")
    return Found(key, job_id, status, _NOTES.get(encoding, f"is {encoding}, and is read all the same"))

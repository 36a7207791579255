"""The status objects in S3: read, change, write back if nobody wrote in between."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from botocore.exceptions import ClientError

from handler.aws_clients import NO_ANSWER
from handler.errors import RetryLater
from handler.job_status import SIZE_LIMIT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 12  # at one object, before its messages go back to the queue
LONGEST_WAIT = 0.4  # seconds between two attempts
# In bytes: ours, and what an editor may have added. A longer object is nobody's status object, and not read.
READ_LIMIT = SIZE_LIMIT * 9 // 8

# 412: somebody wrote since we read (or it was us, and the answer was lost). 409: somebody is writing. 404 to
# an If-Match: somebody deleted it.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_CONFLICTS = frozenset({409, 412})

Result = TypeVar("Result")


class StatusStoreError(RetryLater):
    """Raised when S3 does not read or write a status object."""


class StatusConflict(StatusStoreError):
    """Raised when other writers came first at every attempt."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A status object as it was read, or written."""

    body: bytes  # its content
    etag: str  # what a conditional write names it by
    last_modified: int  # when it was written, in milliseconds since the epoch; 0 for one that we wrote
    version: str | None = None  # its version, where the bucket has or had versions


@dataclass(frozen=True, slots=True)
class Update(Generic[Result]):
    """What came of an update."""

    result: Result  # what the change gave beside the new body
    stored: StoredObject  # what is stored now
    written: bool  # whether anything had changed
    conflicts: int  # how many attempts were lost to other writers


class StatusStore:
    """The status objects of one bucket and prefix.

    Args:
        s3: gives a client whose next call ends within a number of seconds, or raises OutOfTime.
        bucket: the bucket's name.
        prefix: what all keys begin with; its slashes do not matter.
        sleep: waits a number of seconds.
    """

    def __init__(
        self,
        s3: "Callable[[float], S3Client]",
        bucket: str,
        prefix: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = "".join(f"{part}/" for part in prefix.split("/") if part)
        self._sleep = sleep

    def key(self, job_id: str) -> str:
        """Give the key of a job's status object."""
        return f"{self._prefix}{job_id}-status.json"

    def update(
        self,
        job_id: str,
        change: Callable[[StoredObject | None], tuple[bytes, Result]],
        time_left: Callable[[], float],
        known: StoredObject | None = None,
    ) -> Update[Result]:
        """Change a job's status object so that no other writer's change is lost.

        Args:
            job_id: a valid one: it becomes part of the key.
            change: gives the new body, and a result, for what is stored now (None: nothing). Called again
                after each conflict. The body that is stored already is not written again.
            time_left: gives the seconds that are left for it.
            known: what was stored a moment ago, to save the first read; if it has changed since, that is a
                conflict like any other.

        Returns:
            What came of it.

        Raises:
            StatusConflict: when other writers came first at every attempt.
            StatusStoreError: when S3 fails.
            OutOfTime: when there is no time left for another request.
        """
        key = self.key(job_id)
        for conflicts in range(ATTEMPTS):
            # The write may take as long as the read.
            stored, known = known or self._get(key, time_left() / 2), None
            body, result = change(stored)
            if stored is not None and stored.body == body:
                return Update(result, stored, written=False, conflicts=conflicts)
            etag = stored.etag if stored else None
            del stored  # megabytes, in each of the threads
            if written := self._put(key, body, etag, time_left()):
                return Update(result, written, written=True, conflicts=conflicts)
            # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
            self._sleep(random.uniform(0, min(LONGEST_WAIT, 0.02 * 2**conflicts)))  # noqa: S311 (no secret)
        raise StatusConflict(f"other writers came first {ATTEMPTS} times")

    def _get(self, key: str, seconds: float) -> StoredObject | None:
        s3 = self._s3(seconds)
        try:
            answer = s3.get_object(Bucket=self._bucket, Key=key)
            with answer["Body"] as stream:
                body = (
                    stream.read() if answer["ContentLength"] <= READ_LIMIT else b'"longer than any of ours"'
                )
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                return None
            hint = ""
            if _code(error) == "AccessDenied":
                hint = " (S3 says so, too, of a missing key to a role without s3:ListBucket on the bucket)"
            raise StatusStoreError(f"reading the status object failed: {error}{hint}") from error
        except NO_ANSWER as error:
            raise StatusStoreError(f"reading the status object failed: {error}") from error
        modified = int(answer["LastModified"].timestamp() * 1000)
        return StoredObject(body, answer["ETag"], modified, answer.get("VersionId"))

    def _put(self, key: str, body: bytes, etag: str | None, seconds: float) -> StoredObject | None:
        """Write unless somebody else has written since; give what was written."""
        s3 = self._s3(seconds)
        condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            answer = s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType="application/json",
                ACL="bucket-owner-full-control",
                **condition,
            )
        except ClientError as error:
            if _status(error) in _CONFLICTS or _code(error) == "NoSuchKey":
                return None
            raise StatusStoreError(f"writing the status object failed: {error}") from error
        except NO_ANSWER as error:
            raise StatusStoreError(f"writing the status object failed: {error}") from error
        return StoredObject(body, answer["ETag"], 0, answer.get("VersionId"))


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)

"""The status objects in S3: read one, and write it if it has not changed since."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from handler.aws_errors import AWS_ERRORS, code, may_pass, status
from handler.deadline import Deadline, Reserve
from handler.messages import MAX_OBJECT_BYTES
from handler.outcomes import StatusStoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 12  # at one object, before its messages go back to the queue
LONGEST_WAIT = 0.4  # seconds between two attempts
CALLS = 3  # of S3 for one read or one write, while it has a passing error
# In bytes: what is written here, and what an editor may have added. A longer object is no status object.
MAX_STORED_BYTES = MAX_OBJECT_BYTES * 9 // 8

# 412: another writer was first (or it was this one, and the answer was lost). 409: another one is writing.
# 404 to an If-Match: the object was deleted.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_CONFLICTS = frozenset({409, 412})

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A status object as it was read, or written."""

    body: bytes
    etag: str  # what a conditional write names it by
    last_modified: int  # in milliseconds since the epoch; 0 for one that was written here
    version: str | None = None  # its version, where the bucket has or had versions


class StatusStore:
    """The status objects of one bucket and prefix.

    Args:
        s3: a client that makes one attempt a call, which takes no longer than `Reserve.AWS_CALL`.
        bucket: the bucket's name.
        prefix: what all keys begin with; its slashes do not matter.
        sleep: waits a number of seconds.
    """

    def __init__(
        self, s3: "S3Client", bucket: str, prefix: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = "".join(f"{part}/" for part in prefix.split("/") if part)
        self._sleep = sleep

    def key(self, job_id: str) -> str:
        """Return the key of a job's status object."""
        return f"{self._prefix}{job_id}-status.json"

    def attempts(self) -> Iterator[int]:
        """Yield the number of each attempt of a read-modify-write: 0, then the others after a short wait.

        The caller reads, changes and writes in the loop's body, leaves the loop when the write is done, and
        raises StatusConflict after it.
        """
        for attempt in range(ATTEMPTS):
            if attempt:
                self._wait(attempt)
            yield attempt

    def get(self, job_id: str, deadline: Deadline) -> StoredObject | None:
        """Read a job's status object; return None if there is none.

        Raises:
            StatusStoreError: when S3 fails.
            OutOfTime: when there is no time left to read it and to write it.
        """
        try:
            return self._call(partial(self._get, self.key(job_id)), Reserve.JOB, deadline)
        except AWS_ERRORS as error:
            if code(error) == "NoSuchKey":
                return None
            hint = ""
            if code(error) == "AccessDenied":
                hint = " (S3 says so, too, of a missing key to a role without s3:ListBucket on the bucket)"
            raise StatusStoreError(f"reading the status object failed: {error}{hint}") from error

    def put(self, job_id: str, body: bytes, etag: str | None, deadline: Deadline) -> StoredObject | None:
        """Write a job's status object if it is still the one that was read; return None if it is not.

        Args:
            job_id: a valid one: it becomes part of the key.
            body: the new object.
            etag: of what was read; None: there was nothing.
            deadline: ends the work.

        Raises:
            StatusStoreError: when S3 fails.
            OutOfTime: when there is no time left to write it.
        """
        try:
            return self._call(partial(self._put, self.key(job_id), body, etag), Reserve.AWS_CALL, deadline)
        except AWS_ERRORS as error:
            if status(error) in _CONFLICTS or code(error) == "NoSuchKey":
                return None
            raise StatusStoreError(f"writing the status object failed: {error}") from error

    def _get(self, key: str) -> StoredObject:
        answer = self._s3.get_object(Bucket=self._bucket, Key=key)
        body = b'"longer than any status object"'  # which the reader refuses, and quotes
        with answer["Body"] as stream:
            if answer["ContentLength"] <= MAX_STORED_BYTES:
                body = stream.read()
        modified = int(answer["LastModified"].timestamp() * 1000)
        return StoredObject(body, answer["ETag"], modified, answer.get("VersionId"))

    def _put(self, key: str, body: bytes, etag: str | None) -> StoredObject:
        condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        answer = self._s3.put_object(
            Bucket=self._bucket,
            Key=key,
            Body=body,
            ContentType="application/json",
            ACL="bucket-owner-full-control",
            **condition,
        )
        return StoredObject(body, answer["ETag"], 0, answer.get("VersionId"))

    def _call(self, call: Callable[[], Result], seconds: float, deadline: Deadline) -> Result:
        """Call S3, and again after a passing error; raise the last one."""
        for tries in range(1, CALLS):
            deadline.require(seconds, "read or write the status object")
            try:
                return call()
            except AWS_ERRORS as error:
                if not may_pass(error):
                    raise
            self._wait(tries)
        deadline.require(seconds, "read or write the status object")
        return call()

    def _wait(self, tries: int) -> None:
        # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        self._sleep(random.uniform(0, min(LONGEST_WAIT, 0.02 * 2**tries)))  # noqa: S311 (no secret)

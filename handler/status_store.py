"""The status objects in S3: read one, and write it if it has not changed since."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from handler.aws_errors import AWS_ERRORS, error_code, http_status, is_transient
from handler.deadline import Deadline, Reserve
from handler.jitter import full_jitter
from handler.outcomes import ConditionRefused, StatusConflict, StatusStoreError
from handler.shortening import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 12  # at one object, before its messages go back to the queue
# So many attempts in a row that read the same object, and are refused because it has changed, show that the
# store can't compare. One does not: an ETag names the bytes, and another writer may have put the same ones
# back meanwhile (an API that writes PENDING once more). This function never does: each write adds something.
# Four would take such a pair of writes between the GET and the PUT of each attempt.
REFUSALS = 4
LONGEST_WAIT = 0.4  # seconds between two attempts
CALLS = 3  # of S3 for one read or one write, while its error is transient
# In bytes: what is written here, and what an editor may have added. A longer object is no status object.
MAX_STORED_BYTES = MAX_OBJECT_BYTES * 9 // 8
# Stands for the body of a longer one, which is not read: no JSON object, so it is refused, and this quoted.
_TOO_LONG = b'"longer than any status object"'

Result = TypeVar("Result")


class StoredObject(NamedTuple):
    """A status object as it was read, or written."""

    body: bytes
    etag: str  # what a conditional write names it by
    last_modified: int  # in milliseconds since the epoch; 0 for one that was written here
    version: str | None = None  # its version, where the bucket has or had versions


@dataclass
class StatusStore:
    """The status objects of one bucket and prefix; shared by threads."""

    s3: "S3Client"  # makes one attempt a call, which takes no longer than `Reserve.AWS_CALL`
    bucket: str
    prefix: str  # what all keys begin with; its slashes do not matter
    sleep: Callable[[float], None] = time.sleep  # waits a number of seconds

    def key(self, job_id: str) -> str:
        """Return the key of a job's status object; the job id must be valid."""
        parts = [part for part in self.prefix.split("/") if part]
        return "/".join([*parts, f"{job_id}-status.json"])

    def update(self, job_id: str, deadline: Deadline) -> "Update":
        """Return a read-modify-write of a job's status object."""
        return Update(self, self.key(job_id), deadline)


@dataclass(slots=True)
class Update:
    """A read-modify-write of one object: `get` it, change it and `put` it, until that is done."""

    store: StatusStore
    key: str
    deadline: Deadline
    conflicts: int = 0  # how many attempts were in vain
    _read: object = None  # what tells the object that was read from all others
    _refused: object = None  # the same of the object that could not be replaced
    _refusals: int = 0  # how often in a row

    def get(self) -> StoredObject | None:
        """Read the object; return None if there is none.

        Raises:
            StatusStoreError: when S3 fails.
            OutOfTime: when there is no time left to read it and to write it.
        """
        try:
            stored = self._call(self._get, Reserve.JOB)
        except AWS_ERRORS as error:
            if error_code(error) != "NoSuchKey":
                hint = ""
                if error_code(error) == "AccessDenied":
                    hint = (
                        " (S3 says so, too, of a missing key to a role without s3:ListBucket on the bucket)"
                    )
                raise StatusStoreError(f"reading the status object failed: {error}{hint}") from error
            stored = None
        self._read = stored and (stored.etag, stored.last_modified, stored.version)
        return stored

    def put(self, body: bytes, etag: str | None) -> StoredObject | None:
        """Write the object if it is still the one with this ETag (None: if there is none).

        Else wait a moment, and return None: it is to be read again.

        Raises:
            StatusConflict: when that was the last attempt.
            ConditionRefused: when the store refuses the condition though nothing has changed.
            StatusStoreError: when S3 fails.
            OutOfTime: when there is no time left to write it.
        """
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            return self._call(partial(self._put, body, condition), Reserve.AWS_CALL)
        except AWS_ERRORS as error:
            # 412: another writer was first (or it was this one, and the response was lost). 409: another one
            # is writing. 404 to an If-Match: the object was deleted.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
            if http_status(error) == 412:
                self._note_refusal(etag)
            elif http_status(error) == 409 or error_code(error) == "NoSuchKey":
                self._refusals = 0
            else:
                raise StatusStoreError(f"writing the status object failed: {error}") from error
        self.conflicts += 1
        if self.conflicts == ATTEMPTS:
            raise StatusConflict("other writers came first at every attempt")
        self._wait(self.conflicts)
        return None

    def _note_refusal(self, etag: str | None) -> None:
        self._refusals = self._refusals + 1 if self._refused == self._read else 1
        self._refused = self._read
        if self._refusals == REFUSALS:
            condition = f"If-Match: {etag}" if etag else "If-None-Match: *"
            raise ConditionRefused(
                f"the store refused to write s3://{self.store.bucket}/{self.key} with {condition} "
                f"{REFUSALS} times, though nothing had changed whenever it was read again. It does not do "
                "conditional writes as S3 does, and without them messages would be lost: update the store, "
                "or use another"
            )

    def _get(self) -> StoredObject:
        response = self.store.s3.get_object(Bucket=self.store.bucket, Key=self.key)
        with response["Body"] as stream:
            body = stream.read() if response["ContentLength"] <= MAX_STORED_BYTES else _TOO_LONG
        modified = int(response["LastModified"].timestamp() * 1000)
        return StoredObject(body, response["ETag"], modified, response.get("VersionId"))

    def _put(self, body: bytes, condition: Mapping[str, Any]) -> StoredObject:
        response = self.store.s3.put_object(
            Bucket=self.store.bucket,
            Key=self.key,
            Body=body,
            ContentType="application/json",
            ACL="bucket-owner-full-control",
            **condition,
        )
        return StoredObject(body, response["ETag"], 0, response.get("VersionId"))

    def _call(self, call: Callable[[], Result], seconds: float) -> Result:
        """Call S3, and again after a transient error; raise the last one."""
        tries = 0
        while True:
            self.deadline.require(seconds, "read or write the status object")
            tries += 1
            try:
                return call()
            except AWS_ERRORS as error:
                if tries == CALLS or not is_transient(error):
                    raise
            self._wait(tries)

    def _wait(self, tries: int) -> None:
        self.store.sleep(full_jitter(0.02, tries, LONGEST_WAIT))

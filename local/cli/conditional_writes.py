"""Whether an S3 store honours conditional writes, on which the function relies.

Two invocations may change one status object at the same time. The later one has to be refused; a store that
takes its write loses messages without a word, and one that refuses every write publishes nothing. The rules
are those of https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html.
"""

import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError

from handler.aws_errors import error_code, http_status
from local.cli.findings import Finding, ok, wrong

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_OTHER_ETAG = '"00000000000000000000000000000000"'
_USE_ANOTHER = (
    "Use a store that honours conditional writes, as AWS S3 does: this one loses or refuses messages."
)


def check_conditional_writes(s3: "S3Client", bucket: str, prefix: str) -> Finding:
    """Write an object of its own under conditions that hold and that do not; remove it afterwards.

    Its key is under the prefix, where the function may write, and is no status object's: these end in
    `-status.json`. The object is removed whatever happens.

    Args:
        s3: the bucket's client, which makes one attempt a call.
        bucket: the bucket's name.
        prefix: what the keys of status objects begin with; its slashes do not matter.
    """
    if not bucket or not prefix:
        return wrong("OAM_STATUS_BUCKET or OAM_STATUS_PREFIX is not set", "Set both: it is tried there.")
    folder = "".join(f"{part}/" for part in prefix.split("/") if part)
    trial = _Trial(s3, bucket, f"{folder}oam-status-doctor-{uuid.uuid4().hex}")
    try:
        faults = trial.faults()
        finding = ok("honours If-None-Match and If-Match")
        if faults:
            finding = wrong("; ".join(faults), _USE_ANOTHER)
    except (BotoCoreError, ClientError) as error:
        finding = wrong(f"could not be tried: {error}", _what_to_do(s3, error))
    if left := trial.remove():
        place = f"s3://{bucket}/{trial.key}"
        found = f"{finding.found}; the object of this check could not be removed: {left}"
        return wrong(found, f"{finding.todo} Remove {place}".strip())
    return finding


class _Trial:
    """Writes one object again and again.

    Args:
        s3: the bucket's client.
        bucket: the bucket's name.
        key: the object's key, which nothing else has.
    """

    def __init__(self, s3: "S3Client", bucket: str, key: str) -> None:
        self.key = key
        self._s3 = s3
        self._bucket = bucket
        self._written: set[str | None] = set()  # the versions; None where the store names none

    def faults(self) -> list[str]:
        """Return what the store does with a condition that it must not do.

        Raises:
            ClientError, BotoCoreError: when it gives another answer than "taken" and "refused".
        """
        if not self._put("1", IfNoneMatch="*"):
            return ["refuses If-None-Match: * where there is no object"]
        faults = []
        if self._put("2", IfNoneMatch="*"):
            faults.append("takes If-None-Match: * where there is an object")
        if self._put("3", IfMatch=_OTHER_ETAG):
            faults.append("takes If-Match with another ETag than the object's")
        if not self._put("4", IfMatch=self._etag()):
            faults.append("refuses If-Match with the object's own ETag (Ceph 16 does, of every quoted one)")
        return faults

    def remove(self) -> str:
        """Remove the object, with the versions that were made of it; return why that failed, if it did."""
        try:
            for version in sorted(self._written, key=str):
                self._remove(version)
        except (BotoCoreError, ClientError) as error:
            return str(error)
        return ""

    def _remove(self, version: str | None) -> None:
        if version:
            try:
                self._s3.delete_object(Bucket=self._bucket, Key=self.key, VersionId=version)
            except ClientError:  # it may take a right of its own; what hides the object does not
                self._s3.delete_object(Bucket=self._bucket, Key=self.key)
        else:
            self._s3.delete_object(Bucket=self._bucket, Key=self.key)

    def _put(self, body: str, **condition: Any) -> bool:
        """Write as the function does; return False where the condition was refused."""
        try:
            answer = self._s3.put_object(
                Bucket=self._bucket,
                Key=self.key,
                Body=body.encode(),
                ContentType="application/json",
                ACL="bucket-owner-full-control",
                **condition,
            )
        except (BotoCoreError, ClientError) as error:
            if http_status(error) == 412:
                return False
            if http_status(error) >= 500 or isinstance(error, ReadTimeoutError | ConnectionClosedError):
                self._written.add(None)  # it may have been
            raise
        self._written.add(answer.get("VersionId"))
        return True

    def _etag(self) -> str:
        """Return the object's ETag as a read gives it: what the function makes its condition of."""
        answer = self._s3.get_object(Bucket=self._bucket, Key=self.key)
        answer["Body"].close()
        return answer["ETag"]


def _what_to_do(s3: "S3Client", error: BotoCoreError | ClientError) -> str:
    if error_code(error) == "NoSuchBucket":
        return "Create the bucket, or correct OAM_STATUS_BUCKET."
    if http_status(error) in {401, 403}:
        return "Allow s3:GetObject, s3:PutObject, s3:PutObjectAcl and s3:DeleteObject under the prefix."
    config: Any = s3.meta.config  # whose stubs do not know it
    if http_status(error) and config.request_checksum_calculation != "when_required":
        return (
            "If it is no AWS S3, set AWS_REQUEST_CHECKSUM_CALCULATION=when_required and try again."
            " If that changes nothing, use a store that takes conditional writes."
        )
    return _USE_ANOTHER if http_status(error) else "Find out why the store does not answer, and try again."

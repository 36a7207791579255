"""Whether a store honours conditional writes: moto does, and so do not the proxies in front of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.cli.conditional_writes import check_conditional_writes
from local.cli.findings import Finding, Result
from local.cli.jobs import find_jobs
from tests.conftest import Aws
from tests.integration.fault_proxy import Fault, FaultProxy

TAKES_NONE_MATCH = "takes If-None-Match: * where there is an object"
TAKES_MATCH = "takes If-Match with another ETag than the object's"
REFUSES_MATCH = "refuses If-Match with the object's own ETag"


def ignores_conditions(_: str, headers: dict[str, str]) -> None:
    for name in ("If-None-Match", "If-Match"):
        headers.pop(name, None)


def ignores_if_none_match(_: str, headers: dict[str, str]) -> None:
    headers.pop("If-None-Match", None)


def ignores_if_match(_: str, headers: dict[str, str]) -> None:
    headers.pop("If-Match", None)


def refuses_every_if_match(_: str, headers: dict[str, str]) -> tuple[int, str] | None:
    return (412, "PreconditionFailed") if "If-Match" in headers else None


def knows_no_conditions(_: str, headers: dict[str, str]) -> tuple[int, str] | None:
    return (501, "NotImplemented") if {"If-Match", "If-None-Match"} & headers.keys() else None


def refuses_every_condition(_: str, headers: dict[str, str]) -> tuple[int, str] | None:
    return (412, "PreconditionFailed") if {"If-Match", "If-None-Match"} & headers.keys() else None


def check(aws: Aws, url: str, prefix: str = "status") -> Finding:
    return check_conditional_writes(aws.client("s3", url), aws.bucket, prefix)


def left(aws: Aws) -> list[str]:
    """Give the keys of all that is in the bucket, old versions and delete markers too."""
    found: dict[str, Any] = aws.s3.list_object_versions(Bucket=aws.bucket)
    return [each["Key"] for kind in ("Versions", "DeleteMarkers") for each in found.get(kind, [])]


@contextmanager
def store(aws: Aws, *faults: Fault) -> Iterator[FaultProxy]:
    with FaultProxy(aws.url) as proxy:
        proxy.faults.extend(faults)
        yield proxy


@pytest.mark.parametrize("versioned", [False, True])
def test_a_good_store_passes_and_nothing_is_left_in_it(aws: Aws, *, versioned: bool) -> None:
    # GIVEN a bucket, with versions or without
    if versioned:
        aws.s3.put_bucket_versioning(Bucket=aws.bucket, VersioningConfiguration={"Status": "Enabled"})

    # WHEN it is tried
    with store(aws) as proxy:
        found = check(aws, proxy.url)

    # THEN it passes, and nothing is left
    assert found == Finding(Result.OK, "honours If-None-Match and If-Match")
    assert left(aws) == []
    # AND all that was written was under the prefix
    assert {path.split("?")[0].rpartition("/")[0] for _, path in proxy.requests} == {f"/{aws.bucket}/status"}


def test_its_object_is_never_taken_for_a_status_object(aws: Aws) -> None:
    # GIVEN a store that keeps the object of the check
    with store(aws, Fault("DELETE", answer=(403, "AccessDenied"))) as proxy:
        # WHEN it is tried
        found = check(aws, proxy.url, "/status/")

    # THEN what is left is said, with its place
    (key,) = left(aws)
    assert found.result is Result.WRONG
    assert "could not be removed: An error occurred (AccessDenied)" in found.found
    assert found.todo == f"Remove s3://{aws.bucket}/{key}"
    # AND no tool takes it for a job's
    assert list(find_jobs(aws.s3, aws.bucket, "status")) == []


@pytest.mark.parametrize(
    ("store_that", "faults"),
    [
        (ignores_conditions, [TAKES_NONE_MATCH, TAKES_MATCH]),
        (ignores_if_none_match, [TAKES_NONE_MATCH]),
        (ignores_if_match, [TAKES_MATCH]),
        (refuses_every_if_match, [REFUSES_MATCH]),
        (refuses_every_condition, ["refuses If-None-Match: * where there is no object"]),
    ],
)
def test_a_store_that_does_not_honour_conditions_is_found_out(
    aws: Aws, store_that: Any, faults: list[str]
) -> None:
    # GIVEN a store that has its own way with conditions
    with FaultProxy(aws.url, meddle=store_that) as proxy:
        # WHEN it is tried
        found = check(aws, proxy.url)

    # THEN it is said what it does, and what to do, and nothing is left
    assert found.result is Result.WRONG
    said = found.found.split("; ")
    assert len(said) == len(faults)
    assert all(each.startswith(fault) for each, fault in zip(said, faults, strict=True))
    assert "Use a store that honours conditional writes" in found.todo
    assert left(aws) == []


def test_a_store_that_knows_no_conditions_may_want_other_checksums(aws: Aws) -> None:
    # GIVEN a store that answers 501, as some do to a checksum that they do not know
    with FaultProxy(aws.url, meddle=knows_no_conditions) as proxy:
        # WHEN it is tried
        found = check(aws, proxy.url)

    # THEN both ways out are named
    assert found.result is Result.WRONG
    assert "could not be tried: An error occurred (NotImplemented)" in found.found
    assert "AWS_REQUEST_CHECKSUM_CALCULATION=when_required" in found.todo
    assert "use a store that takes conditional writes" in found.todo


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", answer=(500, "InternalError")),
        Fault("PUT", lose_answer=True),
    ],
    ids=["the read fails", "the answer to the write is lost"],
)
def test_the_object_is_removed_where_the_check_fails(aws: Aws, fault: Fault) -> None:
    # GIVEN a store that fails while it is tried
    with store(aws, fault) as proxy:
        # WHEN it is tried
        found = check(aws, proxy.url)

    # THEN that is said, and nothing is left
    assert found.result is Result.WRONG
    assert "could not be tried" in found.found
    assert left(aws) == []


@pytest.mark.parametrize(
    ("answer", "todo"),
    [
        ((404, "NoSuchBucket"), "Create the bucket, or correct OAM_STATUS_BUCKET."),
        ((403, "AccessDenied"), "Allow s3:GetObject, s3:PutObject, s3:PutObjectAcl and s3:DeleteObject"),
    ],
)
def test_a_bucket_that_cannot_be_written_to_says_what_to_do(
    aws: Aws, answer: tuple[int, str], todo: str
) -> None:
    # GIVEN a bucket that takes nothing
    with store(aws, Fault("PUT", answer=answer)) as proxy:
        # WHEN it is tried
        found = check(aws, proxy.url)

    # THEN it is said what to do, and there is nothing to remove
    assert found.result is Result.WRONG
    assert found.todo.startswith(todo)
    assert proxy.count("DELETE") == 0


def test_a_store_that_is_not_there_leaves_nothing_to_remove(aws: Aws) -> None:
    # WHEN nothing listens where the store is to be
    found = check(aws, "http://127.0.0.1:9")

    # THEN that alone is said
    assert found.result is Result.WRONG
    assert "could not be removed" not in found.found
    assert found.todo == "Find out why the store does not answer, and try again."


@pytest.mark.parametrize(("bucket", "prefix"), [("", "status"), ("bucket", "")])
def test_without_a_bucket_or_prefix_nothing_is_written_anywhere(aws: Aws, bucket: str, prefix: str) -> None:
    # WHEN a bucket or a prefix is not set
    with store(aws) as proxy:
        found = check_conditional_writes(aws.client("s3", proxy.url), bucket, prefix)

    # THEN nothing is asked
    assert found.result is Result.WRONG
    assert proxy.requests == []

"""Status objects as the tools list and read them: a foreign object hides nothing, and is said to be one."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from handler.job_status import JobStatus, fold
from handler.status_object import to_json
from handler.status_store import MAX_STORED_BYTES
from local.cli.configuration import _named
from local.cli.deployed import CONFIG
from local.cli.job_reader import AHEAD, READS, JobReader
from local.cli.jobs import Found, Listed, find_job, find_jobs, list_jobs, read_jobs
from local.cli.target import Part
from local.stack.embedded import s3_client
from local.stack.http_server import Answer, HttpServer, Request, Script
from tests.conftest import Aws, make_client
from tests.factories import event
from tests.integration.fault_proxy import FaultProxy
from tests.local.tools import NAMED

GOOD = to_json("good", fold(JobStatus(), [event("chunk", "STARTED")]))

FOREIGN = {
    "a list": (b"[]", "not a JSON object: it is a JSON array"),
    "a number": (b"1", "not a JSON object: it is 1"),
    "null": (b"null", "not a JSON object: it is null"),
    "a page": (b"<html>", "not a JSON object: Expecting value"),
    "nothing": (b"", "not a JSON object: Expecting value"),
    "no stage": (b'{"status": "PENDING"}', "no status object: it has no stage"),
    "no status": (b'{"stage": "chunk"}', "no status object: it has no status"),
    "neither": (b"{}", "no status object: it has no stage and no status"),
    "an empty stage": (b'{"stage": "", "status": "STARTED"}', "no status object: it has no stage"),
    "a stage that is none": (b'{"stage": 1, "status": ["x"]}', "it has no stage and no status"),
    "NaN": (b'{"stage": "chunk", "status": "STARTED", "x": NaN}', "not a JSON object: NaN is not JSON"),
    "cut off": (GOOD[:40], "not a JSON object: "),
    "not UTF-8": (GOOD.replace(b"good", b"g\xff\xfed"), "not UTF-8"),
    "too deep": (b"[" * 200_000, "not a JSON object: nested too deep"),
    "too long": (b" " * (MAX_STORED_BYTES + 1), "longer than any status object"),
}


@dataclass
class KeyProxy(FaultProxy):
    """Answers for some objects itself: status, content and the length that is announced."""

    answers: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)

    def answer(self, request: Request) -> Answer | Script:
        known = self.answers.get(request.path.partition("?")[0].rpartition("/")[2])
        if known is None:
            return super().answer(request)
        status, content, length = known
        head = f"HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        return lambda connection: connection.sendall(head.encode() + content)


def error(code: str, message: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


ANSWERS = {
    "deleted meanwhile": ((404, error("NoSuchKey", "gone")), "it is not there"),
    "no right to list": ((403, error("AccessDenied", "no")), "without s3:ListBucket S3 does not tell"),
    "a disabled key": (
        (400, error("KMS.DisabledException", "is disabled")),
        "KMS.DisabledException: is disabled",
    ),
    "archived": ((403, error("InvalidObjectState", "in Glacier")), "InvalidObjectState: in Glacier"),
}


@pytest.mark.parametrize(("content", "reason"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_object_is_said_to_be_one(aws: Aws, content: bytes, reason: str) -> None:
    aws.put("status/bad-status.json", content)
    found = find_job(aws.s3, aws.bucket, "status", "bad")
    assert (found.key, found.job_id, found.status) == ("status/bad-status.json", "bad", None)
    assert reason in found.problem


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"\xef\xbb\xbf" + GOOD, "begins with a byte order mark (BOM), and is read all the same"),
        (GOOD.decode().encode("utf-16"), "is utf-16, and is read all the same"),
        (GOOD, ""),
    ],
)
def test_an_object_that_an_editor_wrote_is_read_as_the_function_reads_it(
    aws: Aws, content: bytes, note: str
) -> None:
    aws.put("status/good-status.json", content)
    assert find_job(aws.s3, aws.bucket, "status", "good") == Found(
        "status/good-status.json", "good", json.loads(GOOD), note
    )


@pytest.mark.parametrize(("answer", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_an_object_that_s3_does_not_give_hides_no_other(
    aws: Aws, answer: tuple[int, bytes], reason: str
) -> None:
    aws.put("status/bad-status.json", GOOD)
    aws.put("status/good-status.json", GOOD)
    with KeyProxy(aws.url, answers={"bad-status.json": (*answer, len(answer[1]))}) as proxy:
        bad, good = find_jobs(aws.client("s3", proxy.url), aws.bucket, "status")
    assert bad.status is None
    assert reason in bad.problem
    assert good.status == json.loads(GOOD)


def test_an_object_that_breaks_off_on_its_way_is_no_status_object(aws: Aws) -> None:
    aws.put("status/bad-status.json", GOOD)
    with KeyProxy(aws.url, answers={"bad-status.json": (200, GOOD[:20], len(GOOD))}) as proxy:
        found = find_job(aws.client("s3", proxy.url), aws.bucket, "status", "bad")
    assert found.status is None
    assert found.problem.startswith("S3 did not give all of it")


def test_status_objects_are_listed_and_nothing_else(aws: Aws) -> None:
    # GIVEN a bucket with a status object, and other objects
    aws.put("a/b/job-status.json", GOOD)
    aws.put("a/b/other.json", b"{}")
    aws.put("a/b/deeper/job2-status.json", b"{}")
    aws.put("a/bb/job3-status.json", b"{}")

    # WHEN they are listed, and read
    (listed,) = list_jobs(aws.s3, aws.bucket, "/a//b/")

    # THEN there is one
    head = aws.s3.head_object(Bucket=aws.bucket, Key="a/b/job-status.json")
    assert listed == Listed("a/b/job-status.json", "job", head["LastModified"].timestamp(), head["ETag"])
    assert read_jobs(aws.s3, aws.bucket, "/a//b/") == {"job": json.loads(GOOD)}


def test_a_bucket_that_cannot_be_reached_is_no_list_of_bad_objects() -> None:
    with pytest.raises(EndpointConnectionError):
        list(find_jobs(make_client("s3", "http://127.0.0.1:9"), "b", "status"))


# many at once


def test_many_are_read_in_their_order_and_only_a_few_ahead_of_what_is_taken() -> None:
    # GIVEN more objects to read than may wait
    objects = [Listed(f"status/absent-{number}", str(number), 0, "") for number in range(AHEAD + 40)]
    asked = 0

    def counted() -> Iterator[Listed]:
        nonlocal asked
        for asked, listed in enumerate(objects, 1):  # noqa: B007 (it is read outside)
            yield listed

    # WHEN one is taken
    with HttpServer(lambda _: Answer(404, error("NoSuchKey", "absent"))) as store:
        rows = JobReader(make_client("s3", store.url), "bucket").rows(counted())
        first = next(rows)

        # THEN the others wait
        assert asked == AHEAD
        # AND all come in their order
        assert [row.listed for row in (first, *rows)] == objects


def test_what_is_remembered_is_read_again_only_if_it_has_changed(aws: Aws) -> None:
    # GIVEN two objects that were read
    for name in ("one", "other"):
        aws.put(f"status/{name}-status.json", GOOD)
    with FaultProxy(aws.url) as proxy:
        s3 = aws.client("s3", proxy.url)
        reader = JobReader(s3, aws.bucket, remembers=True)
        list(reader.rows(list_jobs(s3, aws.bucket, "status")))
        before = len(proxy.requests)

        # WHEN one changes, and they are read again
        aws.put("status/other-status.json", GOOD.replace(b"STARTED", b"FAILED"))
        rows = list(reader.rows(list_jobs(s3, aws.bucket, "status")))

    # THEN only that one is asked for
    assert [row.status for row in rows] == ["STARTED", "FAILED"]
    assert proxy.requests[before + 1 :] == [("GET", f"/{aws.bucket}/status/other-status.json")]


def test_each_read_has_a_connection_that_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    # (One that finds no room in the pool is closed after each request, and the next costs a TLS handshake.)
    for name, value in NAMED.items():
        monkeypatch.setenv(name, value)
    named = _named(Part.BUCKET, os.environ | {"OAM_STATUS_BUCKET": "b"}).s3
    for s3 in (named, s3_client("http://127.0.0.1:9"), boto3.client("s3", config=CONFIG)):
        assert s3.meta.config.max_pool_connections >= READS  # type: ignore[attr-defined] # the stubs lack it

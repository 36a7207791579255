"""One foreign object in the bucket hides nothing: it is a line, and everything else is shown."""

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from handler.job_status import JobStatus, fold
from handler.status_object import to_json
from handler.status_store import MAX_STORED_BYTES
from local.cli.jobs import find_jobs
from tests.conftest import Aws
from tests.factories import event
from tests.integration.fault_proxy import FaultProxy
from tests.local.tools import NAMED, tool

GOOD = to_json("good", fold(JobStatus(), [event("chunk", "STARTED")]))
LINE = "good                     chunk    STARTED  attempt 1  catalog -"

FOREIGN = {
    "a list": (b"[]", "not a JSON object, but list"),
    "a number": (b"1", "not a JSON object, but int"),
    "null": (b"null", "not a JSON object, but NoneType"),
    "a page": (b"<html>", "not JSON: Expecting value"),
    "nothing": (b"", "not JSON: Expecting value"),
    "no stage": (b'{"status": "PENDING"}', "it has no stage"),
    "no status": (b'{"stage": "chunk"}', "it has no status"),
    "neither": (b"{}", "it has no stage and no status"),
    "a stage that is none": (b'{"stage": 1, "status": ["x"]}', "it has no stage and no status"),
    "cut off": (GOOD[:40], "not JSON: "),
    "not UTF-8": (GOOD.replace(b"good", b"g\xff\xfed"), "not UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "not UTF-8"),
    "too deep": (b"[" * 200_000, "not JSON: maximum recursion depth"),
    "too long": (b" " * (MAX_STORED_BYTES + 1), "longer than any status object"),
}


@pytest.fixture
def variables(aws: Aws) -> dict[str, str]:
    """A bucket with a good object, and what names it."""
    aws.put("status/good-status.json", GOOD)
    return NAMED | {"AWS_ENDPOINT_URL": aws.url, "OAM_STATUS_BUCKET": aws.bucket}


@pytest.mark.parametrize(("content", "reason"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_object_is_a_line_and_hides_no_other(
    aws: Aws, variables: dict[str, str], content: bytes, reason: str
) -> None:
    # GIVEN a foreign object
    aws.put("status/bad-status.json", content)
    # WHEN all, the other, and itself are shown
    everything = tool("show", **variables)
    good, bad = tool("show", "good", **variables), tool("show", "bad", **variables)
    # THEN
    assert everything.returncode == 0, everything.stderr
    first, second = everything.stdout.splitlines()
    assert first.startswith("status/bad-status.json: ")
    assert reason in first
    assert second == LINE
    assert json.loads(good.stdout) == json.loads(GOOD)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert f"s3://{aws.bucket}/status/bad-status.json: " in bad.stderr
    assert reason in bad.stderr
    assert "Traceback" not in everything.stderr + bad.stderr


def test_an_object_with_a_byte_order_mark_is_shown_and_that_is_said(
    aws: Aws, variables: dict[str, str]
) -> None:
    aws.put("status/good-status.json", b"\xef\xbb\xbf" + GOOD)
    everything, one = tool("show", **variables), tool("show", "good", **variables)
    shown, said = everything.stdout.splitlines()
    assert shown == LINE
    assert said.startswith("status/good-status.json: begins with a byte order mark")
    assert json.loads(one.stdout) == json.loads(GOOD)
    assert "byte order mark" in one.stderr


WEIRD = [
    {"catalog": "x"},
    {"catalog": {"state": ["NOTIFIED", "\x1b[31m"]}},
    {"catalog": None, "attempt": "many"},
    {"attempt": 10**400},
    {"stage": "\x1b]0;owned\x07\nchunk"},
    {"status": "\ud800"},
]


@pytest.mark.parametrize("fields", WEIRD, ids=str)
def test_whatever_an_object_says_it_is_one_line_without_control_characters(
    aws: Aws, variables: dict[str, str], fields: dict[str, Any]
) -> None:
    aws.put("status/odd-status.json", json.dumps({"stage": "chunk", "status": "STARTED"} | fields).encode())
    everything, one = tool("show", **variables), tool("show", "odd", **variables)
    assert everything.returncode == 0, everything.stderr
    assert [line.split()[0] for line in everything.stdout.split("\n")[:-1]] == ["good", "odd"]
    assert everything.stdout.replace("\n", "").isprintable()
    assert one.returncode == 0, one.stderr
    assert json.loads(one.stdout)["stage"]


@dataclass
class KeyProxy(FaultProxy):
    """Answers for some objects itself: status, content and the length that is announced."""

    answers: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        known = self.answers.get(request.path.partition("?")[0].rpartition("/")[2])
        if known is None:
            super().handle(request)
            return
        status, content, length = known
        request.send_response_only(status)
        request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(content)
        request.close_connection = True


def error(code: str, message: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


ANSWERS = {
    "deleted meanwhile": ((404, error("NoSuchKey", "gone")), "it is not there"),
    "another key of KMS": ((403, error("AccessDenied", "no kms:Decrypt")), "no kms:Decrypt"),
    "a disabled key": ((400, error("KMS.DisabledException", "is disabled")), "is disabled"),
    "archived": ((403, error("InvalidObjectState", "in Glacier")), "in Glacier"),
}


@pytest.mark.parametrize(("answer", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_an_object_that_s3_does_not_give_is_a_line(
    aws: Aws, variables: dict[str, str], answer: tuple[int, bytes], reason: str
) -> None:
    aws.put("status/bad-status.json", GOOD)
    with KeyProxy(aws.url, answers={"bad-status.json": (*answer, len(answer[1]))}) as proxy:
        done = tool("show", **(variables | {"AWS_ENDPOINT_URL": proxy.url}))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("status/bad-status.json: ")
    assert reason in first
    assert second == LINE


def test_an_object_that_breaks_off_on_its_way_is_a_line(aws: Aws, variables: dict[str, str]) -> None:
    aws.put("status/bad-status.json", GOOD)
    with KeyProxy(aws.url, answers={"bad-status.json": (200, GOOD[:20], len(GOOD))}) as proxy:
        done = tool("show", **(variables | {"AWS_ENDPOINT_URL": proxy.url}))
    assert done.stdout.splitlines()[0].startswith("status/bad-status.json: S3 did not give all of it")
    assert done.stdout.splitlines()[1] == LINE


def test_one_job_is_one_request(aws: Aws, variables: dict[str, str]) -> None:
    # GIVEN other jobs in the bucket, good and bad
    aws.put("status/bad-status.json", b"[]")
    with FaultProxy(aws.url) as proxy:
        done = tool("show", "good", **(variables | {"AWS_ENDPOINT_URL": proxy.url}))
        absent = tool("show", "absent", **(variables | {"AWS_ENDPOINT_URL": proxy.url}))
    # THEN each is a single GET, and no listing
    assert proxy.requests == [
        ("GET", f"/{aws.bucket}/status/good-status.json"),
        ("GET", f"/{aws.bucket}/status/absent-status.json"),
    ]
    assert json.loads(done.stdout) == json.loads(GOOD)
    assert (absent.returncode, absent.stdout) == (1, "")
    assert f"s3://{aws.bucket}/status/absent-status.json: it is not there" in absent.stderr


def test_a_bucket_without_status_objects_is_said_to_be_so(aws: Aws) -> None:
    variables = NAMED | {"AWS_ENDPOINT_URL": aws.url, "OAM_STATUS_BUCKET": aws.bucket}
    done = tool("show", **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"No status object in s3://{aws.bucket}/status" in done.stderr


def test_a_bucket_that_cannot_be_reached_is_no_list_of_bad_objects(aws: Aws) -> None:
    with pytest.raises(EndpointConnectionError):
        list(find_jobs(Aws("http://127.0.0.1:9", "b").s3, "b", "status"))

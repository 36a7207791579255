"""The compare-and-swap in S3, over HTTP, and the races it has to win."""

import functools
import json
import random
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from handler.deadline import Deadline, Reserve
from handler.outcomes import ConditionRefused, OutOfTime, StatusConflict, StatusStoreError
from handler.shortening import MAX_OBJECT_BYTES
from handler.status_store import ATTEMPTS, REFUSALS, StatusStore
from local.stack.http_server import Answer, HttpServer, Request, Script
from tests import processes
from tests.conftest import Aws, in_seconds
from tests.integration.fault_proxy import Fault, FaultProxy, reset


@dataclass
class Update:
    """What came of adding a name to the list that an object holds."""

    written: bool
    conflicts: int


def add(store: StatusStore, name: str, deadline: Deadline | None = None) -> Update:
    """Add a name to a list, once: a read-modify-write, as the publisher makes it."""
    update = store.update("j", deadline or in_seconds(60))
    while True:
        stored = update.get()
        names = json.loads(stored.body) if stored else []
        if name in names:
            return Update(written=False, conflicts=update.conflicts)
        if update.put(json.dumps([*names, name]).encode(), stored.etag if stored else None):
            return Update(written=True, conflicts=update.conflicts)


@pytest.fixture
def store(aws: Aws) -> StatusStore:
    return StatusStore(aws.s3, aws.bucket, "status", sleep=lambda _: None)


@pytest.fixture
def proxied(aws: Aws, proxy: FaultProxy) -> StatusStore:
    return StatusStore(aws.client("s3", proxy.url), aws.bucket, "status", sleep=lambda _: None)


@pytest.fixture
def proxy(aws: Aws) -> Any:
    with FaultProxy(aws.url) as running:
        yield running


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("status", "status/j-status.json"),
        ("/status/", "status/j-status.json"),
        ("a//b/", "a/b/j-status.json"),
        ("/", "j-status.json"),
    ],
)
def test_a_key_has_no_doubled_and_no_leading_slash(aws: Aws, prefix: str, key: str) -> None:
    assert StatusStore(aws.s3, aws.bucket, prefix).key("j") == key


def test_a_first_update_makes_the_object_as_the_api_needs_it(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy
) -> None:
    # WHEN
    update = add(proxied, "a")
    # THEN
    found = aws.s3.get_object(Bucket=aws.bucket, Key="status/j-status.json")
    assert update.written
    assert found["Body"].read() == b'["a"]'
    assert found["ContentType"] == "application/json"
    assert "ContentEncoding" not in found or found["ContentEncoding"] in ("", "aws-chunked")
    sent = proxy.headers[-1]
    assert sent["x-amz-acl"] == "bucket-owner-full-control"
    assert sent["If-None-Match"] == "*"
    # AND at the cost of one GET and one PUT
    assert [method for method, _ in proxy.requests] == ["GET", "PUT"]


def test_the_largest_object_that_the_function_writes_is_read_whole_and_one_beyond_an_editors_additions_is_not(
    aws: Aws, store: StatusStore
) -> None:
    for length in (MAX_OBJECT_BYTES - 1, MAX_OBJECT_BYTES + 100_000):
        aws.put("status/j-status.json", b" " * length)
        stored = store.update("j", in_seconds(20)).get()
        assert stored
        assert len(stored.body) == length
    aws.put("status/j-status.json", b" " * 5 * 1024 * 1024)
    stored = store.update("j", in_seconds(20)).get()
    assert stored
    assert b"longer than any status object" in stored.body


def test_the_version_of_an_object_is_known_where_the_bucket_has_versions(
    aws: Aws, store: StatusStore
) -> None:
    def write(body: bytes) -> tuple[str | None, str | None]:
        """Write it over what is there; return the version before, and its own."""
        update = store.update("j", in_seconds(20))
        before = update.get()
        written = update.put(body, before.etag if before else None)
        assert written
        return before.version if before else "nothing there", written.version

    assert write(b"1") == ("nothing there", None)
    aws.s3.put_bucket_versioning(Bucket=aws.bucket, VersioningConfiguration={"Status": "Enabled"})
    before, second = write(b"2")
    assert before in (None, "null")  # written before there were versions
    assert second
    assert write(b"3")[0] == second


def test_an_update_that_changes_nothing_writes_nothing(proxied: StatusStore, proxy: FaultProxy) -> None:
    add(proxied, "a")
    update = add(proxied, "a")
    assert not update.written
    assert proxy.count("PUT") == 1


def test_an_overwrite_between_our_get_and_our_put_is_not_lost(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy
) -> None:
    # GIVEN an object, and somebody who writes after we read
    aws.put("status/j-status.json", b'["a"]')
    proxy.faults.append(Fault("PUT", before=lambda: aws.put("status/j-status.json", b'["a", "other"]')))
    # WHEN
    update = add(proxied, "b")
    # THEN
    assert json.loads(aws.get("status/j-status.json")) == ["a", "other", "b"]
    assert update.conflicts == 1


def test_an_object_made_between_our_get_and_our_put_is_not_lost(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy
) -> None:
    proxy.faults.append(Fault("PUT", before=lambda: aws.put("status/j-status.json", b'["other"]')))
    add(proxied, "b")
    assert json.loads(aws.get("status/j-status.json")) == ["other", "b"]


def test_an_object_deleted_between_our_get_and_our_put_is_made_again(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy
) -> None:
    aws.put("status/j-status.json", b'["a"]')
    delete = functools.partial(aws.s3.delete_object, Bucket=aws.bucket, Key="status/j-status.json")
    proxy.faults.append(Fault("PUT", before=delete))
    update = add(proxied, "b")
    assert json.loads(aws.get("status/j-status.json")) == ["b"]
    assert update.conflicts == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (409, "OperationAborted")],
)
def test_a_conflict_is_read_and_applied_again_after_a_short_random_wait(
    aws: Aws, proxy: FaultProxy, status: int, code: str
) -> None:
    # GIVEN three conflicts in a row
    waits: list[float] = []
    store = StatusStore(aws.client("s3", proxy.url), aws.bucket, "status", sleep=waits.append)
    proxy.faults.extend(Fault("PUT", answer=(status, code)) for _ in range(3))
    # WHEN
    update = add(store, "a")
    # THEN
    assert (update.written, update.conflicts) == (True, 3)
    assert proxy.count("GET") == 4
    assert len(set(waits)) == 3
    assert all(0 <= wait <= 0.4 for wait in waits)


def test_conflicts_without_end_end(aws: Aws, proxied: StatusStore, proxy: FaultProxy) -> None:
    # GIVEN others who write before each of our writes
    for number in range(99):
        write = functools.partial(aws.put, "status/j-status.json", b'["other", "%d"]' % number)
        proxy.faults.append(Fault("PUT", before=write))
    # WHEN
    with pytest.raises(StatusConflict):
        add(proxied, "a")
    # THEN
    assert proxy.count("PUT") == ATTEMPTS


@pytest.mark.parametrize("before", [None, b'["a"]'])
def test_a_store_that_refuses_a_condition_that_holds_is_said_to_be_at_fault_and_no_conflict(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy, before: bytes | None
) -> None:
    """Seen with Ceph 16, which compares an If-Match with its quotation marks."""
    if before:
        aws.put("status/j-status.json", before)
    proxy.faults.extend(Fault("PUT", answer=(412, "PreconditionFailed")) for _ in range(99))
    # WHEN
    with pytest.raises(ConditionRefused) as caught:
        add(proxied, "b")
    # THEN it is said which object, which condition and what to do, and it comes back as any fault of the store
    condition = 'If-Match: "' if before else "If-None-Match: *"
    for words in (f"s3://{aws.bucket}/status/j-status.json", condition, "update the store"):
        assert words in str(caught.value)
    assert isinstance(caught.value, StatusStoreError)
    assert proxy.count("PUT") == REFUSALS


def test_another_writer_who_puts_the_same_bytes_back_is_a_conflict(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy
) -> None:
    # GIVEN an API that writes the same bytes again while ours are refused: another version, with the same ETag
    aws.s3.put_bucket_versioning(Bucket=aws.bucket, VersioningConfiguration={"Status": "Enabled"})
    rewrite = functools.partial(aws.put, "status/j-status.json", b'["PENDING"]')
    rewrite()
    refused = (412, "PreconditionFailed")
    proxy.faults += [Fault("PUT", answer=refused), Fault("PUT", before=rewrite, answer=refused)]
    # WHEN there are more refusals than prove a fault of the store, but not of one version
    proxy.faults.extend(Fault("PUT", answer=refused) for _ in range(REFUSALS - 1))
    # THEN
    assert add(proxied, "a").conflicts == REFUSALS + 1


def test_an_object_that_others_are_writing_is_no_fault_of_the_store(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy
) -> None:
    # GIVEN answers that say so though the object stays as it is, among fewer refusals in a row than prove a fault
    aws.put("status/j-status.json", b'["a"]')
    refused, writing = (412, "PreconditionFailed"), (409, "ConditionalRequestConflict")
    answers = ([refused] * (REFUSALS - 1) + [writing] * 2) * 3
    proxy.faults.extend(Fault("PUT", answer=answer) for answer in answers)
    # THEN
    with pytest.raises(StatusConflict):
        add(proxied, "b")
    assert proxy.count("PUT") == ATTEMPTS


@pytest.mark.parametrize("before", [None, b'["a"]'])
def test_a_write_whose_answer_was_lost_is_a_success(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy, before: bytes | None
) -> None:
    # GIVEN a PUT that is done, and its answer lost: it is sent again, and gets 412 against itself
    if before:
        aws.put("status/j-status.json", before)
    proxy.faults.append(Fault("PUT", lose_answer=True))
    # WHEN
    update = add(proxied, "b")
    # THEN the next read shows that nothing is left to change
    assert json.loads(aws.get("status/j-status.json")) == [*json.loads(before or b"[]"), "b"]
    assert not update.written
    assert proxy.count("PUT") == 2


def test_a_passing_error_of_s3_is_tried_again(proxied: StatusStore, proxy: FaultProxy) -> None:
    proxy.faults += [Fault("GET", answer=(500, "InternalError")), Fault("PUT", answer=(503, "SlowDown"))]
    assert add(proxied, "a").written


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_lasting_error_of_s3_may_succeed_later(
    proxied: StatusStore, proxy: FaultProxy, method: str
) -> None:
    proxy.faults.extend(Fault(method, answer=(500, "InternalError")) for _ in range(9))
    with pytest.raises(StatusStoreError, match="InternalError"):
        add(proxied, "a")


def test_forbidden_is_an_error_and_not_absent_and_names_the_likely_reason(
    aws: Aws, proxied: StatusStore, proxy: FaultProxy
) -> None:
    # GIVEN a role without s3:ListBucket: S3 says 403 for a missing key
    proxy.faults.append(Fault("GET", answer=(403, "AccessDenied")))
    # THEN
    with pytest.raises(StatusStoreError, match=r"AccessDenied.*s3:ListBucket"):
        add(proxied, "a")
    assert proxy.count("PUT") == 0


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    "code",
    [
        "SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidAccessKeyId", "AccountProblem", "AllAccessDisabled",
        "InvalidObjectState", "NotSignedUp", "InvalidSecurity", "Forbidden",
    ],
)  # fmt: skip
def test_a_403_of_another_kind_is_not_explained_by_a_missing_right(
    proxied: StatusStore, proxy: FaultProxy, method: str, code: str
) -> None:
    """A wrong clock or key: whoever looks at the role's policy looks in the wrong place."""
    proxy.faults.extend(Fault(method, answer=(403, code)) for _ in range(3))
    with pytest.raises(StatusStoreError, match=code) as caught:
        add(proxied, "a")
    assert "ListBucket" not in str(caught.value)


def test_a_missing_bucket_is_an_error_and_not_an_absent_object(aws: Aws) -> None:
    store = StatusStore(aws.s3, "no-such-bucket-anywhere", "status")
    with pytest.raises(StatusStoreError, match="NoSuchBucket"):
        add(store, "a")


def test_an_unreachable_s3_may_succeed_later(aws: Aws) -> None:
    store = StatusStore(aws.client("s3", "http://127.0.0.1:9"), aws.bucket, "status")
    with pytest.raises(StatusStoreError):
        add(store, "a")


def test_a_write_that_nobody_answers_may_succeed_later(aws: Aws) -> None:
    # GIVEN an S3 that answers to a GET, and is gone at the PUT
    with FaultProxy(aws.url) as proxy:
        store = StatusStore(aws.client("s3", proxy.url), aws.bucket, "status")
        proxy.faults.extend(
            Fault("PUT", lose_answer=True, before=lambda: aws.put("k", b"")) for _ in range(3)
        )
        proxy.faults.append(Fault("GET", answer=(404, "NoSuchKey")))
        # WHEN each of its answers is lost
        with pytest.raises(StatusStoreError, match="writing"):
            add(store, "a")


def test_an_answer_cut_off_in_its_body_may_succeed_later(aws: Aws) -> None:
    def cut(connection: socket.socket) -> None:
        connection.sendall(
            b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\nETag: "e"\r\n'
            b"Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\n[1"
        )

    with HttpServer(lambda _: cut) as server:
        store = StatusStore(aws.client("s3", server.url), aws.bucket, "s")
        with pytest.raises(StatusStoreError):
            add(store, "a")


@pytest.mark.parametrize("broken", ["GET", "PUT"])
def test_an_error_that_breaks_off_in_its_body_may_succeed_later(aws: Aws, broken: str) -> None:
    """botocore does not wrap what urllib3 raises while it reads such a body."""

    def cut(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 999\r\n\r\n<Error>")
        time.sleep(0.1)
        reset(connection)

    def answer(request: Request) -> Answer | Script:
        return cut if request.method == broken else Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    with HttpServer(answer) as server:
        store = StatusStore(aws.client("s3", server.url), aws.bucket, "s")
        with pytest.raises(StatusStoreError):
            add(store, "a")


def test_no_request_is_begun_without_time_for_it(aws: Aws, proxy: FaultProxy) -> None:
    store = StatusStore(aws.client("s3", proxy.url), aws.bucket, "status")
    # Not even the read, if the write would have no time.
    with pytest.raises(OutOfTime):
        store.update("j", in_seconds(Reserve.JOB - 0.1)).get()
    with pytest.raises(OutOfTime):
        store.update("j", in_seconds(Reserve.AWS_CALL - 0.1)).put(b"[]", None)
    assert not proxy.requests


def test_a_passing_error_is_not_tried_again_without_time_for_it(aws: Aws, proxy: FaultProxy) -> None:
    # GIVEN a read that fails, and so little time that another would leave none for the write
    now = [1_000.0]
    deadline = Deadline(1_000 + Reserve.JOB, lambda: now[0])
    store = StatusStore(aws.client("s3", proxy.url), aws.bucket, "status")
    proxy.faults.append(
        Fault("GET", answer=(500, "InternalError"), before=lambda: now.__setitem__(0, now[0] + 0.1))
    )
    with pytest.raises(OutOfTime):
        store.update("j", deadline).get()
    assert proxy.count("GET") == 1


def test_threads_that_write_one_job_at_once_lose_nothing(aws: Aws) -> None:
    store = StatusStore(aws.s3, aws.bucket, "status")
    names = [f"n{number}" for number in range(24)]
    random.Random(1).shuffle(names)

    def write(mine: list[str]) -> None:
        for name in mine:
            while True:
                try:
                    add(store, name)
                except StatusConflict:
                    continue
                break

    threads = [threading.Thread(target=write, args=(names[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(aws.get("status/j-status.json"))) == sorted(names)


def test_moto_with_our_lock_honours_conditions_atomically(aws: Aws) -> None:
    """The floor that the tests of races stand on: of writers with one ETag, one wins."""
    aws.put("k", b"0")
    etag = aws.s3.head_object(Bucket=aws.bucket, Key="k")["ETag"]
    wins: list[int] = []
    losses: list[str] = []

    def write(number: int) -> None:
        try:
            aws.s3.put_object(Bucket=aws.bucket, Key="k", Body=str(number).encode(), IfMatch=etag)
            wins.append(number)
        except ClientError as error:
            losses.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert losses == ["PreconditionFailed"] * 15


WRITER = """
import json, os, sys
from types import SimpleNamespace
from handler.app import lambda_handler
from tests.factories import body, record
mine, stage, count = sys.argv[1], "chunk", int(sys.argv[2])
context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60000, aws_request_id="r",
                          function_name="f", memory_limit_in_mb=128,
                          invoked_function_arn="arn:aws:lambda:us-east-1:1:function:f")
for number in range(count):
    name = f"{mine}-{number:03d}"
    event = {"Records": [record(body(stage, "FAILED", "shared", by=name), at=number, message_id=name)]}
    for _ in range(20):
        if not lambda_handler(event, context)["batchItemFailures"]:
            break
    else:
        sys.exit(f"{name} failed 20 times")
"""


def test_processes_that_publish_one_job_at_once_lose_no_event(aws: Aws, environment: dict[str, str]) -> None:
    # GIVEN five processes, each with 12 messages of the same job
    writers = [
        processes.start(
            [sys.executable, "-c", WRITER, f"p{number}", "12"],
            env=environment | {"PYTHONPATH": str(processes.ROOT)},
            stdout=subprocess.PIPE,
        )
        for number in range(5)
    ]
    # WHEN all publish at once
    outputs = [process.communicate(timeout=90)[0] for process in writers]
    # THEN each succeeded, every event is in the history, and there was a contest
    assert [process.returncode for process in writers] == [0] * 5
    history = json.loads(aws.get("status/shared-status.json"))["history"]
    assert sorted(entry["by"] for entry in history) == sorted(
        f"p{p}-{n:03d}" for p in range(5) for n in range(12)
    )
    assert "StatusConflicts" in "".join(outputs)

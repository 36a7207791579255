"""The invocation's time: what is done in it, and that the answer comes before Lambda ends it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from handler import app, status_store
from handler.deadline import Deadline, Reserve
from handler.outcomes import StatusStoreError
from handler.publisher import Publisher
from handler.settings import read_settings
from local.stack.event_source_mapping import EventSourceMapping
from local.stack.http_server import Answer, HttpServer, Request
from tests import processes
from tests.conftest import in_seconds
from tests.deploy.translated import TEMPLATE
from tests.factories import body, record
from tests.function import Function
from tests.ports import silent_server
from tools.bench.run import quota

ROOT = Path(__file__).parents[2]


def ending_in(seconds: float) -> Callable[[], int]:
    """Return what tells an invocation the milliseconds that are left to it."""
    end = time.monotonic() + seconds
    return lambda: int((end - time.monotonic()) * 1000)


@pytest.mark.parametrize(("answers_after", "remaining"), [(0.05, 10), (1, 15), (2.5, 20), (4, 30), (9.5, 60)])
def test_a_catalog_that_answers_within_what_is_left_is_notified_at_the_first_delivery_with_one_post(
    function: Function,
    answers_after: float,
    remaining: float,
) -> None:
    function.catalog.answers.append(Answer(200, before=lambda: time.sleep(answers_after)))
    assert function.invoke(record(body("mosaic", "FINISHED")), milliseconds=ending_in(remaining)) == []
    assert len(function.catalog.requests) == 1
    assert function.status("test-job")["catalog"]["state"] == "NOTIFIED"


@pytest.mark.parametrize("answers_after", [1.0, 2.0])
def test_a_function_with_a_timeout_of_ten_seconds_does_its_whole_job(
    function: Function,
    answers_after: float,
) -> None:
    function.catalog.answers.extend(Answer(200, before=lambda: time.sleep(answers_after)) for _ in range(3))
    steps = ["chunk STARTED", "chunk FINISHED", "mosaic STARTED", "mosaic FINISHED"]
    records = [
        record(body(stage, status, f"job-{job}"), at=at)
        for job in range(3)
        for at, (stage, status) in enumerate(map(str.split, steps))
    ]
    assert function.invoke(*records, milliseconds=ending_in(10)) == []
    assert len(function.catalog.requests) == 3


def test_with_three_seconds_left_a_job_is_begun_and_with_less_it_comes_back(function: Function) -> None:
    function.invoke()  # a warm instance
    first, second = record(body("chunk", "STARTED", "a")), record(body("chunk", "STARTED", "b"))
    assert function.invoke(first, milliseconds=3_000) == []
    too_little = int((Reserve.JOB + Reserve.RESPONSE) * 1000) - 100
    assert function.invoke(second, milliseconds=too_little) == [second["messageId"]]


def test_fifty_completions_and_a_catalog_that_is_down_are_at_most_45_posts(function: Function) -> None:
    function.catalog.answers.extend([Answer(503)] * 500)
    records = [record(body("mosaic", "FINISHED", f"job-{number}")) for number in range(50)]
    assert len(function.invoke(*records, milliseconds=60_000)) == 50
    assert len(function.catalog.requests) <= 45


def test_one_reason_of_one_job_is_one_log_line_however_many_messages_it_fails(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OAM_STATUS_BUCKET", "no-such-bucket")
    records = [record(body("chunk", "FAILED", f"job-{number % 4}"), at=number) for number in range(400)]
    assert len(function.invoke(*records)) == 400
    lines = function.logged("Message failed")
    assert sorted(line["job_id"] for line in lines) == ["job-0", "job-1", "job-2", "job-3"]
    assert sum(len(line["message_id"]) for line in lines) == 400
    assert function.metrics()["MessagesFailed"] == [400]


@pytest.mark.parametrize("method", ["get", "put"])
def test_a_call_of_a_silent_s3_takes_no_longer_than_its_reserve(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(status_store, "CALLS", 1)
    with silent_server() as silent:
        environment |= {"AWS_ENDPOINT_URL": silent}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = app.wire(read_settings(environment)).publisher.store
        arguments = () if method == "get" else (b"x" * 100_000, None)
        begun = time.monotonic()
        with pytest.raises(StatusStoreError):
            getattr(store.update("j", in_seconds(20)), method)(*arguments)
        assert time.monotonic() - begun < Reserve.AWS_CALL + 0.9  # a second read timeout would be more


def test_messages_wait_as_long_as_they_should_though_a_job_takes_all_the_time(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN a queue whose own timeout is an hour, with poison and a job that hangs until the deadline
    sqs = function.aws.client("sqs")
    url = sqs.create_queue(QueueName="q-in-time", Attributes={"VisibilityTimeout": "3600"})["QueueUrl"]
    monkeypatch.setenv("OAM_STATUS_SQS_QUEUE_URL", url)
    hang = threading.Event()
    monkeypatch.setattr(Publisher, "publish", lambda *args: hang.wait(20))
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    sqs.send_message(QueueUrl=url, MessageBody=body("chunk", "STARTED"))
    records = EventSourceMapping(sqs, url, function.module.lambda_handler, wait=1).receive()
    # WHEN
    try:
        assert len(function.invoke(*records, milliseconds=ending_in(6))) == 2
    finally:
        hang.set()
    # THEN the poison is back at once
    assert not function.logged("Visibility not changed")
    found = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10)["Messages"]
    assert "poison" in [message["Body"] for message in found]


def test_the_handler_keeps_back_what_the_batch_and_the_functions_memory_need(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []
    made = Deadline.of_invocation

    def note(seconds: float, messages: int, memory_mb: int) -> Deadline:
        asked.append((messages, memory_mb))
        return made(seconds, messages, memory_mb)

    monkeypatch.setattr(function.module.Deadline, "of_invocation", note)
    function.invoke(record(body("chunk", "STARTED")), record("poison"))
    assert asked == [(2, 128)]


INVOCATION = """
import json, os, sys, time
from types import SimpleNamespace
from handler.app import lambda_handler
from tests.factories import body, record
messages, memory, timeout = map(int, sys.argv[1:])
lambda_handler({"Records": []}, SimpleNamespace(
    get_remaining_time_in_millis=lambda: 60_000, aws_request_id="r", function_name="f", function_version="1",
    memory_limit_in_mb=str(memory), invoked_function_arn="arn:aws:lambda:us-east-1:1:function:f"))
event = {"Records": [record(body("chunk", "FAILED", f"job-{n // 4}"), at=n) for n in range(messages)]}
print("ready", file=sys.stderr, flush=True)
sys.stdin.readline()
end = time.monotonic() + timeout
context = SimpleNamespace(
    get_remaining_time_in_millis=lambda: int((end - time.monotonic()) * 1000), aws_request_id="r",
    function_name="f", function_version="1", memory_limit_in_mb=str(memory),
    invoked_function_arn="arn:aws:lambda:us-east-1:1:function:f")
answer = json.dumps(lambda_handler(event, context))
print(json.dumps({"left": end - time.monotonic(), "failed": answer.count("itemIdentifier")}), file=sys.stderr, flush=True)
sys.stdin.readline()
"""


def slow_s3(request: Request) -> Answer:
    """Take 0.6 s for everything; nothing is there, and everything can be written."""
    time.sleep(0.6)
    if request.method == "GET":
        return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
    return Answer(200, b"", {"ETag": '"e"'})


def run_under_quota(share: float, environment: dict[str, str], *arguments: int) -> dict[str, float]:
    """Run an invocation with a share of one CPU, as Lambda gives it."""
    process = processes.start(
        [sys.executable, "-c", INVOCATION, *map(str, arguments)],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stderr
    assert process.stderr.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    try:
        with quota(process.pid, share):
            found: dict[str, float] = json.loads(process.stderr.readline())
    finally:
        process.kill()
        process.communicate()
    return found


PARAMETERS = TEMPLATE["Parameters"]


@pytest.mark.parametrize("messages", [PARAMETERS["BatchSize"]["MaxValue"]])
@pytest.mark.parametrize("memory_mb", [PARAMETERS["MemorySize"]["MinValue"]])
def test_the_answer_of_the_largest_batch_is_in_time_with_the_least_memory_and_a_slow_s3(
    environment: dict[str, str], messages: int, memory_mb: int
) -> None:
    """Else Lambda ends the invocation, and all of its work is done again."""
    timeout = min(PARAMETERS["FunctionTimeout"]["AllowedValues"])
    with HttpServer(slow_s3) as server:
        environment |= {"AWS_ENDPOINT_URL": server.url, "OAM_STATUS_SQS_QUEUE_URL": f"{server.url}/q"}
        found = run_under_quota(memory_mb / 1_769, environment, messages, memory_mb, timeout)
    assert found["left"] > 0
    assert found["failed"] < messages  # and the time was used

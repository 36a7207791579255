"""What the function's log says of each message, and that no line is longer than CloudWatch takes."""

import time
import uuid

import pytest

from handler.log import MAX_LINE_BYTES
from handler.status_store import REFUSALS
from local.stack.event_source_mapping import EventSourceMapping
from local.stack.http_server import Answer
from tests.factories import NOON, body, record
from tests.function import Function
from tests.integration.fault_proxy import Fault, FaultProxy


def longest(function: Function) -> int:
    return max(len(line.encode()) for line in function.output.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        body("chunk", "FAILED", error="x" * 1_040_000),
        body("chunk", "FAILED", error="\n" * 500_000),
        '{"jobId": "test-job", "stage": "chunk", "status": "FAILED", "error": "' + "é" * 500_000 + '"}',
        "\U0001f30d" * 260_000,
        "[" * 1_048_576,
    ],
    ids=["ASCII", "escapes", "two bytes, written as six", "four bytes, written as twelve", "no object"],
)
def test_a_body_of_1_mib_at_debug_is_a_line_that_cloudwatch_takes(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    monkeypatch.setenv("DEBUG", "oam:*")
    function.invoke(record(text, message_id="m"))
    (line,) = function.logged("Message received")
    assert (line["message_id"], line["level"]) == ("m", "DEBUG")
    assert line["body"].startswith(text[:20_000])
    assert line["body"].endswith(f"... ({len(text):,} characters)")
    assert MAX_LINE_BYTES * 0.95 < longest(function) <= MAX_LINE_BYTES


def test_a_job_of_10_000_messages_is_a_line_that_cloudwatch_takes(function: Function) -> None:
    records = [record(body("chunk", "STARTED"), n, str(uuid.UUID(int=n))) for n in range(10_000)]
    assert function.invoke(*records, milliseconds=60_000) == []
    (line,) = function.logged("Job status published")
    assert str(uuid.UUID(int=5_000)) in line["message_id"]
    assert longest(function) <= MAX_LINE_BYTES


def test_the_largest_mocked_notification_is_a_line_that_cloudwatch_takes(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOCK_OAM_API", "true")
    images = [f"http://images.example.org/{number}.tif" for number in range(10_000)]
    assert function.invoke(record(body("mosaic", "FINISHED", images=images))) == []
    (line,) = function.logged("Catalog notification not sent: mocked")
    assert images[3_000] in line["payload"]
    assert longest(function) <= MAX_LINE_BYTES


def test_each_failure_says_whose_it_is_why_how_often_it_came_and_when_it_comes_back(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN a real queue with poison that names its job, and a job that the catalog wants later
    sqs = function.aws.client("sqs")
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:12]}")["QueueUrl"]
    monkeypatch.setenv("OAM_STATUS_SQS_QUEUE_URL", url)
    function.catalog.answers.append(Answer(429, headers={"Retry-After": "600"}))
    sqs.send_message(QueueUrl=url, MessageBody=body("chunk", "PAUSED", "job-a"))
    sqs.send_message(QueueUrl=url, MessageBody=body("mosaic", "FINISHED", "job-b"))
    mapping = EventSourceMapping(sqs, url, function.module.lambda_handler, wait=1)
    records = mapping.receive()
    # WHEN
    assert len(function.invoke(*records)) == 2
    # THEN
    ids = {record["body"].split('"')[3]: record["messageId"] for record in records}
    found = [line for line in function.lines if line.get("message") in ("Message refused", "Message failed")]
    keys = ("job_id", "message_id", "receive_count", "retry_in", "error", "reason")
    assert sorted([line[key] for key in keys] for line in found) == [
        ["job-a", [ids["job-a"]], 1, 0, "InvalidMessage", 'unknown stage or status: "chunk", "PAUSED"'],
        ["job-b", [ids["job-b"]], 1, 600, "CatalogBusy", "HTTP 429: {}"],
    ]


def test_a_return_that_the_queue_did_not_take_is_not_said(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN a queue that does not know the one message's receipt, and none at all
    sqs = function.aws.client("sqs")
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:12]}")["QueueUrl"]
    function.invoke(record("poison", message_id="without a queue"))
    monkeypatch.setenv("OAM_STATUS_SQS_QUEUE_URL", url)
    function.module._runner.cache_clear()
    function.invoke(record("poison", message_id="unknown receipt"))
    # THEN
    lines = function.logged("Message refused")
    assert [line["message_id"] for line in lines] == [["without a queue"], ["unknown receipt"]]
    assert not [line for line in lines if "retry_in" in line]


def test_a_notified_catalog_is_a_line_of_its_job(function: Function) -> None:
    assert function.invoke(record(body("mosaic", "FINISHED"))) == []
    (line,) = function.logged("Catalog notified")
    assert (line["level"], line["job_id"]) == ("INFO", "test-job")
    assert line["uri"] == "https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png"


def test_published_and_notified_say_how_long_it_took_since_the_message_was_sent(
    function: Function,
) -> None:
    # GIVEN messages that were sent 60, 50, 40 and 30 seconds ago
    now = time.time_ns() // 1_000_000 - NOON
    steps = ("chunk", "STARTED"), ("chunk", "FINISHED"), ("mosaic", "STARTED"), ("mosaic", "FINISHED")
    sent = [record(body(*step), now - 60_000 + 10_000 * number) for number, step in enumerate(steps)]
    # WHEN
    for batch in (sent[:2], sent[:1], [sent[0], sent[2]], sent[3:]):
        assert function.invoke(*batch) == []
    # THEN it is the longest of those that were new
    lines = function.logged("Job status published") + function.logged("Catalog notified")
    assert [round(line["lag_ms"] / 10_000) for line in lines] == [6, 4, 3, 3]
    (unchanged,) = function.logged("Job status unchanged")
    assert "lag_ms" not in unchanged


def test_jobs_that_the_open_circuit_holds_back_are_one_line_of_a_batch(function: Function) -> None:
    # GIVEN a catalog that is down
    function.catalog.answers.extend([Answer(503)] * 500)
    # WHEN a batch finishes more jobs than open the circuit
    records = [record(body("mosaic", "FINISHED", f"job-{number}")) for number in range(50)]
    assert len(function.invoke(*records)) == 50
    # THEN
    lines = function.logged("Message failed")
    (held_back,) = [line for line in lines if line["error"] == "CircuitOpen"]
    others = [line["job_id"] for line in lines if line is not held_back]
    assert held_back["jobs"] == len(held_back["job_ids"]) == len(held_back["message_id"]) > 1
    assert sorted(held_back["job_ids"] + others) == sorted(f"job-{number}" for number in range(50))


def test_a_store_that_refuses_every_if_match_is_said_to_be_at_fault(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert function.invoke(record(body("chunk", "STARTED"))) == []
    with FaultProxy(function.aws.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        function.module._runner.cache_clear()
        proxy.faults.extend([Fault("PUT", answer=(412, "PreconditionFailed"))] * 99)
        assert len(function.invoke(record(body("chunk", "FINISHED"), 1))) == 1
    (line,) = function.logged("Message failed")
    assert (line["job_id"], line["error"]) == ("test-job", "ConditionRefused")
    assert f"s3://{function.aws.bucket}/status/test-job-status.json" in line["reason"]
    assert f"{REFUSALS} times" in line["reason"]

"""When failed messages come back, over HTTP against the real queue."""

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from handler.deadline import Deadline, Reserve
from handler.queue import BATCH_ENTRIES, CONCURRENT_CALLS, Queue
from local.stack.catalog_server import CatalogServer
from local.stack.event_source_mapping import EventSourceMapping
from local.stack.http_server import Answer
from tests.conftest import TOKEN, Aws, in_seconds
from tests.factories import body, record
from tests.function import Function
from tests.integration.fault_proxy import Fault, FaultProxy


class Sqs:
    """A queue whose own visibility timeout is far longer than any test."""

    def __init__(self, aws: Aws) -> None:
        self.sqs = aws.client("sqs")
        self.url = self.sqs.create_queue(
            QueueName=f"q-{uuid.uuid4().hex[:12]}", Attributes={"VisibilityTimeout": "3600"}
        )["QueueUrl"]

    def send(self, *bodies: str) -> None:
        for text in bodies:
            self.sqs.send_message(QueueUrl=self.url, MessageBody=text)

    def receive(self) -> list[Any]:
        """Receive all that is visible."""
        found: list[Any] = []
        while messages := self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        ).get("Messages"):
            found += messages
        return found


@pytest.fixture
def queue(aws: Aws) -> Sqs:
    return Sqs(aws)


def make_queue(client: Any, queue: Sqs) -> Queue:
    return Queue(lambda: client, queue.url, Logger(service=uuid.uuid4().hex))


@pytest.fixture
def proxy(aws: Aws) -> Iterator[FaultProxy]:
    with FaultProxy(aws.url) as running:
        yield running


def test_any_number_of_messages_is_changed_ten_a_call(aws: Aws, queue: Sqs, proxy: FaultProxy) -> None:
    # GIVEN 25 messages in hand
    queue.send(*(f"m{number}" for number in range(25)))
    receipts = {message["Body"]: message["ReceiptHandle"] for message in queue.receive()}
    # WHEN all but one are put off, and that one is not
    made = make_queue(aws.client("sqs", proxy.url), queue)
    changed = made.change_visibility(
        {receipt: 0 if name == "m7" else 900 for name, receipt in receipts.items()}, in_seconds(5)
    )
    # THEN
    assert changed == set(receipts.values())
    assert [message["Body"] for message in queue.receive()] == ["m7"]
    assert proxy.count("POST") == 3


def test_a_failing_call_is_logged_and_the_queues_own_timeout_holds(
    aws: Aws, queue: Sqs, proxy: FaultProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.send("a", "b")
    receipts = [message["ReceiptHandle"] for message in queue.receive()]
    made = make_queue(aws.client("sqs", proxy.url), queue)
    # WHEN SQS fails, then knows one of the receipts only
    proxy.faults.append(Fault("POST", answer=(500, "InternalError")))
    assert made.change_visibility(dict.fromkeys(receipts, 0), in_seconds(5)) == set()
    known = receipts[0]
    assert made.change_visibility({"no receipt": 0, known: 900}, in_seconds(5)) == {known}
    # THEN
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["Visibility not changed"] * 2
    assert queue.receive() == []


def test_a_queue_that_hangs_does_not_hold_the_answer_up(
    aws: Aws, queue: Sqs, proxy: FaultProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_queue(aws.client("sqs", proxy.url), queue)
    late = threading.Event()
    proxy.faults.extend([Fault("POST", before=lambda: late.wait(20))] * 20)
    # WHEN more messages have failed than there are calls at once
    receipts = [f"r{number}" for number in range(BATCH_ENTRIES * (CONCURRENT_CALLS + 2))]
    begun = time.monotonic()
    try:
        assert made.change_visibility(dict.fromkeys(receipts, 0), in_seconds(Reserve.AWS_CALL + 0.5)) == set()
        # THEN the answer is in time, and says what became of them
        assert time.monotonic() - begun < 10
        (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert line["message"] == "Visibility not changed"
        assert (line["reason"], line["calls"]) == ("no time was left", CONCURRENT_CALLS + 2)
    finally:
        late.set()
    # AND what had not begun by then never does
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(10)
    assert len(proxy.requests) == CONCURRENT_CALLS


def test_no_call_is_begun_that_could_outlast_the_invocation(
    aws: Aws, queue: Sqs, proxy: FaultProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_queue(aws.client("sqs", proxy.url), queue)
    made.change_visibility({f"r{number}": 0 for number in range(25)}, in_seconds(Reserve.AWS_CALL - 0.1))
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["level"], line["message"], line["calls"]) == ("WARNING", "Visibility not changed", 3)
    assert line["reason"] == "no time left to change the visibility"
    assert not proxy.requests


def test_a_defect_in_a_call_is_logged_and_not_raised(queue: Sqs, capsys: pytest.CaptureFixture[str]) -> None:
    make_queue(None, queue).change_visibility({"receipt": 0}, in_seconds(5))
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["message"], line["calls"]) == ("ERROR", "Visibility not changed", 1)
    assert "AttributeError" in line["exception"]


def test_without_a_client_nothing_is_put_off_and_the_report_is_kept(
    queue: Sqs, capsys: pytest.CaptureFixture[str]
) -> None:
    def make_client() -> Any:
        raise ValueError("Invalid endpoint")

    made = Queue(make_client, queue.url, Logger(service=uuid.uuid4().hex))
    # WHEN 25 messages have failed
    assert made.change_visibility({f"r{number}": 0 for number in range(25)}, in_seconds(5)) == set()
    # THEN
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["message"], line["calls"]) == ("ERROR", "Visibility not changed", 3)
    assert "Invalid endpoint" in line["exception"]


@pytest.mark.parametrize("threads", [0, 1])
def test_without_threads_the_report_is_kept_and_the_calls_that_none_was_there_for_are_counted(
    queue: Sqs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def refuse(self: threading.Thread) -> None:
        if self.name.startswith("ThreadPoolExecutor"):  # the server's own threads go on
            if len(started) == threads:
                raise RuntimeError("can't start new thread")
            started.append(self)
        start(self)

    made = make_queue(queue.sqs, queue)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert made.change_visibility({f"r{number}": 0 for number in range(25)}, in_seconds(5)) == set()
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["level"], line["message"], line["calls"]) == ("ERROR", "Visibility not changed", 3 - threads)
    assert "can't start new thread" in line["exception"]


def test_a_record_without_a_receipt_costs_its_own_back_off_only(
    function: Function,
    queue: Sqs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OAM_STATUS_SQS_QUEUE_URL", queue.url)
    poison, good = record("poison"), record(body("chunk", "STARTED"))
    del poison["receiptHandle"]
    assert function.invoke(poison, good) == [poison["messageId"]]


def test_an_invalid_message_comes_back_at_once_and_one_that_may_succeed_waits(
    function: Function,
    queue: Sqs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN a poison message, one that the catalog wants later, and a good one
    monkeypatch.setenv("OAM_STATUS_SQS_QUEUE_URL", queue.url)
    function.catalog.answers.append(Answer(429, headers={"Retry-After": "600"}))
    queue.send("poison", body("mosaic", "FINISHED", "later"), body("chunk", "STARTED", "good"))
    mapping = EventSourceMapping(queue.sqs, queue.url, function.module.lambda_handler, wait=1)
    # WHEN they are delivered, and the poison again
    first = mapping.deliver(mapping.receive())
    assert (len(first.succeeded), len(first.failed)) == (1, 2)
    for receives in ("2", "3"):
        (again,) = mapping.receive()
        # THEN it is there at once, every time
        assert (again["body"], again["attributes"]["ApproximateReceiveCount"]) == ("poison", receives)
        mapping.deliver([again])
    # AND the other one is not, for as long as the catalog asked
    attributes = queue.sqs.get_queue_attributes(
        QueueUrl=queue.url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
    )["Attributes"]
    assert attributes == {"ApproximateNumberOfMessagesNotVisible": "1"}


def test_retry_after_reaches_the_message_as_its_least_wait(
    function: Function,
    queue: Sqs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, int]] = []

    def note(self: Queue, timeouts: Mapping[str, int], deadline: Deadline) -> set[str]:
        asked.append(dict(timeouts))
        return set()

    monkeypatch.setattr(Queue, "change_visibility", note)
    monkeypatch.setenv("OAM_STATUS_SQS_QUEUE_URL", queue.url)
    function.catalog.answers += [Answer(503, headers={"Retry-After": "3000"}), Answer(400)]
    queue.send(body("mosaic", "FINISHED", "a"), body("mosaic", "FINISHED", "b"))
    mapping = EventSourceMapping(queue.sqs, queue.url, function.module.lambda_handler, wait=1)
    mapping.deliver(mapping.receive())
    assert len(asked) == 1
    assert max(asked[0].values()) == 3_000
    assert min(asked[0].values()) <= 10


def test_without_a_queue_url_the_queues_own_timeout_holds(function: Function) -> None:
    with CatalogServer(TOKEN):
        assert function.invoke(
            {"messageId": "m", "body": "poison", "receiptHandle": "r", "attributes": {}}
        ) == ["m"]
    assert TOKEN not in function.output

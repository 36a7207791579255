"""The mapping's rules, against a real queue over HTTP."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from local.stack.event_source_mapping import EventSourceMapping
from tests.conftest import Aws

VISIBILITY_TIMEOUT = 1  # second
MAX_RECEIVE_COUNT = 2


@dataclass
class Queue:
    """A queue with a dead-letter queue, and what a function got from it."""

    sqs: Any
    url: str
    arn: str
    dead_letter_url: str
    events: list[dict[str, Any]] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def send(self, *bodies: str) -> list[str]:
        return [self.sqs.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"] for body in bodies]

    def mapping(self, function: Callable[[dict[str, Any]], Any], **options: Any) -> EventSourceMapping:
        def handler(event: dict[str, Any], context: Any) -> Any:
            self.events.append(event)
            self.contexts.append(context)
            return function(event)

        return EventSourceMapping(self.sqs, self.url, handler, **({"wait": 1} | options))

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(count) for count in answer["Attributes"].values())

    def dead(self) -> list[str]:
        answer = self.sqs.receive_message(QueueUrl=self.dead_letter_url, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]


@pytest.fixture
def queue(aws: Aws) -> Queue:
    sqs, name = aws.client("sqs"), uuid.uuid4().hex

    def arn(url: str) -> str:
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    dead_letter_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": arn(dead_letter_url), "maxReceiveCount": MAX_RECEIVE_COUNT}
    url = sqs.create_queue(
        QueueName=name,
        Attributes={"VisibilityTimeout": str(VISIBILITY_TIMEOUT), "RedrivePolicy": json.dumps(redrive)},
    )["QueueUrl"]
    return Queue(sqs, url, arn(url), dead_letter_url)


def failing(*bodies: str) -> Callable[[dict[str, Any]], Any]:
    """Make a function that reports the messages with these bodies as failed."""

    def function(event: dict[str, Any]) -> Any:
        failed = [record["messageId"] for record in event["Records"] if record["body"] in bodies]
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}

    return function


def test_a_record_has_all_that_lambda_gives_it(queue: Queue) -> None:
    # GIVEN a message with an attribute
    sent = queue.sqs.send_message(
        QueueUrl=queue.url,
        MessageBody="one",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "x"}},
    )

    # WHEN it is received
    (record,) = queue.mapping(failing()).receive()

    # THEN it is as in AWS's documentation of the event
    attributes, handle = record.pop("attributes"), record.pop("receiptHandle")
    assert record == {
        "messageId": sent["MessageId"],
        "body": "one",
        "messageAttributes": {
            "kind": {
                "dataType": "String",
                "stringValue": "x",
                "stringListValues": [],
                "binaryListValues": [],
            }
        },
        "md5OfBody": sent["MD5OfMessageBody"],
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.arn,
        "awsRegion": "us-east-1",
    }
    assert handle
    assert attributes["ApproximateReceiveCount"] == "1"
    assert abs(int(attributes["SentTimestamp"]) - time.time() * 1000) < 60_000
    assert {"SenderId", "ApproximateFirstReceiveTimestamp"} <= attributes.keys()


def test_a_batch_takes_more_than_one_receive_call_and_no_more_than_its_size(queue: Queue) -> None:
    # GIVEN 25 messages
    sent = queue.send(*(f"body {number}" for number in range(25)))
    mapping = queue.mapping(failing(), batch_size=18)

    # WHEN two batches are received and delivered
    sizes, ids = [], set()
    for _ in range(2):
        records = mapping.receive()
        sizes.append(len(records))
        ids |= set(mapping.deliver(records).succeeded)

    # THEN all were in them, and all are deleted
    assert sizes == [18, 7]
    assert ids == set(sent)
    assert queue.left() == 0


def test_exactly_the_successes_are_deleted_and_the_failed_end_as_dead_letters(queue: Queue) -> None:
    # GIVEN three messages, one of which the function always fails
    queue.send("good", "bad", "also good")
    mapping = queue.mapping(failing("bad"))

    # WHEN the queue is polled until nothing is left
    seen = []
    deadline = time.monotonic() + 15
    while queue.left() and time.monotonic() < deadline:
        records = mapping.receive()
        if records:
            mapping.deliver(records)
            seen.append([(r["body"], r["attributes"]["ApproximateReceiveCount"]) for r in records])

    # THEN the good ones came once, and the bad one until it was too often
    assert sorted(seen[0]) == [("also good", "1"), ("bad", "1"), ("good", "1")]
    assert seen[1:] == [[("bad", "2")]]
    assert queue.dead() == ["bad"]


@pytest.mark.parametrize(
    "response",
    [None, {}, {"batchItemFailures": None}, {"batchItemFailures": []}],
    ids=["none", "empty", "null list", "empty list"],
)
def test_a_response_that_names_no_failure_is_a_success_of_all(queue: Queue, response: object) -> None:
    # GIVEN two messages
    queue.send("one", "two")
    mapping = queue.mapping(lambda _: response)

    # WHEN the function answers so
    delivery = mapping.deliver(mapping.receive())

    # THEN both are deleted
    assert (len(delivery.succeeded), delivery.failed, delivery.error) == (2, (), None)
    assert queue.left() == 0


@pytest.mark.parametrize(
    "response",
    [
        "OK",
        [],
        {"batchItemFailures": "x"},
        {"batchItemFailures": ["x"]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemidentifier": "x"}]},
        {"batchItemFailures": [{"itemIdentifier": "of another batch"}]},
        {"batchItemFailures": {1, 2}},
    ],
    ids=str,
)
def test_a_response_of_another_form_fails_the_whole_batch(queue: Queue, response: object) -> None:
    # GIVEN two messages
    queue.send("one", "two")
    mapping = queue.mapping(lambda _: response)

    # WHEN the function answers so
    delivery = mapping.deliver(mapping.receive())

    # THEN both stay in the queue
    assert (delivery.succeeded, len(delivery.failed)) == ((), 2)
    assert delivery.error
    assert queue.left() == 2


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(0)], ids=repr)
def test_a_function_that_raises_fails_the_whole_batch(queue: Queue, error: BaseException) -> None:
    # GIVEN two messages, and a function that raises
    def function(_: object) -> None:
        raise error

    queue.send("one", "two")
    mapping = queue.mapping(function)

    # WHEN they are delivered
    delivery = mapping.deliver(mapping.receive())

    # THEN both stay in the queue, and the traceback says why
    assert (delivery.succeeded, len(delivery.failed)) == ((), 2)
    assert type(error).__name__ in str(delivery.error)
    assert queue.left() == 2


def test_a_function_that_takes_too_long_fails_the_whole_batch(queue: Queue) -> None:
    # GIVEN a function that takes longer than it has
    queue.send("one")
    mapping = queue.mapping(lambda _: time.sleep(0.2), timeout=0.1)

    # WHEN the message is delivered
    delivery = mapping.deliver(mapping.receive())

    # THEN it stays in the queue
    assert len(delivery.failed) == 1
    assert queue.contexts[0].get_remaining_time_in_millis() == 0
    assert queue.left() == 1


def test_each_invocation_has_a_context_of_its_own(queue: Queue) -> None:
    # GIVEN a mapping
    mapping = queue.mapping(lambda _: None, timeout=30)

    # WHEN it invokes twice
    for body in ("one", "two"):
        queue.send(body)
        mapping.deliver(mapping.receive())

    # THEN each had its time, and a name
    first, second = queue.contexts
    assert first.aws_request_id != second.aws_request_id
    assert 0 < first.get_remaining_time_in_millis() <= 30_000
    assert first.invoked_function_arn.endswith(f":function:{first.function_name}")


def test_what_the_function_does_to_its_event_changes_nothing(queue: Queue) -> None:
    # GIVEN a function that empties its records
    def function(event: dict[str, Any]) -> None:
        for record in event["Records"]:
            record.clear()

    queue.send("one")
    mapping = queue.mapping(function)

    # WHEN the message is delivered
    delivery = mapping.deliver(mapping.receive())

    # THEN it is deleted as any other
    assert len(delivery.succeeded) == 1
    assert queue.left() == 0


def test_a_message_that_stands_twice_in_a_batch_is_deleted(queue: Queue) -> None:
    # GIVEN a batch with a message twice
    queue.send("one")
    mapping = queue.mapping(lambda _: None)
    records = mapping.receive()

    # WHEN it is delivered
    delivery = mapping.deliver([*records, *records])

    # THEN it is deleted, and counted once
    assert len(delivery.succeeded) == 1
    assert queue.left() == 0


def test_a_message_that_sqs_does_not_delete_is_reported(queue: Queue) -> None:
    # GIVEN a batch with a message whose receipt handle SQS does not know
    queue.send("one", "two")
    mapping = queue.mapping(lambda _: None)
    records = mapping.receive()
    records[0]["receiptHandle"] = "not a handle"

    # WHEN it is delivered
    delivery = mapping.deliver(records)

    # THEN the report names it, and the other one is deleted
    assert list(delivery.undeleted) == [records[0]["messageId"]]
    assert "ReceiptHandleIsInvalid" in delivery.undeleted[records[0]["messageId"]]
    assert queue.left() == 1

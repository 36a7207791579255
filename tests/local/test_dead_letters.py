"""Why a message is dead: said by the function's own validation, or not pretended to be known."""

import json
import uuid
from typing import Any

import pytest

from local.cli.dead_letters import read_dead_letters
from local.cli.jobs import Found
from tests.conftest import Aws
from tests.factories import body

REFUSED = {"test-job": {"catalog": {"state": "FAILED", "error": "HTTP 400: no such image"}}}


@pytest.mark.parametrize(
    ("text", "jobs", "reason"),
    [
        (json.dumps({"jobId": "../x"}), {}, "jobId is not 1 to 256"),
        ("nonsense", {}, "not a JSON object"),
        (body("mosaic", "FINISHED"), REFUSED, "of job test-job the catalog said: HTTP 400: no such image"),
        (body("mosaic", "FINISHED"), {}, "a valid message; the function's log says why it failed"),
    ],
    ids=["jobId", "no JSON", "the catalog refused it", "unknown"],
)
def test_each_dead_letter_has_its_reason(aws: Aws, text: str, jobs: dict[str, Any], reason: str) -> None:
    # GIVEN a message in a dead-letter queue
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=text)

    # WHEN the queue is read
    (letter,) = read_dead_letters(sqs, url, lambda job_id: Found("key", job_id, jobs.get(job_id)))

    # THEN the reason is told
    assert letter.body == text
    assert reason in letter.reason


def test_more_than_one_receive_call_is_made(aws: Aws) -> None:
    # GIVEN more dead letters than SQS gives at once
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"]
    for number in range(13):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))

    # WHEN the queue is read, and again at once
    # THEN all are there, both times: nothing was consumed or hidden
    for _ in range(2):
        assert len(read_dead_letters(sqs, url, lambda job_id: Found("key", job_id, None))) == 13

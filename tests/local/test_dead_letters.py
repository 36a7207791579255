"""Why a message is dead: said by the function's own validation, or not pretended to be known."""

import io
import json
import uuid
from typing import Any

import pytest

from local.cli.console import console
from local.cli.dead_letters import DeadLetter, as_table, read_dead_letters
from local.cli.jobs import Found
from local.cli.letters import job_of
from tests.conftest import Aws
from tests.factories import NOON, body

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


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        (body("chunk", "STARTED", "valid"), "valid"),
        ('{"jobId": "refused", "stage": "none"}', "refused"),
        ('{ "jobId" :"cut off", "stage": ', "cut off"),
        ('{"Message": "{\\"jobId\\": \\"in an envelope\\"}"}', None),
        ("poison", None),
    ],
)
def test_a_refused_message_has_the_job_that_it_names(text: str, job_id: str | None) -> None:
    assert job_of(text) == job_id


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_the_list_fits_the_terminal_and_cuts_nothing(columns: int) -> None:
    # GIVEN a letter whose job has as long a name as there is, with a long reason
    letter = DeadLetter(str(uuid.uuid4()), "j" * 256, NOON, 61, body("mosaic", "FINISHED"), "r" * 200)
    shown = console(io.StringIO())
    shown.width = columns
    # WHEN it is printed
    shown.print(as_table([letter], NOON / 1000 + 7_300, columns))
    # THEN all of it is there, folded
    assert isinstance(shown.file, io.StringIO)
    lines = shown.file.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].split() == ["Message", "Age", "Received", "Job"]
    assert lines[1].split()[1:3] == ["2h", "61"]
    first = lines[0].index("Age")
    assert "".join(line[:first] for line in lines[1:] if line[0] != " ").replace(" ", "") == letter.message_id
    above_the_body = "".join(lines[1 : lines.index(next(x for x in lines if '{"' in x))])
    assert (above_the_body.count("j"), above_the_body.count("r")) == (256, 200)
    assert "…" in "".join(lines[-2:])

"""The function's log for people: lines that the function really wrote."""

import io
import json
import re

import pytest
from rich.console import Console

from local.cli.function_log import FunctionLog, News, news_in, show_news
from local.stack.http_server import Answer
from tests.factories import body, record
from tests.function import Function


def news(function: Function) -> list[str]:
    """Give what all lines say, without their times."""
    found = [news_in(line) for line in function.output.splitlines()]
    return [" ".join(f"{each.job} {each.text}".split()) for each in found if each]


def test_a_finished_job_is_published_and_the_catalog_notified(function: Function) -> None:
    # WHEN a job is finished, and its messages come again
    batch = [record(body("mosaic", status), at) for at, status in enumerate(("STARTED", "FINISHED"))]
    function.invoke(*batch)
    function.invoke(*batch)

    # THEN each time says what came of it
    assert news(function) == [
        "test-job published: mosaic FINISHED (2 messages)",
        "test-job catalog notified: https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png",
        "test-job unchanged: mosaic FINISHED (2 messages)",
    ]


def test_poison_is_a_dead_letter_to_be(function: Function) -> None:
    function.invoke(record(body("chunk", "PAUSED", "job-a")))
    assert news(function) == [
        'job-a refused: unknown stage or status: "chunk", "PAUSED"; it becomes a dead letter'
    ]


def test_a_failure_says_why_and_when_it_comes_back(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN a queue, and a catalog that wants the job later
    sqs = function.aws.client("sqs")
    url = sqs.create_queue(QueueName="people")["QueueUrl"]
    monkeypatch.setenv("OAM_STATUS_SQS_QUEUE_URL", url)
    function.catalog.answers.append(Answer(429, headers={"Retry-After": "600"}))
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    finished = record(body("mosaic", "FINISHED"), receives=3) | {"receiptHandle": message["ReceiptHandle"]}

    # WHEN it comes for the third time
    function.invoke(finished)

    # THEN all that is said
    assert news(function)[-1] == "test-job failed: HTTP 429: {}; back in 600 s, received 3 times so far"


def test_without_a_queue_to_tell_the_visibility_timeout_decides(function: Function) -> None:
    function.catalog.answers.append(Answer(400, b"no such image"))
    function.invoke(record(body("mosaic", "FINISHED")))
    assert news(function)[-1] == (
        "test-job failed: HTTP 400: no such image; back after the queue's visibility timeout"
    )


def test_jobs_that_an_open_circuit_holds_back_are_one_line(function: Function) -> None:
    function.catalog.answers.extend([Answer(503)] * 500)
    function.invoke(*[record(body("mosaic", "FINISHED", f"job-{number}")) for number in range(50)])
    (held_back,) = [line for line in news(function) if "jobs failed: " in line]
    assert held_back.split(" ")[0].isdecimal()


def test_a_defect_says_where_its_traceback_is(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("handler.publisher.fold", None)
    function.invoke(record(body("chunk", "STARTED")))
    assert news(function) == [
        "test-job failed unexpectedly, see --json: TypeError: 'NoneType' object is not callable;"
        " back after the queue's visibility timeout"
    ]


@pytest.mark.parametrize("line", ["", "no JSON", "[]", '{"_aws": {}}'])
def test_what_is_no_line_of_the_log_is_left_out(line: str) -> None:
    assert news_in(line) is None


def test_a_line_for_people_has_no_control_characters_and_any_other_message_stands_as_it_is() -> None:
    entry = {"message": "Catalog is down", "reason": "a\x1b[2Jb", "level": "WARNING"}
    found = news_in(json.dumps(entry | {"timestamp": "2026-01-02T03:04:05.678+00:00"}))
    assert found == News("03:04:05", "-", "Catalog is down: a\\x1b[2Jb", "yellow")
    assert str(found) == "03:04:05  -                   Catalog is down: a\\x1b[2Jb"


def test_a_long_line_goes_on_below_its_text_on_a_terminal_and_is_whole_in_a_pipe() -> None:
    # GIVEN a line with a long reason
    reason = "a reason that goes on and on and on and on"
    entry = {"message": "Message refused", "job_id": "a-job", "reason": reason, "level": "WARNING"}
    line = json.dumps(entry | {"timestamp": "2026-01-02T03:04:05.678+00:00"})
    terminal, pipe = io.StringIO(), io.StringIO()

    # WHEN it is shown on a terminal of 60 columns, and in a pipe
    show_news(terminal, Console(width=60, force_terminal=True, no_color=True), line)
    show_news(pipe, Console(file=pipe), line)

    # THEN the one is laid out, and the other is a line
    first, *rest = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert first.startswith("03:04:05  a-job               refused: a reason")
    assert rest
    assert all(part.startswith(" " * 30) and len(part) <= 60 for part in rest)
    assert pipe.getvalue() == (f"03:04:05  a-job               refused: {reason}; it becomes a dead letter\n")


def test_lines_are_handed_on_whole_and_a_reader_that_went_away_is_no_error() -> None:
    # GIVEN a reader that goes away after two lines
    read: list[str] = []

    def show(line: str) -> None:
        if len(read) == 2:
            raise BrokenPipeError
        read.append(line)

    log = FunctionLog(show)

    # WHEN the log comes in pieces
    for piece in ("on", "e\ntw", "o", "\n", "three\nfour\n"):
        log.write(piece)

    # THEN whole lines were handed on, and the rest is left out
    assert (read, log.is_unread) == (["one", "two"], True)

"""From the dead-letter queue and back, by SQS's own call and without it."""

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

import pytest

from local import redrive as module
from local.embedded import Stack, embedded_stack
from local.queues import NoQueue, attribute
from local.redrive import RedriveFailed, redrive
from tests.conftest import Aws, always
from tests.deploy.translated import ROOT
from tests.factories import body


class MoveTasks:
    """What moto's SQS lacks, before moto: StartMessageMoveTask and its sisters, as AWS documents them.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListMessageMoveTasks.html
    """

    def __init__(self, stack: Stack, *, fails_after: int | None = None) -> None:
        self.stack, self.fails_after = stack, fails_after
        self.task: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.cancelled = threading.Event()

    def __enter__(self) -> "MoveTasks":
        tasks = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None: ...

            def do_POST(self) -> None:
                action = self.headers["X-Amz-Target"].rpartition(".")[2]
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                own = getattr(tasks, action, None)
                if own:
                    tasks.asked.append((action, json.loads(sent)))
                    answer = json.dumps(own(json.loads(sent))).encode()
                else:
                    headers = {name: value for name, value in self.headers.items() if name != "Host"}
                    with urlopen(Request(tasks.stack.url + self.path, sent, headers)) as passed:
                        answer = passed.read()
                self.send_response_only(200)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancelled.set()
        self.mover.join()
        self.server.shutdown()
        self.server.server_close()

    def StartMessageMoveTask(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (SQS's name)
        assert asked["SourceArn"].endswith("dead-letters")
        self.task = {"TaskHandle": "handle", "Status": "RUNNING", "SourceArn": asked["SourceArn"]}
        self.task |= {"ApproximateNumberOfMessagesMoved": 0, "ApproximateNumberOfMessagesToMove": 3}
        self.mover = threading.Thread(target=self._move, daemon=True)
        self.mover.start()
        return {"TaskHandle": "handle"}

    def ListMessageMoveTasks(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (SQS's name)
        assert asked["SourceArn"] == self.task["SourceArn"]
        return {"Results": [dict(self.task)]}

    def CancelMessageMoveTask(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (SQS's name)
        assert asked == {"TaskHandle": "handle"}
        self.cancelled.set()
        return {"ApproximateNumberOfMessagesMoved": self.task["ApproximateNumberOfMessagesMoved"]}

    def _move(self) -> None:
        sqs, moved = self.stack.sqs, 0
        while not self.cancelled.is_set():
            messages = sqs.receive_message(QueueUrl=self.stack.dead_letter_queue_url).get("Messages")
            if not messages:
                break
            if moved == self.fails_after:
                self.task |= {"Status": "FAILED", "FailureReason": "AccessDenied"}
                return
            sqs.send_message(QueueUrl=self.stack.queue_url, MessageBody=messages[0]["Body"])
            sqs.delete_message(
                QueueUrl=self.stack.dead_letter_queue_url, ReceiptHandle=messages[0]["ReceiptHandle"]
            )
            moved += 1
            self.task["ApproximateNumberOfMessagesMoved"] = moved
            time.sleep(0.1)
        self.task["Status"] = "COMPLETED"


@pytest.fixture
def stack() -> Iterator[Stack]:
    with embedded_stack() as running:
        for text in ("poison", body("chunk", "STARTED", "good"), body("mosaic", "FINISHED", "refused")):
            running.sqs.send_message(QueueUrl=running.dead_letter_queue_url, MessageBody=text)
        yield running
        for url in (running.queue_url, running.dead_letter_queue_url):  # moto's outlive its server
            running.sqs.delete_queue(QueueUrl=url)


def bodies(stack: Stack, url: str) -> list[str]:
    messages = stack.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return sorted(message["Body"] for message in messages)


def test_sqss_own_move_is_followed_to_its_end(stack: Stack, aws: Aws) -> None:
    seen: list[tuple[int, int]] = []
    with MoveTasks(stack) as tasks:
        sqs = aws.client("sqs", tasks.url)
        # WHEN
        moved = redrive(sqs, stack.queue_url, 50, lambda *how: seen.append(how), interval=0.02)
    # THEN it began with the rate asked for, was shown on its way, and has moved all
    assert tasks.asked[0][1]["MaxNumberOfMessagesPerSecond"] == 50
    assert moved == 3
    assert seen == sorted(set(seen))
    assert seen[-1] == (3, 3)
    assert len(bodies(stack, stack.queue_url)) == 3
    assert bodies(stack, stack.dead_letter_queue_url) == []


def test_a_move_that_sqs_gives_up_is_a_failure_with_sqss_reason(stack: Stack, aws: Aws) -> None:
    with (
        MoveTasks(stack, fails_after=1) as tasks,
        pytest.raises(RedriveFailed, match=r"FAILED after 1 messages\. AccessDenied"),
    ):
        redrive(aws.client("sqs", tasks.url), stack.queue_url, None, lambda *_: None, interval=0.02)


def test_who_stops_it_stops_sqss_move(stack: Stack, aws: Aws) -> None:
    def stop(moved: int, total: int) -> None:
        raise KeyboardInterrupt

    with MoveTasks(stack) as tasks, pytest.raises(KeyboardInterrupt):
        redrive(aws.client("sqs", tasks.url), stack.queue_url, None, stop, interval=0.02)
    assert [action for action, _ in tasks.asked][-1] == "CancelMessageMoveTask"


def test_without_sqss_move_messages_are_moved_one_by_one_at_the_rate_asked_for(stack: Stack) -> None:
    began, seen = time.monotonic(), list[tuple[int, int]]()
    assert redrive(stack.sqs, stack.queue_url, 10, lambda *how: seen.append(how)) == 3
    assert time.monotonic() - began >= 0.3
    assert seen == [(3, 3)]
    assert len(bodies(stack, stack.queue_url)) == 3


def test_poison_that_comes_back_at_once_is_not_moved_for_ever(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a function so quick that what is sent to the queue is a dead letter again at once
    monkeypatch.setattr(
        "local.redrive.find_dead_letter_queue", lambda sqs, url: (stack.dead_letter_queue_url, "arn")
    )
    assert redrive(stack.sqs, stack.dead_letter_queue_url, None, lambda *_: None) == 3


def test_on_aws_nothing_but_sqss_own_move_is_used(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_aws", always(True))
    with pytest.raises(stack.sqs.exceptions.ClientError):
        redrive(stack.sqs, stack.queue_url, None, lambda *_: None)
    assert len(bodies(stack, stack.dead_letter_queue_url)) == 3


def test_an_empty_dead_letter_queue_starts_nothing(stack: Stack) -> None:
    stack.sqs.purge_queue(QueueUrl=stack.dead_letter_queue_url)
    assert redrive(stack.sqs, stack.queue_url, None, lambda *_: None) == 0


def test_a_queue_without_a_dead_letter_queue_is_named(stack: Stack) -> None:
    with pytest.raises(NoQueue, match="has no dead-letter queue"):
        redrive(stack.sqs, stack.dead_letter_queue_url, None, lambda *_: None)


def command(stack: Stack, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    port = stack.url.rpartition(":")[2]
    return subprocess.run(
        [sys.executable, "-m", f"local.{name}", "--port", port, *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_operator_reads_the_dead_letters_with_reasons_then_redrives_them(stack: Stack) -> None:
    # GIVEN one that the catalog refused
    status = {"catalog": {"state": "FAILED", "error": "HTTP 400: no such image"}}
    stack.s3.put_object(
        Bucket="oam-status", Key="status/refused-status.json", Body=json.dumps(status).encode()
    )
    # WHEN they are listed, twice
    listed = command(stack, "dead_letters")
    again = command(stack, "dead_letters", "--json", "--limit", "2")
    # THEN each has its reason, and all are still there
    assert listed.returncode == 0, listed.stderr
    assert "the body is not a JSON object" in listed.stdout
    assert "a valid message; of job refused the catalog said: HTTP 400: no such image" in listed.stdout
    assert "3 in the dead-letter queue" in listed.stderr
    assert {"messageId", "sentAt", "reason", "body"} == set(json.loads(again.stdout.splitlines()[0]))
    assert "2 in the dead-letter queue, and about 1 more" in again.stderr
    assert attribute(stack.sqs, stack.dead_letter_queue_url, "ApproximateNumberOfMessages") == "3"
    # WHEN they are sent back
    moved = command(stack, "redrive")
    # THEN
    assert (moved.returncode, "moved 3 of 3" in moved.stdout) == (0, True), moved.stderr
    assert command(stack, "redrive").stdout == "The dead-letter queue is empty.\n"
    assert len(bodies(stack, stack.queue_url)) == 3


@pytest.mark.parametrize("name", ["dead_letters", "redrive"])
def test_with_nobody_there_a_line_says_how_to_start_it(stack: Stack, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"local.{name}", "--port", "9"],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "make start" in done.stderr
    assert len(io.StringIO(done.stderr).readlines()) == 1


@pytest.mark.parametrize("rate", ["0", "501", "fast", "-1"])
def test_a_rate_that_sqs_does_not_take_is_refused_before_anything_moves(stack: Stack, rate: str) -> None:
    done = command(stack, "redrive", "--rate", rate)
    assert done.returncode == 2
    assert len(bodies(stack, stack.dead_letter_queue_url)) == 3

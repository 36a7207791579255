"""`oam-status renotify`, with the function itself: the catalog gets what it lost, once."""

import importlib
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import handler.app
from local.cli.renotify import _Renotify
from local.cli.target import Target
from local.stack.embedded import BUCKET, PREFIX, Stack
from local.stack.event_source_mapping import EventSourceMapping
from tests.factories import IMAGES, TARGET, body
from tests.local.move_tasks import MoveTasks
from tests.local.tools import NAMED, at_a_terminal, tool

KEY = f"{PREFIX}/test-job-status.json"
PAYLOAD = {
    "uri": "https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png",
    "images": [{"uuid": image.removeprefix("/vsicurl/")} for image in IMAGES],
}


@pytest.fixture
def function(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventSourceMapping]:
    """The function, freshly started, which the embedded stack's queue feeds."""
    variables = {
        "AWS_ENDPOINT_URL": stack.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "OAM_STATUS_BUCKET": BUCKET,
        "OAM_STATUS_PREFIX": PREFIX,
        "OAM_CATALOG_URL": stack.catalog.url,
        "OAM_API_TOKEN": "embedded-token",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # A Powertools logger holds on to the stdout that it was made with.
    logging.Logger.manager.loggerDict.pop(handler.app.SERVICE, None)
    module = importlib.reload(handler.app)
    yield EventSourceMapping(stack.sqs, stack.queue_url, module.lambda_handler, wait=0)
    stack.s3.delete_object(Bucket=BUCKET, Key=KEY)  # moto's outlive their server


@pytest.fixture
def notified(stack: Stack, function: EventSourceMapping) -> dict[str, Any]:
    """A job that is done: give its status object."""
    for step in ("chunk STARTED", "chunk FINISHED", "mosaic STARTED", "mosaic FINISHED"):
        stack.sqs.send_message(QueueUrl=stack.queue_url, MessageBody=body(*step.split()))
    deliver(function)
    assert stack.catalog.taken == [PAYLOAD]
    return status(stack)


def deliver(function: EventSourceMapping) -> None:
    """Deliver all that is in the queue."""
    while records := function.receive():
        assert not function.deliver(records).failed


def status(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read())
    return found


def test_a_catalog_that_lost_a_job_gets_it_again_once(
    stack: Stack, function: EventSourceMapping, notified: dict[str, Any], port: str
) -> None:
    # GIVEN a catalog that has forgotten the job
    stack.catalog._entries.clear()
    # WHEN
    done = tool("renotify", "test-job", "test-job", "--port", port)
    # THEN its notification is due
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sent ")
    assert status(stack) == notified | {"catalog": status(stack)["catalog"]}
    assert (status(stack)["catalog"]["state"], status(stack)["catalog"]["attempts"]) == ("PENDING", 0)
    # AND the function sends exactly what it sent before, once
    deliver(function)
    assert stack.catalog.taken == [PAYLOAD, PAYLOAD]
    assert list(stack.catalog.entries) == [PAYLOAD["uri"]]
    # AND the job is as it was, but for one repeat in its history
    after = status(stack)
    assert (after["catalog"]["state"], after["catalog"]["attempts"]) == ("NOTIFIED", 1)
    changed = {name for name in notified if after[name] != notified[name]}
    assert changed == {"catalog", "history", "updatedAt"}
    assert after["history"][:-1] == notified["history"]


def test_a_second_one_while_the_firsts_message_is_under_way_makes_no_second_post(
    stack: Stack, function: EventSourceMapping, notified: dict[str, Any], port: str
) -> None:
    # GIVEN a first one, whose message is received and not yet dealt with
    assert tool("renotify", "test-job", "--port", port).returncode == 0
    records = function.receive()
    # WHEN it is run again, twice
    for _ in range(2):
        assert tool("renotify", "test-job", "--port", port).returncode == 0
    function.deliver(records)
    deliver(function)
    # THEN
    assert len(stack.catalog.taken) == 2
    # WHEN it is run once more, now that the job is NOTIFIED, THEN there is one, as its help says
    assert tool("renotify", "test-job", "--port", port).returncode == 0
    deliver(function)
    assert len(stack.catalog.taken) == 3


def test_while_the_function_notifies_nothing_is_written_or_sent(
    stack: Stack,
    function: EventSourceMapping,
    notified: dict[str, Any],
    port: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN a function that is waiting for the catalog's answer
    take, done = stack.catalog._take, []

    def answer(payload: object) -> tuple[int, dict[str, Any]]:
        done.append(tool("renotify", "test-job", "--port", port))  # WHEN
        return take(payload)

    assert tool("renotify", "test-job", "--port", port).returncode == 0
    monkeypatch.setattr(stack.catalog, "_take", answer)
    deliver(function)
    # THEN
    assert [each.returncode for each in done] == [1]
    assert "test-job: the catalog is being notified of it; until 2" in done[0].stderr
    assert len(stack.catalog.taken) == 2
    assert status(stack)["catalog"]["state"] == "NOTIFIED"


def test_a_job_that_is_not_success_or_not_there_is_left_alone_and_the_others_are_done(
    stack: Stack, notified: dict[str, Any], port: str
) -> None:
    started = json.dumps({"stage": "chunk", "status": "STARTED"}).encode()
    stack.s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/started-status.json", Body=started)
    done = tool("renotify", "started", "absent", "test-job", "--json", "--port", port)
    assert done.returncode == 1
    started_said, absent_said, sent = map(json.loads, done.stdout.splitlines())
    assert started_said == {"jobId": "started", "problem": "it is chunk STARTED, not SUCCESS"}
    assert absent_said == {"jobId": "absent", "problem": "it has no status object"}
    assert sent["jobId"] == "test-job"
    found = stack.s3.get_object(Bucket=BUCKET, Key=f"{PREFIX}/started-status.json")["Body"].read()
    assert found == started
    (message,) = stack.sqs.receive_message(QueueUrl=stack.queue_url, MaxNumberOfMessages=10)["Messages"]
    assert message["MessageId"] == sent["messageId"]


def named(stack: Stack, sqs_url: str) -> dict[str, str]:
    """Name the stack as any other is named, so that it does not count as the embedded one."""
    variables = {"OAM_STATUS_SQS_QUEUE_URL": stack.queue_url, "OAM_STATUS_BUCKET": BUCKET}
    return NAMED | variables | {"AWS_ENDPOINT_URL": stack.url, "AWS_ENDPOINT_URL_SQS": sqs_url}


def test_where_the_message_cannot_be_sent_running_it_again_sends_it(
    stack: Stack, function: EventSourceMapping, notified: dict[str, Any]
) -> None:
    # GIVEN an SQS that refuses the message
    denied = json.dumps({"__type": "com.amazonaws.sqs#AccessDenied", "message": "not authorized"})
    with MoveTasks(stack, answers={"SendMessage": (403, denied.encode())}) as tasks:
        done = tool("renotify", "test-job", "--yes", **named(stack, tasks.url))
    # THEN that is said, and that the notification is due, which is true
    assert done.returncode == 1
    assert "test-job: its notification is due, and its message could not be sent: " in done.stderr
    assert status(stack)["catalog"]["state"] == "PENDING"
    # WHEN it is run again
    assert tool("renotify", "test-job", "--yes", **named(stack, stack.url)).returncode == 0
    # THEN
    deliver(function)
    assert len(stack.catalog.taken) == 2


def test_another_stack_is_asked_about_and_left_alone_without_an_answer(
    stack: Stack, notified: dict[str, Any]
) -> None:
    variables = named(stack, stack.url)
    # WHEN there is no terminal
    done = tool("renotify", "test-job", **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    # WHEN the answer is no
    code, shown = at_a_terminal("n", "renotify", "test-job", "absent", **variables)
    assert code == 1
    assert "absent: it has no status object" in shown
    assert f"    test-job: {TARGET}, 2 images\n1 message goes to {stack.queue_url}" in shown
    # THEN nothing is changed, or sent
    assert status(stack) == notified
    assert "Messages" not in stack.sqs.receive_message(QueueUrl=stack.queue_url)


def test_a_claim_that_comes_between_its_read_and_its_write_stands(
    stack: Stack, notified: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN an invocation that claims the notification right before the write
    claimed = notified | {
        "catalog": notified["catalog"]
        | {"state": "PENDING", "claimedUntil": "2999-01-01T00:00:00.000Z", "claimedBy": "an invocation"}
    }
    writes: list[bool] = []

    def come_first(**_: object) -> None:
        writes.append(True)
        if len(writes) == 1:
            stack.s3.put_object(Bucket=BUCKET, Key=KEY, Body=json.dumps(claimed).encode())

    stack.s3.meta.events.register("before-call.s3.PutObject", come_first)
    target = Target(True, stack.url, stack.queue_url, BUCKET, PREFIX, stack.sqs, stack.s3, "")
    # WHEN
    run = _Renotify(target, as_json=False)
    run.send(["test-job"])
    # THEN it stands, and nothing is sent
    assert run.left_alone == 1
    assert "until 2999-01-01" in capsys.readouterr().err
    assert status(stack) == claimed
    assert "Messages" not in stack.sqs.receive_message(QueueUrl=stack.queue_url)

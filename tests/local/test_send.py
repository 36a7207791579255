"""`oam-status send`: bodies reach SQS as they are, in batches, and a job's in the order of their sending."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from local.cli.batches import MOST_BYTES, batches, send_in_batches
from local.cli.main import cli
from local.stack.embedded import Stack
from tests import processes
from tests.conftest import Aws
from tests.factories import body
from tests.local.deployed import deploy
from tests.local.move_tasks import MoveTasks
from tests.local.tools import NAMED, at_a_terminal, tool


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A working copy without the user's `.env`, for make."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "events", "handler", "local"):
        (folder / name).symlink_to(processes.ROOT / name)
    return folder


def event(folder: Path, *bodies: str) -> Path:
    """Write an event file."""
    path = folder / "event.json"
    records = [
        {"eventSource": "aws:sqs", "body": text, "attributes": {"SentTimestamp": str(number)}}
        for number, text in enumerate(bodies)
    ]
    path.write_text(json.dumps({"Records": records}))
    return path


def received(sqs: Any, url: str) -> list[str]:
    """Take all messages of a queue; give their bodies, in the order of their SentTimestamps."""
    messages: list[Any] = []
    while some := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["SentTimestamp"]
    ).get("Messages"):
        messages += some
    messages.sort(key=lambda message: int(message["Attributes"]["SentTimestamp"]))
    return [message["Body"] for message in messages]


# Batches


def test_a_jobs_messages_are_in_different_batches_and_in_order() -> None:
    # GIVEN three messages of each of twelve jobs, and one of no job
    bodies = [
        body("chunk", status, f"job-{number}")
        for number in range(12)
        for status in ("STARTED", "FAILED", "FINISHED")
    ]
    # WHEN
    cut = list(batches([*bodies, "poison"]))
    # THEN they go in as few batches as ten allow, all of them
    assert [len(batch) for batch in cut] == [10, 3, 10, 2, 10, 2]
    assert sorted(text for batch in cut for text in batch) == sorted([*bodies, "poison"])
    # AND a job's are in order, each in a batch of its own
    for number in range(12):
        own = [text for text in bodies if json.loads(text)["jobId"] == f"job-{number}"]
        places = [next(i for i, batch in enumerate(cut) if text in batch) for text in own]
        assert places == sorted(set(places))


def test_a_message_that_the_function_would_refuse_keeps_its_place_in_its_job() -> None:
    refused = json.dumps({"jobId": "test-job", "stage": "none"})
    assert list(batches([refused, body("chunk", "STARTED")])) == [[refused], [body("chunk", "STARTED")]]


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([MOST_BYTES // 2, MOST_BYTES // 2, 1], [2, 1]),
        ([MOST_BYTES // 2, MOST_BYTES // 2 + 1], [1, 1]),
        ([MOST_BYTES + 1, 1], [1, 1]),
        ([1] * 11, [10, 1]),
    ],
    ids=["as large as SQS takes", "one byte more", "one alone too large", "more than ten"],
)
def test_a_batch_is_no_larger_than_sqs_takes(sizes: list[int], lengths: list[int]) -> None:
    assert [len(batch) for batch in batches("x" * size for size in sizes)] == lengths


def test_a_bodys_size_is_that_of_its_bytes() -> None:
    assert [len(batch) for batch in batches(["ü" * (MOST_BYTES // 4), "ü" * (MOST_BYTES // 4), "ü"])] == [
        2,
        1,
    ]


BODIES = {
    "130,999 characters and more": "x" * 131_000,
    "as large as SQS takes": "ü" * 524_288,
    "an option": "--help",
    "a dash": "-",
    "a file's name": "@/etc/hostname",
    "line breaks": "a\nb\r\nc\td\n",
    "quotes and a shell's signs": "'\"$(id)`id`\\ ; | & *",
    "spaces": "  a  ",
    "a JSON message": body("chunk", "STARTED"),
}


def test_bodies_arrive_as_they_are(stack: Stack, tmp_path: Path, port: str) -> None:
    done = tool("send", str(event(tmp_path, *BODIES.values())), "--port", port)
    assert done.returncode == 0, done.stderr
    assert sorted(received(stack.sqs, stack.queue_url)) == sorted(BODIES.values())
    assert len(done.stdout.splitlines()) == len(BODIES)


@pytest.mark.parametrize("name", ["full-job", "malformed-mosaic-failure"])
def test_a_file_of_ours_is_sent_in_the_order_of_the_timestamps(
    stack: Stack, port: str, checkout: Path, name: str
) -> None:
    path = processes.ROOT / "events" / f"{name}.json"
    records = json.loads(path.read_text())["Records"]
    # With this very Python, and no .venv that make might set up anew.
    command = ["make", "--no-print-directory", "--assume-old=setup", f"BIN={Path(sys.executable).parent}"]
    done = processes.run([*command, "send", f"EVENT={path}", f"ARGS=--port {port}"], cwd=checkout)
    records.sort(key=lambda record: int(record["attributes"]["SentTimestamp"]))
    assert done.returncode == 0, done.stderr
    assert received(stack.sqs, stack.queue_url) == [record["body"] for record in records]


def test_what_sqs_does_not_take_of_a_batch_is_named_and_nothing_more_is_sent(
    stack: Stack, aws: Aws, tmp_path: Path
) -> None:
    # GIVEN an SQS that takes one message of a batch, and not the other
    answer = {
        "Successful": [{"Id": "0", "MessageId": "the-first", "MD5OfMessageBody": "0" * 32}],
        "Failed": [{"Id": "1", "Code": "InternalError", "Message": "try again", "SenderFault": False}],
    }
    bodies = [body("chunk", status, job) for status in ("STARTED", "FAILED") for job in ("a", "b")]
    with MoveTasks(stack, answers={"SendMessageBatch": (200, json.dumps(answer).encode())}) as tasks:
        variables = NAMED | {"AWS_ENDPOINT_URL": tasks.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
        # WHEN
        done = tool("send", "--yes", str(event(tmp_path, *bodies)), **variables)
    # THEN
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["the-first"]
    assert f"    {bodies[1]}\n        InternalError: try again\nSent 1 of 4 messages." in done.stderr
    assert tasks.calls["SendMessageBatch"] == 1


def test_a_jobs_messages_are_so_far_apart_that_their_times_differ(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.cli.batches.JUST_APART", 0.05)  # which an SQS on this machine does not take
    bodies = [body("chunk", "STARTED", n=number) for number in range(3)]
    sent = [each for batch in send_in_batches(stack.sqs, stack.queue_url, bodies) for each in batch]
    messages = stack.sqs.receive_message(
        QueueUrl=stack.queue_url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["SentTimestamp"]
    )["Messages"]
    messages.sort(key=lambda message: int(message["Attributes"]["SentTimestamp"]))
    assert [message["MessageId"] for message in messages] == [each.message_id for each in sent]
    times = [int(message["Attributes"]["SentTimestamp"]) for message in messages]
    assert min(times[1] - times[0], times[2] - times[1]) >= 50


def test_half_a_surrogate_pair_is_no_message(tmp_path: Path) -> None:
    done = tool("send", str(event(tmp_path, "\ud800")), "--port", "9")
    assert done.returncode == 2
    assert "is not an SQS event" in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        ("a folder", "Is a directory"),
        ("[", "is not JSON"),
        ("{}", "is not an SQS event"),
    ],
)
def test_a_file_that_is_no_event_is_a_usage_error(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "event.json"
    if content == "a folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    shown = CliRunner().invoke(cli, ["send", str(path), "--port", "9"])
    assert shown.exit_code == 2
    assert said in shown.output
    assert "Stack:" not in shown.output


def test_an_empty_body_is_a_usage_error(tmp_path: Path) -> None:
    for arguments in (["--body", ""], [str(event(tmp_path, "x", ""))]):
        shown = CliRunner().invoke(cli, ["send", *arguments, "--port", "9"])
        assert shown.exit_code == 2
        assert "A body is empty: SQS takes no such message." in shown.output


# One message


def test_one_message_is_sent_by_its_body_and_said_to_machines(stack: Stack, port: str) -> None:
    done = tool("send", "--body", " a\r\nb", "--json", "--port", port)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["body"] == " a\r\nb"
    assert received(stack.sqs, stack.queue_url) == [" a\r\nb"]


@pytest.mark.parametrize("arguments", [[], ["x.json", "--body", "x"], ["--body", "\udcff"]])
def test_neither_a_file_nor_a_body_or_both_is_a_usage_error(arguments: list[str]) -> None:
    done = tool("send", *arguments, "--port", "9")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Stack:" not in done.stderr


# To a deployed stack


def test_a_deployed_stack_is_found_by_its_name_and_asked_about(aws: Aws, tmp_path: Path) -> None:
    name = deploy(aws)
    variables = {name: value for name, value in NAMED.items() if name.startswith("AWS")}
    variables["AWS_ENDPOINT_URL"] = aws.url
    path = str(event(tmp_path, "a\r\nb"))
    # WHEN there is no terminal, THEN nothing is sent
    done = tool("send", path, "--stack", name, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].startswith(f"Stack: {name}, ")
    assert "--yes" in done.stderr
    # WHEN it is agreed to beforehand, THEN the body arrives as it is
    done = tool("send", path, "--stack", name, "--yes", **variables)
    assert done.returncode == 0, done.stderr
    sqs = aws.client("sqs")
    assert received(sqs, sqs.get_queue_url(QueueName=f"{name}-status")["QueueUrl"]) == ["a\r\nb"]


def test_a_stack_that_is_not_there_is_a_configuration_error(aws: Aws) -> None:
    variables = {name: value for name, value in NAMED.items() if name.startswith("AWS")}
    done = tool("send", "--body", "x", "--stack", "nope", "--yes", AWS_ENDPOINT_URL=aws.url, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert "The stack nope can't be read" in done.stderr


# To the queue that is named


def test_without_a_terminal_and_yes_nothing_is_sent_to_a_named_queue(stack: Stack, tmp_path: Path) -> None:
    variables = NAMED | {"AWS_ENDPOINT_URL": stack.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
    done = tool("send", str(event(tmp_path, "x")), **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert received(stack.sqs, stack.queue_url) == []
    assert tool("send", "--yes", str(event(tmp_path, "x")), **variables).returncode == 0
    assert received(stack.sqs, stack.queue_url) == ["x"]


@pytest.mark.parametrize(("answer", "code", "count"), [("y", 0, 1), ("n", 1, 0)])
def test_at_a_terminal_it_shows_the_messages_and_asks(
    stack: Stack, tmp_path: Path, answer: str, code: int, count: int
) -> None:
    variables = NAMED | {"AWS_ENDPOINT_URL": stack.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
    done, shown = at_a_terminal(answer, "send", str(event(tmp_path, "the body\x1b[31m")), **variables)
    assert done == code, shown
    assert f"    the body\\x1b[31m\n1 message goes to {stack.queue_url}\nGo on? [y/N]" in shown
    assert len(received(stack.sqs, stack.queue_url)) == count


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["dead-letters", "ARGS=--json"], "dead-letters --json"),
        (["redrive", "RATE=5", "ALL=1"], "redrive --rate 5 --all"),
        (["redrive", "JOB=a b", "MESSAGE=c"], "redrive --job a --job b --message c"),
        (["send", "EVENT=x.json", "STACK=my stack"], "send x.json --stack my stack"),
        (["renotify", "JOB=a b"], "renotify a b"),
    ],
)
def test_a_target_of_the_makefile_is_a_thin_name_for_its_command(
    checkout: Path, arguments: list[str], command: str
) -> None:
    done = processes.run(["make", "--assume-old=setup", "--dry-run", *arguments], cwd=checkout, check=True)
    words = shlex.split(done.stdout.replace("\\\n", ""))
    assert " ".join(words[words.index("local.cli") + 1 :]) == command

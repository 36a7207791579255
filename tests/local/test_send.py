"""`make send`: what goes to a deployed stack goes through sam, each body in a file."""

import json
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from local.stack.embedded import Stack
from tests import processes
from tests.factories import body
from tests.local.tools import NAMED, at_a_terminal, tool

# Keeps what it was given: its arguments, and the content of the file that they name.
FAKE_SAM = """#!/bin/sh
n=$(ls "{folder}" | wc -l)
printf '%s\\n' "$@" > "{folder}/$n.arguments"
for argument; do
    case $argument in --event-file=*) cat "${{argument#--event-file=}}" > "{folder}/$n.body" ;; esac
done
[ "$n" -lt {fails_at} ]
"""


class Sam:
    """A command that stands in for sam."""

    def __init__(self, folder: Path, fails_at: int = 999) -> None:
        self.folder, self.path = folder / "given", folder / "fake-sam"
        self.folder.mkdir()
        self.path.write_text(FAKE_SAM.format(folder=self.folder, fails_at=fails_at))
        self.path.chmod(0o755)

    @property
    def bodies(self) -> list[bytes]:
        paths = sorted(self.folder.glob("*.body"), key=lambda path: int(path.stem))
        return [path.read_bytes() for path in paths]

    @property
    def arguments(self) -> list[list[str]]:
        paths = sorted(self.folder.glob("*.arguments"), key=lambda path: int(path.stem))
        return [path.read_text().splitlines() for path in paths]


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


def make_send(checkout: Path, sam: Sam, path: Path, *more: str) -> "CompletedProcess[str]":
    # With this very Python, and no .venv that make might set up anew.
    command = ["make", "--no-print-directory", "--assume-old=setup", f"BIN={Path(sys.executable).parent}"]
    command += ["send", f"EVENT={path}", "STACK=my-stack", f"SAM={sam.path}"]
    return processes.run([*command, *more], cwd=checkout)


BODIES = {
    "130,999 characters and more": "x" * 131_000,
    "as large as SQS takes": "ü" * 524_288,
    "an option": "--help",
    "a dash": "-",
    "a file's name": "@/etc/hostname",
    "line breaks and a NUL's neighbour": "a\nb\r\nc\x01d\n",
    "quotes and a shell's signs": "'\"$(id)`id`\\ ; | & *",
    "spaces": "  a  ",
    "a JSON message": body("chunk", "STARTED"),
}


def test_bodies_come_by_file_as_they_are_in_the_order_of_their_sending(
    tmp_path: Path, checkout: Path
) -> None:
    # GIVEN an event file with bodies that no command line takes
    sam = Sam(tmp_path)
    # WHEN
    done = make_send(checkout, sam, event(tmp_path, *BODIES.values()), "ARGS=--yes")
    # THEN sam got each as it is
    assert done.returncode == 0, done.stderr
    assert sam.bodies == [text.encode() for text in BODIES.values()]
    # AND was told of the stack's queue, and of nothing else
    for arguments in sam.arguments:
        assert arguments[:4] == ["remote", "invoke", "StatusQueue", "--stack-name=my-stack"]
        assert [argument.startswith("--event-file=") for argument in arguments[4:]] == [True]
    # AND the files are gone
    assert not [arguments for arguments in sam.arguments if Path(arguments[4].split("=")[1]).exists()]


@pytest.mark.parametrize("name", ["full-job", "malformed-mosaic-failure"])
def test_a_file_of_ours_is_sent_in_the_order_of_the_timestamps(
    tmp_path: Path, checkout: Path, name: str
) -> None:
    path = processes.ROOT / "events" / f"{name}.json"
    records = json.loads(path.read_text())["Records"]
    sam = Sam(tmp_path)
    done = make_send(checkout, sam, path, "ARGS=--yes")
    records.sort(key=lambda record: int(record["attributes"]["SentTimestamp"]))
    assert done.returncode == 0, done.stderr
    assert sam.bodies == [record["body"].encode() for record in records]


def test_without_a_terminal_and_yes_nothing_is_sent_to_a_stack(tmp_path: Path, checkout: Path) -> None:
    sam = Sam(tmp_path)
    done = make_send(checkout, sam, event(tmp_path, "x"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("Stack: my-stack, ")
    assert "--yes" in done.stderr
    assert sam.arguments == []


def test_when_sam_fails_it_stops_and_says_how_many_were_sent(tmp_path: Path, checkout: Path) -> None:
    sam = Sam(tmp_path, fails_at=2)  # after the first's two files
    done = make_send(checkout, sam, event(tmp_path, "a", "b", "c"), "ARGS=--yes")
    assert done.returncode == 2  # make's
    assert "sam could not send this message: b" in done.stderr
    assert "Sent 1 of 3 messages." in done.stderr
    assert len(sam.arguments) == 2


def test_where_there_is_no_sam_that_is_said(tmp_path: Path) -> None:
    done = tool("send", str(event(tmp_path, "a")), "--stack", "s", "--sam", "/nowhere/sam", "--yes")
    assert done.returncode == 1
    assert "/nowhere/sam: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_sam_itself_knows_these_options() -> None:
    done = processes.run([Path(sys.executable).parent / "sam", "remote", "invoke", "--help"])
    assert "--stack-name" in done.stdout
    assert "--event-file" in done.stdout


def test_half_a_surrogate_pair_is_no_message(tmp_path: Path) -> None:
    done = tool("send", str(event(tmp_path, "\ud800")), "--port", "9")
    assert done.returncode == 1
    assert "is not an SQS event" in done.stderr


# To the queue that is named


def sent(stack: Stack) -> list[Any]:
    return stack.sqs.receive_message(QueueUrl=stack.queue_url).get("Messages", [])


def test_without_a_terminal_and_yes_nothing_is_sent_to_a_named_queue(stack: Stack, tmp_path: Path) -> None:
    variables = NAMED | {"AWS_ENDPOINT_URL": stack.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
    done = tool("send", str(event(tmp_path, "x")), **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert sent(stack) == []
    assert tool("send", "--yes", str(event(tmp_path, "x")), **variables).returncode == 0
    assert [message["Body"] for message in sent(stack)] == ["x"]


@pytest.mark.parametrize(("answer", "code", "count"), [("y", 0, 1), ("n", 1, 0)])
def test_at_a_terminal_it_shows_the_messages_and_asks(
    stack: Stack, tmp_path: Path, answer: str, code: int, count: int
) -> None:
    variables = NAMED | {"AWS_ENDPOINT_URL": stack.url, "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url}
    done, shown = at_a_terminal(answer, "send", str(event(tmp_path, "the body\x1b[31m")), **variables)
    assert done == code, shown
    assert f"    the body\\x1b[31m\n1 messages go to {stack.queue_url}\nGo on? [y/N]" in shown
    assert len(sent(stack)) == count

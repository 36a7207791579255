"""The pages show what `oam-status` and `make start` print: all that is shown is run here, in the page's order."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.stack.embedded import DEAD_LETTER_QUEUE, sqs_client
from tests import processes
from tests.docs.pages import DOCS, blocks
from tests.factories import body
from tests.ports import free_port

PAGE = DOCS / "oam-status.md"
WRITES = {"send", "redrive", "renotify"}
SECONDS = 20  # until a command that only reads prints what the page shows: the function may still be at work

# What differs from run to run.
_CHANGING = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"http://127\.0\.0\.1:\d+", "<url>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|\d\d:\d\d:\d\d(\.\d{3})?", "<time>"),
    (r"\d{4}-\d\d-\d\d", "<day>"),
    (r"\+?\b\d+(\.\d+)? ?(ms|s|min|m)\b", "<while>"),
    (r"(<while> ?)+", "<while> "),
    (r"<while> \s*\d+ ", "<while> <received> "),  # the looks are counted
    (r"\s+", " "),  # the columns' widths, and where lines are folded
)


def steady(text: str) -> str:
    """Return what of an output is the same in each run."""
    for pattern, sign in _CHANGING:
        text = re.sub(pattern, sign, text)
    return text.strip()


def shown() -> list[tuple[str, str]]:
    """Return the page's commands, each with its output."""
    steps = [re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] for block in blocks(PAGE, "console")]
    parts = [step.partition("\n") for block in steps for step in block]
    return [(command, output) for command, _, output in parts]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the file of what `make start` prints."""
    return tmp_path / "log"


@pytest.fixture
def run(log: Path) -> Iterator[Callable[[str], str]]:
    """Run one of the page's commands, beside `make start` with two dead letters, one of them poison."""
    port = str(free_port())
    variables = processes.environment(COLUMNS="80", PYTHONUNBUFFERED="1")

    def run_command(command: str) -> str:
        words = shlex.split(command.replace(" events/", f" {processes.ROOT}{os.sep}events/"))[1:]
        run = processes.run_oam_status([*words, "--port", port], env=variables, one_stream=True)
        # (jobs, before the function has written one, says so by its exit code, too.)
        return run.stdout + (f"exit code {run.returncode}\n" if run.returncode else "")

    start = [sys.executable, "-m", "local.cli.start", "--port", port]
    with (
        log.open("w") as stdout,
        processes.start(start, env=variables, stdout=stdout, stderr=subprocess.PIPE) as function,
    ):
        try:
            assert function.stderr
            said = ""
            while "Ctrl-C ends it" not in said:
                line = function.stderr.readline()
                assert line, said
                said += line
            sqs = sqs_client(f"http://127.0.0.1:{port}")
            url = sqs.get_queue_url(QueueName=DEAD_LETTER_QUEUE)["QueueUrl"]
            for text in (body("chunk", "STARTED", "scene-17"), "chunk of scene-18 is done"):
                sqs.send_message(QueueUrl=url, MessageBody=text)
            yield run_command
        finally:
            function.kill()


def lines_of_start(text: str) -> set[str]:
    """Return what `make start` printed, but for what depends on the batches: which messages came together."""
    return {re.sub(r"published: .*", "published", steady(line)) for line in text.splitlines()}


def test_each_command_prints_what_the_page_shows(run: Callable[[str], str], log: Path) -> None:
    steps = shown()
    assert {command.split()[1] for command, _ in steps} >= {"jobs", "job", "dead-letters", "doctor"} | WRITES
    for command, output in steps:
        end = time.monotonic() + SECONDS
        printed = run(command)
        while (
            steady(printed) != steady(output) and time.monotonic() < end and command.split()[1] not in WRITES
        ):
            time.sleep(0.3)
            printed = run(command)
        assert steady(printed) == steady(output), f"{command}\n{printed}"
    # AND `make start` what its page shows, of this job and of a message that is none
    run("oam-status send --body 'chunk of test-job is done'")
    expected = lines_of_start(blocks(DOCS / "local.md", "")[1])
    assert len(expected) == 3
    end = time.monotonic() + SECONDS
    while not expected <= lines_of_start(log.read_text()) and time.monotonic() < end:
        time.sleep(0.1)
    assert expected <= lines_of_start(log.read_text())

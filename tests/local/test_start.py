"""`make start`, `make send` and `make show`, as people run them: as processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from local.cli.queues import attributes
from local.packaging.make_events import FOLDER
from local.stack.aws_server import aws_server
from local.stack.embedded import BUCKET, PREFIX, QUEUE, s3_client, sqs_client
from tests import processes
from tests.conftest import Aws
from tests.integration.fault_proxy import FaultProxy
from tests.local.tools import module_of, tool
from tests.ports import free_port

ROOT = FOLDER.parent


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a tool to its end in a folder without `.env`."""

    def run_tool(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        module, words = module_of(name, *arguments)
        environment = processes.environment(**variables)
        return processes.run_loaded(module, words, cwd=tmp_path, env=environment, timeout=30)

    return run_tool


@contextmanager
def started(folder: Path, *arguments: str, **variables: str) -> Iterator[BaseProcess]:
    """Run `make start`'s program; whatever happens it ends with the context."""
    out, errors = folder / "out", folder / "errors"
    for path in (out, errors):
        path.touch()
    process = processes.start_loaded(
        "local.cli.start",
        arguments,
        cwd=folder,
        env=processes.environment(**variables),
        streams=(os.devnull, out, errors),
    )
    try:
        wait_for(lambda: "Ctrl-C ends it" in errors.read_text() or not process.is_alive())
        yield process
    finally:
        process.kill()
        process.join()


def ended_by(process: BaseProcess, number: signal.Signals) -> int | None:
    """Send a signal; give the exit code, None where the process goes on."""
    assert process.pid
    os.kill(process.pid, number)
    process.join(10)
    return process.exitcode


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until a condition holds, and give what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@pytest.fixture
def port() -> int:
    return free_port()


def test_an_embedded_stack_publishes_what_is_sent_to_it_until_it_is_interrupted(
    tmp_path: Path, port: int, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    # GIVEN nothing configured but an AWS profile, and the program running
    option = ("--port", str(port))
    with started(tmp_path, *option, AWS_PROFILE="mine") as process:
        # WHEN an event file is sent
        sent = run("send", str(FOLDER / "full-job.json"), *option)

        # THEN it says so, in the order of the SentTimestamps
        assert (sent.returncode, sent.stderr) == (0, f"Stack: embedded, at http://127.0.0.1:{port}\n")
        assert [line.split('"')[11] for line in sent.stdout.splitlines()] == [
            "STARTED", "FINISHED", "STARTED", "FINISHED"
        ]  # fmt: skip

        # AND the job's status is published, and the catalog told
        def told() -> Any:
            shown = run("job", "test-job", "--json", *option)
            status = json.loads(shown.stdout) if shown.returncode == 0 else {}
            return status if status.get("catalog", {}).get("state") == "NOTIFIED" else None

        assert wait_for(told)["status"] == "SUCCESS"
        assert "test-job" in run("jobs", *option).stdout
        s3_client(f"http://127.0.0.1:{port}").head_object(Bucket=BUCKET, Key=f"{PREFIX}/test-job-status.json")

        # AND Ctrl-C ends it at once, though it is in a long poll
        assert ended_by(process, signal.SIGINT) == 0
    errors = (tmp_path / "errors").read_text()
    assert "Traceback" not in errors
    # AND what came of each message alone is on stdout, in lines for people
    lines = (tmp_path / "out").read_text().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d  test-job            \S", line) for line in lines)
    assert lines[-1].endswith("catalog notified: https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png")


def test_sigterm_ends_it_too(tmp_path: Path, port: int) -> None:
    with started(tmp_path, "--port", str(port)) as process:
        assert ended_by(process, signal.SIGTERM) == 0


def test_a_port_that_a_test_names_is_none_that_the_system_may_give_to_another() -> None:
    assert all(1_024 <= free_port() < 32_767 for _ in range(200))


def test_a_busy_port_is_told(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    # GIVEN a port that something listens on, and one before it
    port = free_port()
    with socket.create_server(("127.0.0.1", port + 1)):
        # WHEN the program is to have the one, for S3 and SQS, or for the catalog
        for wanted in (port, port + 1):
            result = run("start", "--port", str(wanted))

            # THEN it names the one that is taken
            assert result.returncode == 1
            assert f"Cannot serve on 127.0.0.1:{port + 1}: " in result.stderr
            assert "Address already in use" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_address_that_this_machine_does_not_have_is_told(
    run: Callable[..., subprocess.CompletedProcess[str]], port: int
) -> None:
    # WHEN the embedded stack is to listen on one, of those that are kept for documentation
    result = run("start", "--port", str(port), "--host", "192.0.2.1")

    # THEN it says so
    assert result.returncode == 1
    assert f"Cannot serve on 127.0.0.1:{port} and 192.0.2.1:{port}: Cannot assign" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_part_of_the_configuration_is_not_enough_and_all_that_is_missing_is_named(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    # WHEN only the bucket is configured
    result = run("start", OAM_STATUS_BUCKET="bucket", OAM_STATUS_PREFIX="")

    # THEN all that is missing is named at once, and no embedded stack is run
    assert result.returncode == 2
    for name in (
        "OAM_STATUS_SQS_QUEUE_URL",
        "OAM_STATUS_PREFIX",
        "AWS_DEFAULT_REGION",
        "OAM_API_TOKEN",
        "AWS_ACCESS_KEY_ID",
    ):
        assert f"{name} " in result.stderr, name
    assert "this is the embedded stack" not in result.stderr
    assert "Traceback" not in result.stderr


REAL = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "us-east-1",
    "OAM_STATUS_BUCKET": "real-bucket",
    "OAM_STATUS_PREFIX": "real",
    "MOCK_OAM_API": "true",
}


def test_a_queue_that_does_not_answer_is_told(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    # GIVEN everything configured, but nothing listening
    url = "http://127.0.0.1:9"

    # WHEN the program is started
    result = run("start", AWS_ENDPOINT_URL=url, OAM_STATUS_SQS_QUEUE_URL=f"{url}/1/q", **REAL)

    # THEN it says so
    assert result.returncode == 2
    assert f"Cannot read the queue {url}/1/q" in result.stderr
    assert "Traceback" not in result.stderr


def test_with_an_env_file_it_polls_the_queue_that_is_named_there(tmp_path: Path) -> None:
    # GIVEN a queue and a bucket somewhere else, and a .env that names them
    with aws_server() as url:
        s3, sqs = s3_client(url), sqs_client(url)
        s3.create_bucket(Bucket="real-bucket")
        queue_url = sqs.create_queue(QueueName=f"{QUEUE}-real")["QueueUrl"]
        variables = REAL | {"AWS_ENDPOINT_URL": url, "OAM_STATUS_SQS_QUEUE_URL": queue_url}
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

        # WHEN the program runs, and a message is sent there
        with started(tmp_path) as process:
            sent = tool("send", "--yes", str(FOLDER / "chunk-started.json"), cwd=tmp_path)
            assert sent.returncode == 0, sent.stderr

            # THEN it is published there
            wait_for(lambda: s3.list_objects_v2(Bucket="real-bucket").get("Contents"))
            assert ended_by(process, signal.SIGINT) == 0
        # (and the object with which the store was tried before is gone)
        (listed,) = s3.list_objects_v2(Bucket="real-bucket")["Contents"]
        assert listed["Key"] == "real/test-job-status.json"
    # AND the same is said as of the embedded stack
    assert (tmp_path / "out").read_text()[8:] == "  test-job            published: chunk STARTED\n"


def test_json_is_the_functions_log_as_it_is(tmp_path: Path, port: int) -> None:
    # GIVEN the program with --json
    url = f"http://127.0.0.1:{port}"
    with started(tmp_path, "--port", str(port), "--json") as process:
        # WHEN a message is sent
        sqs_client(url).send_message(QueueUrl=f"{url}/123456789012/{QUEUE}", MessageBody="poison")
        wait_for(lambda: "_aws" in (tmp_path / "out").read_text())
        assert ended_by(process, signal.SIGINT) == 0

    # THEN its log is on stdout, metrics too
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [line.get("message") for line in lines] == ["Message refused", None]


def test_a_reader_that_went_away_ends_it_quietly_and_no_message_is_lost(tmp_path: Path, port: int) -> None:
    # GIVEN the program, and nothing that reads its lines any more
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "local.cli.start", "--port", str(port)]
    with processes.start(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stderr
            while "Ctrl-C ends it" not in process.stderr.readline():
                assert process.poll() is None
            process.stdout.close()

            # WHEN a message comes
            body = '{"jobId": "a-job", "stage": "chunk", "status": "STARTED"}'
            sqs_client(url).send_message(QueueUrl=f"{url}/123456789012/{QUEUE}", MessageBody=body)

            # THEN it ends after the batch, and says nothing
            assert process.wait(15) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_store_that_ignores_conditions_is_refused_before_anything_is_received(
    aws: Aws, run: Callable[..., subprocess.CompletedProcess[str]], name: str
) -> None:
    # GIVEN a store in the place of S3 that takes every write
    def ignores_conditions(_: str, headers: dict[str, str]) -> None:
        headers.pop("If-None-Match", None)

    sqs = sqs_client(aws.url)
    queue_url = sqs.create_queue(QueueName=f"careless-{name.lower()}")["QueueUrl"]
    sqs.send_message(QueueUrl=queue_url, MessageBody="poison")
    with FaultProxy(aws.url, meddle=ignores_conditions) as proxy:
        variables = REAL | {"AWS_ENDPOINT_URL": aws.url, name: proxy.url, "OAM_STATUS_BUCKET": aws.bucket}

        # WHEN the program is started
        result = run("start", OAM_STATUS_SQS_QUEUE_URL=queue_url, **variables)

    # THEN it says what the store does, and what to do, and has received nothing
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{proxy.url} were tried before polling: takes If-None-Match" in result.stderr
    assert "Use a store that honours conditional writes" in result.stderr
    assert attributes(sqs, queue_url, "ApproximateNumberOfMessages") == {"ApproximateNumberOfMessages": "1"}
    assert "Contents" not in aws.s3.list_objects_v2(Bucket=aws.bucket)


@contextmanager
def working(folder: Path, port: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Run the program, and have it at work on a message, which takes it so long."""
    slow = (
        "import sys, time, local.cli.start as start\n"
        "imported = start._handler\n"
        "def slow_handler():\n"
        "    handler = imported()\n"
        "    def slow(event, context):\n"
        "        print('working', file=sys.__stdout__, flush=True)\n"
        f"        time.sleep({seconds})\n"
        "        return handler(event, context)\n"
        "    return slow\n"
        "start._handler = slow_handler\n"
        "start.main()\n"
    )
    command = [sys.executable, "-c", slow, "--port", str(port)]
    with processes.start(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr
            assert process.stdout
            while "Ctrl-C ends it" not in process.stderr.readline():
                assert process.poll() is None
            sqs = sqs_client(f"http://127.0.0.1:{port}")
            queue_url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
            body = '{"jobId": "slow-job", "stage": "chunk", "status": "STARTED"}'
            sqs.send_message(QueueUrl=queue_url, MessageBody=body)
            assert process.stdout.readline() == "working\n"
            yield process
        finally:
            process.kill()


def test_a_signal_lets_the_batch_in_hand_finish(tmp_path: Path, port: int) -> None:
    # GIVEN the program at work on a message
    with working(tmp_path, port, seconds=1) as process:
        # WHEN it is interrupted
        process.send_signal(signal.SIGINT)
        done, errors = process.communicate(timeout=15)

    # THEN it has done that message before it ended
    assert process.returncode == 0
    assert "Ending after the batch in hand" in errors
    assert "slow-job            published: chunk STARTED" in done


def test_a_second_signal_does_not_wait_for_the_batch(tmp_path: Path, port: int) -> None:
    # GIVEN the program at work on a message, for long
    with working(tmp_path, port, seconds=60) as process:
        # WHEN it is interrupted twice
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert "Ending after the batch in hand" in process.stderr.readline()
        process.send_signal(signal.SIGINT)

        # THEN it ends at once
        assert process.wait(5) == 130


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("{", "is not JSON"),
        ("[]", "is not an SQS event"),
        ('{"Records": [{"eventSource": "aws:s3"}]}', "is not an SQS event"),
    ],
)
def test_a_file_that_is_no_sqs_event_is_not_sent(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]], content: str | None, reason: str
) -> None:
    # GIVEN such a file
    path = tmp_path / "event.json"
    if content is not None:
        path.write_text(content)

    # WHEN it is to be sent
    result = run("send", str(path))

    # THEN the reason is told
    assert result.returncode == 2
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["send", str(FOLDER / "full-job.json")],
        ["jobs"],
        ["job", "test-job"],
    ],
)
def test_where_nothing_listens_that_is_told(
    run: Callable[..., subprocess.CompletedProcess[str]], command: list[str], port: int
) -> None:
    # WHEN there is no embedded stack
    result = run(*command, "--port", str(port))

    # THEN that is said, and how to start one
    assert result.returncode == 1
    assert "make start" in result.stderr
    assert "Traceback" not in result.stderr


def test_sample_env_names_every_variable_and_configures_nothing(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    # GIVEN sample.env as .env, as it stands
    sample = (ROOT / "sample.env").read_text()
    (tmp_path / ".env").write_text(sample)

    # WHEN something is to be sent
    result = run("send", str(FOLDER / "full-job.json"), "--port", "9")

    # THEN it goes to the embedded stack
    assert "Nothing listens at http://127.0.0.1:9" in result.stderr
    for name in (
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
        "OAM_STATUS_SQS_QUEUE_URL", "OAM_CATALOG_URL", "OAM_API_TOKEN", "OAM_STATUS_BUCKET",
        "OAM_STATUS_PREFIX", "OAM_TILES_URL", "DEBUG", "MOCK_OAM_API",
    ):  # fmt: skip
        assert f"\n{name}=" in sample or f"\n#{name}=" in sample, name

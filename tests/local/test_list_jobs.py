"""`oam-status jobs`, as people run it."""

import json
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from handler.job_status import JobStatus, fold
from handler.status_object import to_json
from local.cli import job_reader
from local.cli.jobs import Listed
from local.stack.http_server import Answer, Request, Script
from tests import processes
from tests.conftest import Aws
from tests.factories import event
from tests.integration.fault_proxy import FaultProxy
from tests.local.tools import NAMED, at_a_terminal, program, tool
from tools.bench.jobs import bucket


def content(stage: str, status: str, catalog: dict[str, Any] | None = None) -> bytes:
    found = fold(JobStatus(), [event(stage, status)])
    return to_json("job", replace(found, catalog=catalog or {}))


@pytest.fixture
def variables(aws: Aws) -> dict[str, str]:
    """A bucket with a job of each kind and a foreign object, and what names it."""
    aws.put("status/a-started-status.json", content("chunk", "STARTED"))
    aws.put("status/b-failed-status.json", content("mosaic", "FAILED"))
    aws.put("status/c-told-status.json", content("mosaic", "FINISHED", {"state": "NOTIFIED"}))
    aws.put(
        "status/d-refused-status.json",
        content("mosaic", "FINISHED", {"state": "FAILED", "attempts": 1, "error": "HTTP 400: no"}),
    )
    aws.put("status/e-foreign-status.json", b"[]")
    return named(aws)


def named(aws: Aws, url: str = "") -> dict[str, str]:
    return NAMED | {"AWS_ENDPOINT_URL": url or aws.url, "OAM_STATUS_BUCKET": aws.bucket}


def test_the_jobs_are_a_table_with_totals_and_a_foreign_object_is_a_line_of_it(
    variables: dict[str, str],
) -> None:
    # WHEN they are listed, in a pipe
    done = tool("jobs", **variables)
    # THEN there is a line for each, and what is wrong is in the exit code, too
    assert done.returncode == 1, done.stderr
    head, *rows, objects, counts = done.stdout.splitlines()
    assert head.split() == ["job", "stage", "and", "status", "attempt", "age", "catalog"]
    # (In which of the seconds they were written, and so their order, is the server's.)
    assert sorted(re.sub(r"\d+s", "AGE", row).split() for row in rows) == [
        ["a-started", "chunk", "STARTED", "1", "AGE", "-"],
        ["b-failed", "mosaic", "FAILED", "1", "AGE", "-"],
        ["c-told", "COMPLETE", "SUCCESS", "1", "AGE", "NOTIFIED"],
        ["catalog:", "HTTP", "400:", "no"],
        ["d-refused", "COMPLETE", "SUCCESS", "1", "AGE", "FAILED"],
        ["so", "many", "errors"],
        ["status/e-foreign-status.json:", "not", "a", "JSON", "object:", "it", "is", "a", "JSON", "array"],
    ]
    assert objects == "5 objects."
    assert counts == "2 SUCCESS, 1 FAILED, 1 STARTED; catalog: 1 FAILED, 1 NOTIFIED; no status object: 1."
    assert all(len(line) <= 80 for line in [head, *rows])
    # AND which stack it is stands first, on stderr alone
    assert done.stderr.startswith("Stack: ")
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("option", "names"),
    [
        (["--failed"], ["b-failed", "e-foreign"]),
        (["--not-notified"], ["d-refused", "e-foreign"]),
        (["--stuck", "1d"], []),
    ],
)
def test_machines_get_the_jobs_that_are_asked_for_one_a_line(
    variables: dict[str, str], option: list[str], names: list[str]
) -> None:
    done = tool("jobs", "--json", *option, **variables)
    assert sorted(json.loads(line)["jobId"] for line in done.stdout.splitlines()) == names, done.stderr
    assert done.returncode == (1 if names else 0)


def test_two_kinds_at_once_and_what_is_no_duration_are_usage_errors(variables: dict[str, str]) -> None:
    both, wrong = (
        tool("jobs", "--failed", "--stuck", "1h", **variables),
        tool("jobs", "--since", "2w", **variables),
    )
    assert (both.returncode, wrong.returncode) == (2, 2)
    assert "No job is of two kinds" in both.stderr
    assert "'2w' is no duration" in wrong.stderr


def test_what_the_listing_rules_out_is_not_asked_for(aws: Aws, variables: dict[str, str]) -> None:
    # WHEN the newest are wanted, and none was silent for so long
    with FaultProxy(aws.url) as proxy:
        newest = tool("jobs", "--limit", "2", **named(aws, proxy.url))
        silent = tool("jobs", "--stuck", "1h", **named(aws, proxy.url))
    # THEN those alone are read
    assert [path for _, path in proxy.requests if "status.json" not in path] == [
        path for _, path in proxy.requests if "list-type=2" in path
    ]
    assert len([path for _, path in proxy.requests if "status.json" in path]) == 2
    assert "5 objects, the newest 2 shown (--all shows all)." in newest.stdout
    assert (silent.returncode, silent.stdout) == (0, "0 stuck, of 5 objects.\n")


def test_machines_get_all_of_more_objects_than_are_read_at_once_and_nothing_else_is_said() -> None:
    # GIVEN many, in a store that keeps connections open
    with bucket(200, latency=5) as url:
        variables = NAMED | {"AWS_ENDPOINT_URL": url, "OAM_STATUS_BUCKET": "bench"}
        done = tool("jobs", "--json", **variables)
        limited = tool("jobs", "--json", "--limit", "3", **variables)
    assert sorted(json.loads(line)["jobId"] for line in done.stdout.splitlines()) == [
        f"job-{number:06d}" for number in range(200)
    ]
    # AND a limit that is given holds
    assert len(limited.stdout.splitlines()) == 3
    # AND no library has anything to say
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["Stack:", "bucket", "at"]


def test_a_bucket_without_status_objects_is_said_to_be_so(aws: Aws) -> None:
    done = tool("jobs", **named(aws))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"No status object in s3://{aws.bucket}/status" in done.stderr


def test_a_bucket_that_is_not_there_is_said_to_be_so(aws: Aws) -> None:
    done = tool("jobs", **(named(aws) | {"OAM_STATUS_BUCKET": "gone"}))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Reading the bucket failed: " in done.stderr
    assert "NoSuchBucket" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colours_unless_no_color_is_set(variables: dict[str, str], no_color: str) -> None:
    more = variables | {"TERM": "xterm-256color", "COLUMNS": "80", "NO_COLOR": no_color}
    code, shown = at_a_terminal("", "jobs", **more)
    assert code == 1
    assert ("\x1b[31mFAILED" in shown) is not bool(no_color)
    # AND no bar, as it did not take long: the first line is the header
    assert "Reading" not in shown
    assert re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()[3].split()[:2] == ["job", "stage"]
    assert "5 objects." in shown


@pytest.mark.parametrize("option", [[], ["--json"]], ids=str)
def test_a_closed_pipe_is_no_error(variables: dict[str, str], option: list[str]) -> None:
    command = program("jobs", *option)
    with processes.start(
        command,
        env=processes.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()
    assert [line.split()[0] for line in said.splitlines()] == ["Stack:", "bucket", "at"]


@pytest.mark.parametrize(
    ("redirection", "said"),
    [(">&-", "stdout is closed: there is nowhere to print to."), (">/dev/full", "No space left on device")],
)
def test_a_stdout_that_takes_nothing_is_told_in_a_line(
    variables: dict[str, str], redirection: str, said: str
) -> None:
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *program("jobs")]
    done = processes.run(command, env=processes.environment(**variables))
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_closed_stderr_adds_nothing_to_what_machines_read(variables: dict[str, str]) -> None:
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *program("jobs", "--json")]
    done = processes.run(command, env=processes.environment(**variables))
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 5


@dataclass
class SilentProxy(FaultProxy):
    """Passes listings on, and answers no request for an object."""

    asked: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Request) -> Answer | Script:
        if "status.json" not in request.path:
            return super().answer(request)
        self.asked.set()
        self.released.wait(60)
        return lambda connection: connection.close()


def test_ctrl_c_that_is_noticed_only_after_a_wait_for_s3_began_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN an object that is not there for ten seconds
    reading, released = threading.Event(), threading.Event()

    def read(*_: object) -> None:
        reading.set()
        released.wait(10)

    monkeypatch.setattr(job_reader, "read_object", read)

    def interrupt() -> None:
        assert reading.wait(10)
        time.sleep(0.2)
        # Received by this thread, it does not end the main thread's wait.
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    # WHEN the rows are wanted
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(job_reader.JobReader(None, "bucket").rows([Listed("key", "job", 0.0, "etag")]))  # type: ignore[arg-type] # no S3 is asked
    # THEN Ctrl-C is seen before
    took = time.monotonic() - began
    released.set()
    assert took < 8


def test_ctrl_c_ends_it_at_once_though_s3_does_not_answer(aws: Aws, variables: dict[str, str]) -> None:
    with SilentProxy(aws.url) as proxy:
        with processes.start(
            program("jobs"),
            env=processes.environment(**(variables | {"AWS_ENDPOINT_URL": proxy.url})),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert proxy.asked.wait(30)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=30)
            took = time.monotonic() - began
        proxy.released.set()
    assert (out, process.returncode) == ("", 1)
    assert said.splitlines()[3:] == ["", "Aborted!"]
    assert took < 10

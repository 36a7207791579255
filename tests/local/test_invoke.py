"""`make invoke`: what it asks of sam, and what it makes of the answer. No Docker engine is needed."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from samcli.commands.local.invoke.cli import cli as sams_own

from local.cli.invoke import find_failure, host_architecture, sam_command
from tests import processes

EVENT = "events/full-job.json"
GATEWAY = {"host.docker.internal": "host-gateway"}
DONE = '{"batchItemFailures": []}'

# Recorded from AWS's runtime under its emulator; sam writes its answer to stdout.
FAILED = '{"batchItemFailures": [{"itemIdentifier": "a5d2"}, {"itemIdentifier": "b0c9"}]}'
NOT_IMPORTED = (
    "{\"errorMessage\": \"Unable to import module 'nothere': No module named 'nothere'\", "
    '"errorType": "Runtime.ImportModuleError", "requestId": "", "stackTrace": []}'
)
DIED = (
    '{"errorType":"Runtime.ExitError","errorMessage":"RequestId: b887cdd3-7e4a-457a-84de-68de460b3b05 '
    'Error: Runtime exited with error: exit status 3"}'
)
TIMED_OUT = "Task timed out after 2.00 seconds"


def asked(*options: str) -> Any:
    """Give what sam itself understands of the command line."""
    command = sam_command("sam", "staging", EVENT, "x86_64", options)
    assert command[:3] == ["sam", "local", "invoke"]
    return sams_own.make_context("invoke", command[3:]).params


def test_sam_is_asked_for_the_function_with_the_event_and_the_embedded_stacks_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(processes.ROOT)
    params = asked("--debug")
    assert params["function_logical_id"] == "StatusPublisher"
    assert (params["event"], params["env_vars"]) == (EVENT, "events/env.json")
    assert (params["config_env"], params["parameter_overrides"]) == ("staging", {"Architecture": "x86_64"})


def test_docker_on_linux_is_told_the_host_unless_the_user_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(processes.ROOT)
    # GIVEN Linux, THEN the name that events/env.json has is made known, beside the user's own
    monkeypatch.setattr(sys, "platform", "linux")
    assert asked()["add_host"] == GATEWAY
    assert asked("--add-host", "catalog:10.0.0.1")["add_host"] == GATEWAY | {"catalog": "10.0.0.1"}
    # AND the user's word for it stands
    for options in (
        ["--add-host", "host.docker.internal:10.0.2.2"],
        ["--add-host=host.docker.internal:10.0.2.2"],
    ):
        assert asked(*options)["add_host"] == {"host.docker.internal": "10.0.2.2"}
    # AND Docker Desktop elsewhere knows it by itself
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not asked()["add_host"]


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("aarch64", "arm64"), ("arm64", "arm64")],
)
def test_the_hosts_processor_is_named_as_the_template_names_it(
    monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert host_architecture() == architecture


@pytest.mark.parametrize(
    ("output", "failure"),
    [
        (DONE, None),
        (f"START of something that the function printed\n{DONE}\n", None),
        (FAILED, "2 messages failed, and a queue would deliver them again: a5d2, b0c9"),
        (NOT_IMPORTED, "The function failed: Runtime.ImportModuleError: Unable to import module"),
        (DIED, "The function failed: Runtime.ExitError: RequestId: b887cdd3"),
        (
            '{"errorMessage": "RequestId: 1 Error: Runtime exited"}',
            "The function failed: error: RequestId: 1",
        ),
        ("", "The function gave no answer"),
        (TIMED_OUT, "The function gave no answer"),
        ("null", "The function gave no answer"),
    ],
)
def test_a_failure_in_the_answer_is_one(output: str, failure: str | None) -> None:
    found = find_failure(output)
    assert found is None if failure is None else (found or "").startswith(failure)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., "CompletedProcess[str]"]:
    """Run `make invoke`'s program with a sam that gives an answer, and writes down what it was asked."""

    def invoke(answer: str, exit_code: int = 0) -> "CompletedProcess[str]":
        sam = tmp_path / "sam"
        sam.write_text(
            f"#!{sys.executable}\nimport json, pathlib, sys\n"
            f"pathlib.Path({str(tmp_path / 'asked')!r}).write_text(json.dumps(sys.argv))\n"
            f"print({answer!r}, end='')\nprint('the log', file=sys.stderr)\nsys.exit({exit_code})\n"
        )
        sam.chmod(0o755)
        options = ["--sam", str(sam), "--config-env", "default", EVENT, "--debug", "--name", "value"]
        return processes.run([sys.executable, "-m", "local.cli.invoke", *options], cwd=tmp_path)

    return invoke


def test_the_answer_is_shown_and_the_exit_code_says_what_came_of_it(
    run: Callable[..., "CompletedProcess[str]"], tmp_path: Path
) -> None:
    # WHEN all messages are done, THEN it is 0, and the options have come through
    done = run(DONE)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{DONE}\n", "the log\n")
    assert json.loads((tmp_path / "asked").read_text())[-3:] == ["--debug", "--name", "value"]
    # AND when some are not, though sam says 0, it is 1
    done = run(FAILED)
    assert (done.returncode, done.stdout) == (1, f"{FAILED}\n")
    assert "2 messages failed" in done.stderr
    # AND when sam itself fails, it is sam's own
    assert run("", exit_code=3).returncode == 3


def test_make_builds_only_when_something_that_goes_in_is_newer(tmp_path: Path) -> None:
    # GIVEN a checkout, and what was built of it afterwards
    sources = [
        "template.yaml",
        "requirements.txt",
        "local/packaging/artifact.py",
        "handler/a.py",
        "handler/b.py",
    ]
    built = ".aws-sam/build/template.yaml"
    for name in [*sources, built]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in [*sources, "handler"]:
        os.utime(tmp_path / name, (1_000, 1_000))
    os.utime(tmp_path / built, (2_000, 2_000))

    def builds() -> bool:
        makefile = str(processes.ROOT / "Makefile")
        command = [
            "make",
            "--no-print-directory",
            "--dry-run",
            "--assume-old=setup",
            "-f",
            makefile,
            "invoke",
        ]
        shown = processes.run(command, cwd=tmp_path, check=True).stdout
        assert "local.cli.invoke" in shown
        return "sam build" in shown

    # THEN it is not built again
    assert not builds()
    # AND it is when one of them was changed since
    for name in sources:
        os.utime(tmp_path / name, (3_000, 3_000))
        assert builds(), name
        os.utime(tmp_path / name, (1_000, 1_000))
    # AND when one was removed
    (tmp_path / "handler" / "b.py").unlink()
    assert builds()

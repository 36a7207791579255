"""The tests reach nothing that the user's `.env` or environment points at, and so redrive nobody's queue."""

import ast
import itertools
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import processes
from tests.forks import run_module

# One test or more for each way in which the suite starts something, and some that work in its own process.
WAYS = {
    "in process": [
        "tests/integration/test_app.py::test_exactly_the_messages_that_failed_are_reported",
        "tests/integration/test_app.py::test_the_token_is_read_from_its_secret_when_a_job_is_finished",
        "tests/integration/test_metrics.py::test_what_had_no_time_left_is_among_what_failed",
        "tests/integration/test_visibility.py::test_retry_after_reaches_the_message_as_its_least_wait",
        "tests/unit/test_settings.py::test_an_endpoint_that_is_taken_is_one_that_botocore_makes_a_client_of[http://localhost:4566]",
        "tests/unit/test_settings.py::test_a_ca_bundle_is_taken",
    ],
    "make, git and sam": [
        "tests/docs/test_pages.py::test_every_make_target_shown_exists_and_make_alone_lists_it",
        "tests/docs/test_readme.py::test_no_file_names_a_package_index",
        "tests/deploy/test_template.py::test_sam_finds_nothing_to_complain_of_whatever_the_environment",
    ],
    "tools": [
        "tests/local/test_aws_server.py::test_as_a_process_of_its_own_it_says_its_url_and_ends_on_a_signal[SIGTERM]",
        "tests/local/test_list_jobs.py::test_ctrl_c_ends_it_at_once_though_s3_does_not_answer",
        "tests/local/test_redrive.py::test_without_a_terminal_and_yes_another_stack_is_left_alone",
        "tests/local/test_redrive.py::test_at_a_terminal_it_shows_what_it_will_do_and_asks[y-0-1]",
        "tests/local/test_redrive.py::test_a_signal_ends_it_and_what_is_left_can_be_seen_at_once[SIGTERM]",
        "tests/local/test_send.py::test_a_file_of_ours_is_sent_in_the_order_of_the_timestamps[full-job]",
        "tests/docs/test_operations.py::test_an_object_is_restored",
    ],
    "start": [
        "tests/local/test_start.py::test_an_embedded_stack_publishes_what_is_sent_to_it_until_it_is_interrupted",
        "tests/local/test_start.py::test_a_reader_that_went_away_ends_it_quietly_and_no_message_is_lost",
    ],
    "demo": ["tests/local/test_demo.py::test_a_wrong_expectation_is_told_and_exits_1"],
    "runtime and bench": [
        "tests/runtime/test_lambda_runtime.py::test_a_batch_is_published_and_its_failures_reported",
        "tests/tools/test_bench.py::test_the_loop_floor_makes_the_same_requests",
    ],
}
COMMANDS = {
    "tests": ["-m", "pytest", *itertools.chain(*WAYS.values())],
    "chaos": ["-m", "tools.chaos", "--small", "--jobs=8", "--quiet"],
}


# Of the repository, with what is not yet tracked, and the bytecode.
COPIED_WHOLE = ("handler/", "local/", "tests/", "tools/")


class Trap:
    """A port that nobody may connect to; a context manager."""

    def __enter__(self) -> "Trap":
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.caught: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    self.caught.append(connection.recv(2_000))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                except OSError as error:
                    self.caught.append(repr(error).encode())


@pytest.fixture
def trap() -> Iterator[Trap]:
    with Trap() as set_up:
        yield set_up


def of_the_user(url: str, folder: Path) -> dict[str, str]:
    """Give what a user may have configured, all of it naming the trap."""
    (folder / "aws-config").write_text(
        f"[profile mine]\nregion = eu-west-1\nendpoint_url = {url}\ncredential_process = touch {folder}/asked\n"
    )
    return {
        "AWS_ACCESS_KEY_ID": "users",
        "AWS_SECRET_ACCESS_KEY": "users",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_PROFILE": "mine",
        "AWS_CONFIG_FILE": str(folder / "aws-config"),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_LAMBDA_LOG_LEVEL": "ERROR",
        "AWS_LAMBDA_RUNTIME_API": url.removeprefix("http://"),
        **{f"AWS_ENDPOINT_URL{service}": url for service in ("", "_S3", "_SQS", "_SECRETS_MANAGER")},
        **{f"{kind}_PROXY": url for kind in ("HTTP", "HTTPS", "ALL")},
        **{f"{kind}_proxy": url for kind in ("http", "https", "all")},
        "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem",
        "CURL_CA_BUNDLE": "/nowhere/ca.pem",
        "AWS_CA_BUNDLE": "/nowhere/ca.pem",
        "DEBUG": "*",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_METRICS_NAMESPACE": "Users",
        "OAM_STATUS_SQS_QUEUE_URL": f"{url}/123456789012/users-queue",
        "OAM_STATUS_BUCKET": "users-bucket",
        "OAM_STATUS_PREFIX": "users",
        "OAM_CATALOG_URL": url,
        "OAM_API_TOKEN": "users-token",
        "OAM_API_TOKEN_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:users-abcdef",
        "OAM_TILES_URL": url,
        "MOCK_OAM_API": "false",
        "PYTHONPATH": "/nowhere",
        "MAKEFLAGS": "-n",
    }


@pytest.fixture
def checkout(tmp_path: Path, trap: Trap) -> Path:
    """A copy of the repository, with a `.env` in it that names the trap."""
    folder = tmp_path / "checkout"
    for name in processes.run(["git", "ls-files"], cwd=processes.ROOT, check=True).stdout.splitlines():
        if (processes.ROOT / name).is_file() and not name.startswith(COPIED_WHOLE):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(processes.ROOT / name, folder / name)
    for name in COPIED_WHOLE:
        shutil.copytree(processes.ROOT / name, folder / name)
    # A folder, so that no `make setup` clears what is behind the link.
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    processes.run(["git", "init", "--quiet"], cwd=folder, check=True)
    processes.run(["git", "add", "--all"], cwd=folder, check=True)
    variables = of_the_user(trap.url, tmp_path)
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    return folder


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.timeout(240)
def test_nothing_that_the_user_has_configured_is_reached_by_a_test(
    checkout: Path, trap: Trap, tmp_path: Path, command: list[str]
) -> None:
    # GIVEN a .env, and an environment, that name a trap wherever a user may name something
    surroundings = processes.clean(os.environ) | of_the_user(trap.url, tmp_path)
    # The trap itself works.
    socket.create_connection(("127.0.0.1", int(trap.url.rpartition(":")[2]))).close()
    # WHEN the suite's ways to start something are used, by a shell that has what it starts ignore Ctrl-C
    shell = ["sh", "-c", 'trap "" INT; exec "$0" "$@"', sys.executable, *command]
    done = processes.run(shell, cwd=checkout, env=surroundings, timeout=220, closed=False)
    # THEN all is as it is without
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    # AND nothing was contacted, or asked for credentials
    assert trap.caught == [b""]
    assert not (tmp_path / "asked").exists()


STARTS = {
    *(f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output", "getoutput")),
    *(
        f"os.{name}"
        for name in ("system", "popen", "posix_spawn", "posix_spawnp", "execv", "execve", "execvp")
    ),
    *(f"asyncio.create_subprocess_{name}" for name in ("exec", "shell")),
    *(f"multiprocessing.{name}" for name in ("Process", "Pool", "get_context")),
    *("os.fork", "os.forkpty", "pty.fork", "pty.spawn"),
}


def starts(path: Path) -> list[str]:
    """Find where a module starts a process, but by the suite's own ways."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTS:
            found.append(f"{path.name}:{node.lineno}: {ast.unparse(node.func)}")
        if isinstance(node, ast.ImportFrom):
            found += [
                f"{path.name}: {name.name}" for name in node.names if f"{node.module}.{name.name}" in STARTS
            ]
    return found


def test_no_test_starts_a_process_past_the_clean_environment() -> None:
    ways = {"processes.py": 3, "forks.py": 1}
    assert {name: len(starts(processes.ROOT / "tests" / name)) for name in ways} == ways
    others = [path for path in (processes.ROOT / "tests").rglob("*.py") if path.name not in ways]
    assert len(others) > 50
    assert [start for path in others for start in starts(path)] == []


def test_a_tool_that_would_read_the_users_env_file_is_not_started() -> None:
    for command in (["python", "-m", "local.cli.redrive"], ["make", "redrive"], ["bin/oam-status", "jobs"]):
        with pytest.raises(AssertionError, match=r"would read the user's \.env"):
            processes.run(command, cwd=processes.ROOT)


def test_this_process_and_those_that_it_starts_see_nothing_of_the_users(tmp_path: Path) -> None:
    # GIVEN what a user may have
    users = of_the_user("http://trap", tmp_path) | {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy",
        "PYTEST_ADDOPTS": "-x",
    }
    # THEN nothing of it is kept but what leads pip to its index
    kept = processes.clean(users)
    assert {name: value for name, value in kept.items() if name not in processes.CLOSED} == {
        "PATH": "/bin",
        "PIP_PROXY": "http://proxy",
        "PIP_CERT": "/nowhere/ca.pem",
    }
    # AND this process, whose environment the suite has cleaned, has nothing of the kind
    foreign = re.compile(r"(AWS|OAM|POWERTOOLS|MOCK|DEBUG|REQUESTS|CURL)(_|$)|.*_proxy$", re.IGNORECASE)
    assert {name for name in os.environ if foreign.match(name)} <= set(processes.CLOSED) | {"PIP_PROXY"}


def test_a_forked_program_has_the_environment_that_it_is_given_and_nothing_of_its_servers(
    tmp_path: Path,
) -> None:
    show = ["-n1", "-r1", "import os; print(dict(os.environ), os.getcwd())"]
    done = run_module("timeit", show, cwd=tmp_path, env={"ONLY": "this"})
    assert done.stdout.splitlines()[0] == f"{{'ONLY': 'this'}} {tmp_path.resolve()}"

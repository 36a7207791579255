"""The servers that the tests talk to, over HTTP on loopback; and how the suite runs and says what failed."""

import contextlib
import gc
import importlib
import os
import secrets
import shlex
import signal
import time
import uuid
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import hypothesis
import pytest
import requests
from botocore.config import Config

from handler.deadline import Deadline
from local.stack.aws_server import aws_server
from local.stack.embedded import Stack, embedded_stack
from tests import processes
from tests.models import read_models_once

# A shell without job control has what it starts in the background ignore Ctrl-C, and so would the tests' processes.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any test module is imported: no test is to see what the user has configured.
processes.enter_clean_environment()
read_models_once()

pytest_plugins = ["tests.function", "tests.integration.stage", "tests.measuring"]

REGION = "us-east-1"
TOKEN = "s3cret-token"  # of the test catalog


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis a seed that can be told, unless one is given; all processes of a run have the same."""
    # No limit of time for each example: a busy machine takes it for a failure, and pytest-timeout ends what hangs.
    # And the seed counts in CI too, where Hypothesis has each run try the same, whatever the seed.
    hypothesis.settings.register_profile("tests", deadline=None, derandomize=False)
    hypothesis.settings.load_profile("tests")
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(secrets.randbelow(2**32))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have the processes of a run begin with different modules, and find the others' bytecode after that.

    In a fresh clone there is none, and each would compile all modules, at the same time and in the same order.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    folders = [folder for folder in map(Path, session.config.args) if folder.is_dir()]
    names = sorted(path for folder in folders for path in folder.resolve().rglob("test_*.py"))
    begin = int(worker["workerid"].removeprefix("gw")) * len(names) // worker["workercount"]
    for path in names[begin:] + names[:begin]:
        with contextlib.suppress(Exception):  # collection says what is wrong with it
            importlib.import_module(".".join(path.relative_to(processes.ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what may take longest, and end with what is short: so all processes end at the same time.

    The tests between are mixed, though always in the same way: those of a module that waits would have all processes
    wait at once.
    """

    def place(item: pytest.Item) -> tuple[float, bool, int]:
        limit = max((mark.args[0] for mark in item.iter_markers("timeout")), default=0)
        short = item.nodeid.startswith(("tests/unit", "tests/properties"))
        return -limit, short, 0 if short else zlib.crc32(item.nodeid.encode())

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Have Python collect garbage less often, and leave out what is loaded: it took a tenth of the suite's CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say how to run a failed test again, with its seed if it has one."""
    if call.excinfo:
        # The test has ended; its time-out, while the report is written, would end the whole run.
        item.ihook.pytest_timeout_cancel_timer(item=item)
    report = yield
    if report.failed:
        command = [".venv/bin/python", "-m", "pytest", item.nodeid]
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            command.insert(3, f"--hypothesis-seed={item.config.getoption('--hypothesis-seed')}")
        report.sections.append(("run it again", shlex.join(command)))
    return report


def make_client(service: str, url: str) -> Any:
    """Make a client, as the function configures it."""
    return boto3.client(
        service,  # type: ignore[call-overload] # the stubs want the name as a literal
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            connect_timeout=2,
            read_timeout=20,
            retries={"total_max_attempts": 1},
            max_pool_connections=32,
            s3={"addressing_style": "path"},
        ),
    )


@dataclass(frozen=True)
class Aws:
    """An S3 and SQS server, and a bucket of its own for each test."""

    url: str
    bucket: str
    s3: Any  # of the session: to make a client takes as long as several requests

    def client(self, service: str, url: str | None = None) -> Any:
        """Make a client, of this server or of one before it."""
        return make_client(service, url or self.url)

    def put(self, key: str, body: bytes) -> None:
        """Write an object with no condition."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        """Read an object."""
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body


def in_seconds(seconds: float) -> Deadline:
    """Return the deadline so many seconds from now."""
    return Deadline(time.time() + seconds)


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    with aws_server() as url:
        yield url


@pytest.fixture(scope="session")
def s3(aws_url: str) -> Any:
    return make_client("s3", aws_url)


@pytest.fixture
def aws(aws_url: str, s3: Any) -> Aws:
    made = Aws(aws_url, f"status-{uuid.uuid4().hex[:12]}", s3)
    made.s3.create_bucket(Bucket=made.bucket)
    return made


@contextmanager
def stack_of_its_own(port: int = 0, *, max_receive_count: int = 5) -> Iterator[Stack]:
    """Run an embedded stack that leaves nothing to the next one of this process, whatever happens in it.

    At its end all that moto holds in this process is gone, also what a test has put there by `aws`.
    """
    with embedded_stack(port, max_receive_count=max_receive_count) as stack:
        try:
            yield stack
        finally:
            requests.post(f"{stack.url}/moto-api/reset", timeout=60).raise_for_status()


@pytest.fixture
def environment(aws: Aws) -> dict[str, str]:
    """The whole environment of a function that works against these servers, and mocks the catalog."""
    return processes.CLOSED | {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws.url,
        "OAM_STATUS_BUCKET": aws.bucket,
        "OAM_STATUS_PREFIX": "status",
        "MOCK_OAM_API": "true",
    }

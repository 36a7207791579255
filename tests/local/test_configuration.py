"""One place decides which stack is meant, and every tool says so before it talks to it."""

import itertools
import socket
from pathlib import Path

import pytest

from local.packaging.make_events import FOLDER
from tests.conftest import Aws
from tests.local.tools import NAMED, tool

TOOLS = ["start", "send", "jobs", "dead-letters", "redrive", "renotify"]
NEEDED = {
    "start": {"OAM_STATUS_SQS_QUEUE_URL", "OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX"},
    "send": {"OAM_STATUS_SQS_QUEUE_URL"},
    "jobs": {"OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX"},
    "dead-letters": {"OAM_STATUS_SQS_QUEUE_URL", "OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX"},
    "redrive": {"OAM_STATUS_SQS_QUEUE_URL"},
    "renotify": {"OAM_STATUS_SQS_QUEUE_URL", "OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX"},
}
VALUES = {
    "OAM_STATUS_SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/real",
    "OAM_STATUS_BUCKET": "real-bucket",
    "OAM_STATUS_PREFIX": "real",
}
ARGUMENTS = {"send": [str(FOLDER / "chunk-started.json")], "renotify": ["test-job"]}


@pytest.fixture
def silent() -> "socket.socket":
    """Where AWS is said to be, and a test listens."""
    return socket.create_server(("127.0.0.1", 0))


# All tools decide in one place, so each has to be seen to ask it, and each of its cases has to be seen once:
# not every tool in every case.
@pytest.mark.parametrize(
    ("place", "name", "missing"),
    [
        *(("the environment", name, each) for name in TOOLS for each in sorted(NEEDED[name])),
        *((".env", name, min(NEEDED[name])) for name in TOOLS),
    ],
)
def test_half_a_stack_is_an_error_that_names_what_is_missing_and_nothing_is_asked(
    tmp_path: Path, silent: "socket.socket", place: str, name: str, missing: str
) -> None:
    # GIVEN all that a tool needs but one thing, in the environment or in .env
    aws = {name: value for name, value in NAMED.items() if name.startswith("AWS")}
    url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    variables = {each: value for each, value in VALUES.items() if each != missing} | aws
    variables |= {"MOCK_OAM_API": "true", "AWS_ENDPOINT_URL": url}
    if place == ".env":
        (tmp_path / ".env").write_text("".join(f"{each}={value}\n" for each, value in variables.items()))
        variables = {}
    # WHEN it is run
    done = tool(name, *ARGUMENTS.get(name, []), cwd=tmp_path, **variables)
    # THEN it names what is missing and no more, and has talked to neither stack
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{missing} is not set" in done.stderr
    for other in set(VALUES) - {missing}:
        assert f"{other} is not set" not in done.stderr
    assert "embedded, at" not in done.stderr
    silent.settimeout(0)
    with silent, pytest.raises(BlockingIOError):
        silent.accept()


@pytest.mark.parametrize("name", TOOLS)
def test_without_a_region_or_credentials_these_are_named(name: str, tmp_path: Path) -> None:
    done = tool(name, *ARGUMENTS.get(name, []), cwd=tmp_path, MOCK_OAM_API="true", **VALUES)
    assert done.returncode == 2
    assert "AWS_DEFAULT_REGION is not set" in done.stderr
    assert "AWS_ACCESS_KEY_ID" in done.stderr


VARIABLES = ["OAM_CATALOG_URL", "OAM_API_TOKEN", "MOCK_OAM_API", "OAM_TILES_URL"]


@pytest.mark.parametrize(("name", "variable"), list(zip(TOOLS, itertools.cycle(VARIABLES), strict=False)))
def test_any_variable_of_ours_means_that_stack_and_not_the_embedded_one(name: str, variable: str) -> None:
    done = tool(name, *ARGUMENTS.get(name, []), **{variable: "true"})
    assert done.returncode == 2
    assert f"{variable} is set, but this needs more:\n" in done.stderr
    for needed in NEEDED[name]:
        assert needed in done.stderr


@pytest.mark.parametrize("name", TOOLS)
def test_awss_variables_alone_mean_the_embedded_stack(name: str) -> None:
    # GIVEN a port where nothing listens and nobody else can, and AWS's variables, which name a trap
    with socket.create_server(("127.0.0.1", 0)) as trap, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port, url = str(taken.getsockname()[1]), f"http://127.0.0.1:{trap.getsockname()[1]}"
        done = tool(
            name,
            *ARGUMENTS.get(name, []),
            *("--port", port),
            AWS_PROFILE="mine",
            AWS_ENDPOINT_URL=url,
            HTTP_PROXY=url,
            HTTPS_PROXY=url,
        )
        # THEN
        assert done.stderr.startswith(f"Stack: embedded, at http://127.0.0.1:{port}\n")
        assert done.returncode == 1
        trap.settimeout(0)
        with pytest.raises(BlockingIOError):
            trap.accept()


@pytest.mark.parametrize("name", ["send", "jobs", "dead-letters", "redrive", "renotify"])
def test_a_named_stack_is_said_first_with_queue_bucket_and_account(aws: Aws, name: str) -> None:
    # GIVEN a stack that does not answer as it should
    variables = NAMED | VALUES | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = tool(name, *ARGUMENTS.get(name, []), **variables)
    # THEN what it would talk to is said all the same, before anything else
    lines = done.stderr.splitlines()
    assert lines[0] == "Stack: as the environment and .env name it, account 123456789012"
    shown = "\n".join(lines[:5])
    if "OAM_STATUS_SQS_QUEUE_URL" in NEEDED[name]:
        assert f"queue   {VALUES['OAM_STATUS_SQS_QUEUE_URL']}\n          at http://127.0.0.1:9" in shown
    if "OAM_STATUS_BUCKET" in NEEDED[name]:
        assert "bucket  s3://real-bucket/real\n          at http://127.0.0.1:9" in shown
    assert "Traceback" not in done.stderr
    assert done.returncode in {1, 2}


URLS = ["localhost:4566", "//x", "http://[::1", "ftp://h/1/q", "arn:aws:sqs:eu:1:q"]


@pytest.mark.parametrize(
    ("name", "variable", "url"),
    [
        *(
            ("send", variable, url)
            for variable in ("AWS_ENDPOINT_URL", "OAM_STATUS_SQS_QUEUE_URL")
            for url in URLS
        ),
        ("redrive", "AWS_ENDPOINT_URL", URLS[0]),
        ("redrive", "OAM_STATUS_SQS_QUEUE_URL", URLS[0]),
    ],
)
def test_a_url_that_is_none_is_a_configuration_error(name: str, variable: str, url: str) -> None:
    done = tool(name, *ARGUMENTS.get(name, []), "--yes", **(NAMED | VALUES | {variable: url}))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["send", "jobs", "dead-letters", "redrive", "renotify"])
def test_where_nothing_listens_a_line_says_how_to_start_it(name: str) -> None:
    done = tool(name, *ARGUMENTS.get(name, []), "--port", "9")
    assert (done.returncode, done.stdout) == (1, "")
    said, error, *_ = done.stderr.splitlines()
    assert said == "Stack: embedded, at http://127.0.0.1:9"
    assert "make start" in error

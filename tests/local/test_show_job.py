"""`oam-status job ID`, as people run it."""

import json
import re
import subprocess
from dataclasses import replace

import pytest
from click.testing import CliRunner

from handler.job_status import JobStatus, fold
from handler.status_object import to_json
from local.cli.main import cli
from tests import processes
from tests.conftest import Aws
from tests.factories import step_event
from tests.integration.fault_proxy import FaultProxy
from tests.local.tools import NAMED, at_a_terminal, program, tool

HOUR = 3_600_000  # milliseconds
STEPS = [
    step_event("chunk STARTED", 0),
    step_event("chunk FAILED", 65_000, error="\x1b[31mno such image"),
    step_event("chunk STARTED", HOUR),
    step_event("chunk FINISHED", HOUR + 90_500),
    step_event("mosaic STARTED", 3 * HOUR),
    step_event("mosaic FINISHED", 27 * HOUR),
]
REFUSED = {
    "state": "FAILED",
    "attempts": 3,
    "updatedAt": "2023-11-16T01:13:20.000Z",
    "error": "HTTP 400: the image is not in the catalog",
}
DONE = to_json("done", replace(fold(JobStatus(), STEPS), catalog=REFUSED))
FAILED = to_json("failed", fold(JobStatus(), STEPS[:2]))


@pytest.fixture
def variables(aws: Aws) -> dict[str, str]:
    """A bucket with two jobs and a foreign object, and what names it."""
    aws.put("status/done-status.json", DONE)
    aws.put("status/failed-status.json", FAILED)
    aws.put("status/foreign-status.json", b"[]")
    return NAMED | {"AWS_ENDPOINT_URL": aws.url, "OAM_STATUS_BUCKET": aws.bucket}


def test_a_job_is_its_timeline_the_catalogs_answer_and_its_tiles(aws: Aws, variables: dict[str, str]) -> None:
    done = tool("job", "done", **variables)
    assert done.returncode == 0, done.stderr
    shown = [line.rstrip() for line in re.sub(r"\d+d ago", "AGO", done.stdout).splitlines()]
    assert shown == [
        "done: COMPLETE SUCCESS, attempt 2, catalog FAILED",
        f"s3://{aws.bucket}/status/done-status.json",
        "time (UTC)    gap    attempt  step             says",
        "2023-11-14",
        "22:13:20.000         1        chunk STARTED",
        "22:14:25.000  +65s   1        chunk FAILED     error: \\x1b[31mno such image",
        "23:13:20.000  +58m   2        chunk STARTED",
        "23:14:50.500  +90s   2        chunk FINISHED",
        "2023-11-15",
        "01:13:20.000  +118m  2        mosaic STARTED",
        "2023-11-16",
        "01:13:20.000  +24h   2        mosaic FINISHED  target: s3://oam-tiles/test-job,",
        "                                               images: 2 of them",
        "Sent     first message 2023-11-14T22:13:20.000Z (AGO), last 2023-11-16T01:13:20.000Z (AGO)",
        "Catalog  refused 3 times, last: HTTP 400: the image is not in the catalog; next try with the "
        "message's next delivery, within 20 minutes (60 if the catalog asked for it)",
        "Tiles    https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png",
    ]


def test_of_a_failed_job_the_error_is_whole_and_holds_no_control_characters(
    variables: dict[str, str],
) -> None:
    code, shown = at_a_terminal("", "job", "failed", **variables, COLUMNS="80", NO_COLOR="1")
    assert code == 0
    assert "\x1b" not in shown
    assert shown.splitlines()[-3:] == [
        line.ljust(len(found))
        for line, found in zip(
            [r"Error    \x1b[31mno such image", "Catalog  told when the job is done", "Tiles    none yet"],
            shown.splitlines()[-3:],
            strict=True,
        )
    ]


def test_on_a_narrow_terminal_nothing_of_the_timeline_is_lost(variables: dict[str, str]) -> None:
    wide, narrow = (
        tool("job", "done", **variables, COLUMNS=columns).stdout.partition("time")[2].partition("Sent")[0]
        for columns in ("80", "40")
    )
    assert all(len(line) <= 40 for line in narrow.splitlines())
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))


def test_an_errors_lines_are_lines_and_what_is_no_text_is_json(aws: Aws, variables: dict[str, str]) -> None:
    odd = {"stage": "chunk", "status": "FAILED", "error": "first\n  at second\x1b[31m"}
    aws.put("status/lines-status.json", json.dumps(odd).encode())
    aws.put("status/object-status.json", json.dumps(odd | {"error": {"code": None, "é": [True]}}).encode())
    lines, value = tool("job", "lines", **variables), tool("job", "object", **variables)
    assert "\nError    first\n           at second\\x1b[31m\n" in lines.stdout
    assert '\nError    {"code": null, "é": [true]}\n' in value.stdout


@pytest.mark.parametrize("job_id", ["", "../x", "a/b", "x" * 300, "-", "a b"])
def test_an_id_that_no_job_can_have_is_a_usage_error(job_id: str) -> None:
    shown = CliRunner().invoke(cli, ["job", "--", job_id])
    assert shown.exit_code == 2
    assert "it is no possible job id" in shown.output


def test_one_job_is_one_request_and_one_that_is_not_there_says_so_with_its_key(
    aws: Aws, variables: dict[str, str]
) -> None:
    # WHEN a job is shown, one that is not there, and what is none
    with FaultProxy(aws.url) as proxy:
        there, absent, foreign = (
            tool("job", name, "--json", **(variables | {"AWS_ENDPOINT_URL": proxy.url}))
            for name in ("done", "absent", "foreign")
        )
    # THEN each is a single GET, and no listing
    assert proxy.requests == [
        ("GET", f"/{aws.bucket}/status/{name}-status.json") for name in ("done", "absent", "foreign")
    ]
    assert (there.returncode, json.loads(there.stdout)) == (0, json.loads(DONE))
    assert len(there.stdout.splitlines()) == 1
    assert (absent.returncode, absent.stdout) == (1, "")
    assert f"s3://{aws.bucket}/status/absent-status.json: it is not there" in absent.stderr
    assert (foreign.returncode, foreign.stdout) == (1, "")
    assert f"s3://{aws.bucket}/status/foreign-status.json: not a JSON object" in foreign.stderr


def test_what_a_terminal_might_obey_is_escaped_in_json_too(aws: Aws, variables: dict[str, str]) -> None:
    odd = {"stage": "chunk", "status": "FAILED", "error": "\x1b[31m \x9b31m \u202e \U000e0001 é 😀"}
    aws.put("status/odd-status.json", json.dumps(odd).encode())
    shown = tool("job", "odd", "--json", **variables).stdout
    assert json.loads(shown) == odd
    assert shown.removesuffix("\n").isprintable()
    assert "é 😀" in shown


def test_an_object_of_the_older_system_says_that_it_has_no_history(
    aws: Aws, variables: dict[str, str]
) -> None:
    aws.put(
        "status/older-status.json", b"\xef\xbb\xbf" + b'{"stage": "chunk", "status": "FAILED", "error": 5}'
    )
    shown = tool("job", "older", **variables)
    assert shown.returncode == 0
    assert "It has no history" in shown.stdout
    assert "Error    5" in shown.stdout
    assert "byte order mark" in shown.stderr


@pytest.mark.parametrize("option", [[], ["--json"]], ids=str)
def test_a_closed_pipe_is_no_error(variables: dict[str, str], option: list[str]) -> None:
    with processes.start(
        program("job", "done", *option),
        env=processes.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()
    assert [line.split()[0] for line in said.splitlines()] == ["Stack:", "bucket", "at"]

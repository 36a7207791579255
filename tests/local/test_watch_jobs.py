"""`oam-status jobs --watch`: what changes is shown, an outage is outlived, and Ctrl-C is its end."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from local.cli.rows import Kind, Wanted
from local.cli.target import Target
from local.cli.watch_jobs import JobWatch
from tests.conftest import Aws
from tests.factories import step_event, stored
from tests.integration.fault_proxy import Fault, FaultProxy


@pytest.fixture
def watched(aws: Aws) -> Aws:
    """A bucket with some jobs, and what is none."""
    for number in range(4):
        aws.put(f"status/started-{number}-status.json", content("STARTED"))
    aws.put("status/failed-status.json", content("FAILED"))
    aws.put("status/foreign-status.json", b"[]")
    return aws


def content(status: str) -> bytes:
    return json.dumps(stored(step_event(f"chunk {status}"))).encode()


class Pauses:
    """Stands for the time between two looks: each time does the next thing, and in the end it is Ctrl-C."""

    def __init__(self, *things: Callable[[], object]) -> None:
        self._things: Iterator[Callable[[], object]] = iter(things)

    def __call__(self, seconds: float) -> None:
        for thing in self._things:
            thing()
            return
        raise KeyboardInterrupt


def target(aws: Aws) -> Target:
    return Target(
        is_embedded=False,
        url="",
        queue_url="",
        bucket=aws.bucket,
        prefix="status",
        sqs=aws.client("sqs"),
        s3=aws.s3,
        description="",
    )


def failed(now: float) -> Wanted:
    return Wanted(now, Kind.FAILED)


def test_a_watch_in_a_pipe_is_a_line_for_each_change_until_ctrl_c(
    watched: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN a job that fails between two looks
    pauses = Pauses(lambda: None, lambda: watched.put("status/started-1-status.json", content("FAILED")))
    # WHEN the failed ones are watched
    JobWatch(target(watched), failed, 50, as_json=True, sleep=pauses).run()
    # THEN each is told once
    told = [json.loads(line)["jobId"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(told[:2]) == ["failed", "foreign"]
    assert told[2:] == ["started-1"]


def test_a_watch_on_a_terminal_outlives_an_outage_and_gives_the_screen_back(
    watched: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a terminal, and a bucket that is gone after the first look and comes back
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80", "LINES": "7"}.items():
        monkeypatch.setenv(name, value)
    with FaultProxy(watched.url) as proxy:
        fault = Fault("GET", answer=(403, "AccessDenied"))
        pauses = Pauses(lambda: proxy.faults.append(fault), lambda: None)
        s3 = watched.client("s3", proxy.url)
        # WHEN it is watched
        JobWatch(replace(target(watched), s3=s3), Wanted, 50, as_json=False, sleep=pauses).run()
    # THEN the outage is said, and the list comes back
    shown = capsys.readouterr().out
    first, outage, again = re.split(r"(?=Reading the bucket failed)|(?<=every 5 seconds\.)", shown)
    assert "AccessDenied" in outage
    assert re.search(r"[^.]\.\s+Looking again", re.sub(r"\x1b\[\d*m", "", outage))
    for screen in (first, again):
        assert "STARTED" in screen
        # (There is room for it, though not for all jobs.)
        assert "6 objects." in screen
    assert shown.endswith(("\x1b[?25h\x1b[?1049l", "\x1b[?1049l\x1b[?25h"))

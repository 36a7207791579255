"""The judge sees what it is there to see: what excuses a repeated POST, and what a log says."""

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aws_lambda_powertools import Logger

from handler import app
from tools.chaos.aws import Version
from tools.chaos.catalog import Post
from tools.chaos.harness import Run
from tools.chaos.judge import Judge, judge
from tools.chaos.proxy import Request

KEY = "p/j-status.json"
TOKEN = "s3cret-token"
URI = "https://a.b/{z}/{x}/{y}.png"


def version(at: float, section: dict[str, Any], writer: int = 1) -> Version:
    body = json.dumps({"catalog": section}).encode()
    return Version(round(at * 10), KEY, body, "etag", 0, writer, at, {})


def post(at: float) -> Post:
    request = cast("Request", SimpleNamespace(worker=1, fate=None, answered=True, begun=at, ended=at))
    return Post(round(at * 10), URI, ("a",), at, at, request)


def run(versions: list[Version], log: str) -> Run:
    """What a run left behind, as far as these tests look."""
    left = SimpleNamespace(
        s3=SimpleNamespace(
            versions=defaultdict(list, {KEY: versions} if versions else {}), bucket="b", trouble=[]
        ),
        sqs=SimpleNamespace(messages={}, trouble=[]),
        catalog=SimpleNamespace(entries={}, posts=[], trouble=[]),
        proxy=SimpleNamespace(met=[], secrets=[]),
        schedule=SimpleNamespace(messages=[], jobs={}),
        token=TOKEN,
        stuck=[],
        crashed=[],
        thefts=[],
        kills=[],
        lags=[],
        logs={1: log},
    )
    return cast("Run", left)


@pytest.mark.parametrize(
    ("between", "why"),
    [
        # Of the claim's POST nobody knows whether the catalog took it: the first images are told again.
        ([version(2, {"digest": "B", "state": "PENDING"})], "other images were claimed in between"),
        ([version(2, {"digest": "A", "state": "NOTIFIED"})], None),
        ([], None),
    ],
)
def test_a_repeated_post_needs_a_reason(between: list[Version], why: str | None) -> None:
    # GIVEN images A, told and recorded at second 1, and claimed and told again at second 3
    versions = [version(1.1, {"digest": "A"}), *between, version(2.9, {"digest": "A"})]
    judge = Judge(run(versions, ""), "p/")
    # WHEN the judge is asked what for
    reason = judge._why_again("j", post(1), post(3), [post(1)])
    # THEN
    assert reason == why


def test_an_error_in_a_log_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    # GIVEN the log of a worker whose function logged, as it logs, that it met what it does not know
    logger = Logger(service="s", logger_formatter=app.logger.registered_formatter, stream=sys.stdout)
    try:
        raise KeyError("ours")
    except KeyError:
        logger.exception("Batch item failed unexpectedly")
    told = capsys.readouterr().out
    # WHEN it is judged, with a line that a kill cut short
    judge = Judge(run([], told + 'Fatal Python error\n{"level": "ERR'), "p/")
    judge._judge_logs()
    # THEN
    assert [finding.kind for finding in judge.findings] == ["unexpected"] * 2
    assert "KeyError" in judge.findings[0].text
    assert "Fatal Python error" in judge.findings[1].text


def test_a_refusal_that_is_logged_again_is_a_finding() -> None:
    line = json.dumps({"level": "WARNING", "message": "Message refused", "message_id": "m", "reason": "why"})
    judge = Judge(run([], f"{line}\n{line}\n"), "p/")
    judge._schedule = {}
    judge._judge_poison()
    assert [finding.kind for finding in judge.findings] == ["reason"]


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        (None, lambda left: None),
        ("unfinished", lambda left: left.stuck.append("a worker")),
        ("request", lambda left: left.s3.trouble.append("a request that S3 has not")),
        ("outside", lambda left: left.s3.versions[KEY].append(version(1, {}))),
        ("secret", lambda left: left.s3.versions[KEY].append(version(1, {"error": TOKEN}))),
        ("secret", lambda left: left.logs.update({1: json.dumps({"reason": TOKEN})})),
        ("secret", lambda left: left.proxy.secrets.append("a redirect's target")),
        ("secret", lambda left: left.thefts.append("a redirect's target")),
        ("catalog", lambda left: left.catalog.entries.update({URI: ("a",)})),
        ("repeated", lambda left: left.catalog.posts.extend([post(1), post(3)])),
    ],
)
def test_what_is_wrong_with_a_whole_run_is_a_finding(kind: str | None, spoil: Callable[[Any], None]) -> None:
    # GIVEN a run of which no job, message or POST is left, but for one thing
    left = run([], "")
    spoil(left)
    # WHEN it is judged
    kinds = {finding.kind for finding in judge(left, "p/")}
    # THEN that is found
    assert (kind in kinds) if kind else (not kinds)

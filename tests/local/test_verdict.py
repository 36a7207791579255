"""The demo's judge: whatever is wrong, it sees it."""

from dataclasses import replace
from typing import Any

import pytest

from local.demo.scenario import SCENARIO, Expected, Job
from local.demo.verdict import judge_catalog, judge_dead_letters, judge_job, judge_strangers

JOB = SCENARIO.jobs[0]
IDS = [f"id-{number}" for number in range(len(JOB.messages))]


def found(job: Job = JOB) -> dict[str, Any]:
    """Give the status object that the job should have."""
    assert job.expected.registration
    return {
        "jobId": job.job_id,
        "stage": "COMPLETE",
        "status": "SUCCESS",
        "attempt": 1,
        "tileJson": {"tiles": [job.expected.registration.uri]},
        "catalog": {"state": "NOTIFIED", "attempts": 1},
        "history": [
            {"messageId": name, "stage": message.stage, "status": message.status}
            for name, message in zip(IDS, job.messages, strict=True)
        ],
    }


def test_the_right_status_object_is_right() -> None:
    assert judge_job(JOB, IDS, found()).differences == ()


@pytest.mark.parametrize(
    "change",
    [
        {"jobId": "another"},
        {"stage": "mosaic"},
        {"status": "FAILED"},
        {"attempt": 2},
        {"error": "left over"},
        {"tileJson": None},
        {"tileJson": {"tiles": ["http://elsewhere"]}},
        {"catalog": None},
        {"catalog": {"state": "FAILED", "attempts": 1}},
        {"catalog": {"state": "NOTIFIED", "attempts": 2}},
        {"history": found()["history"][1:]},
        {"history": found()["history"][::-1]},
        {"history": found()["history"] * 2},
    ],
    ids=str,
)
def test_anything_else_in_a_status_object_is_a_difference(change: dict[str, Any]) -> None:
    assert judge_job(JOB, IDS, found() | change).differences


def test_a_missing_status_object_is_a_difference() -> None:
    assert judge_job(JOB, IDS, None).differences


def test_an_entry_in_the_catalog_for_an_unfinished_job_is_a_difference() -> None:
    unfinished = replace(JOB, expected=Expected("COMPLETE", "SUCCESS"))
    assert judge_job(unfinished, IDS, found()).differences
    assert judge_catalog([unfinished], [payload()]).differences


def payload(*images: str) -> dict[str, Any]:
    registration = JOB.expected.registration
    assert registration
    return {
        "uri": registration.uri,
        "images": [{"uuid": image} for image in images or registration.images],
    }


@pytest.mark.parametrize(
    ("taken", "is_right"),
    [
        ([payload()], True),
        ([], False),
        ([payload(), payload()], False),
        ([payload("/vsicurl/http://x")], False),
        ([payload() | {"uri": "http://other"}], False),
    ],
    ids=["once", "not at all", "twice", "other images", "other uri"],
)
def test_the_catalog_must_be_told_of_each_finished_job_once(taken: list[Any], is_right: bool) -> None:
    assert (not judge_catalog([JOB], taken).differences) == is_right


@pytest.mark.parametrize(
    ("bodies", "is_right"),
    [(["x", "y"], True), (["y", "x"], True), (["x"], False), (["x", "y", "z"], False), (["x", "x"], False)],
)
def test_the_dead_letters_must_be_the_poison(bodies: list[str], is_right: bool) -> None:
    assert (not judge_dead_letters(["x", "y"], bodies).differences) == is_right


def test_an_object_that_is_nobodys_is_a_difference() -> None:
    assert judge_strangers([JOB], ["test-job"]).differences == ()
    assert judge_strangers([JOB], ["test-job", "escape"]).differences

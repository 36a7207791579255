"""Status objects, laid out for people."""

from typing import Any

from handler.job_status import JobStatus, fold
from handler.status_object import to_json
from local.cli.jobs import read_jobs, timeline
from tests.conftest import Aws
from tests.factories import event


def entry(stage: str, status: str, **more: Any) -> dict[str, Any]:
    return {
        "messageId": "m",
        "sentAt": "2026-01-02T03:04:05.678Z",
        "stage": stage,
        "status": status,
        **more,
    }


def test_each_entry_is_of_the_attempt_that_it_belongs_to() -> None:
    # GIVEN a history with two restarts
    history = [
        entry("chunk", "STARTED"),
        entry("chunk", "FAILED"),
        entry("chunk", "STARTED"),
        entry("chunk", "FINISHED"),
        entry("mosaic", "STARTED"),
        entry("mosaic", "STARTED"),
        entry("mosaic", "FINISHED"),
    ]

    # WHEN it is laid out
    entries = timeline({"history": history})

    # THEN a repeated STARTED begins an attempt
    assert [laid.attempt for laid in entries] == [1, 1, 2, 2, 2, 3, 3]
    assert entries[0].time == "03:04:05.678"


def test_attempts_go_on_counting_after_what_was_dropped() -> None:
    # GIVEN a history whose beginning is gone
    dropped = {"attempt": 7, "steps": ["chunk STARTED", "chunk FINISHED"]}
    history = [entry("mosaic", "STARTED", droppedBefore=dropped), entry("mosaic", "STARTED")]

    # WHEN it is laid out
    # THEN it counts on from there
    assert [laid.attempt for laid in timeline({"history": history})] == [7, 8]


def test_details_are_short_and_on_one_line() -> None:
    # GIVEN entries with a long text, a stack and a list
    history = [
        entry("chunk", "FAILED", error="first\nsecond " + "x" * 500, stack="\n".join("abcdef")),
        entry("mosaic", "FINISHED", target="s3://b/k", images=["a", "b"]),
    ]

    # WHEN they are laid out
    failed, finished = timeline({"history": history})

    # THEN they are short
    assert failed.detail.startswith("error: first⏎second xxx")
    assert failed.detail.endswith("stack: 6 lines")
    assert len(failed.detail) <= 100
    assert finished.detail == "target: s3://b/k, images: 2 of them"


def test_status_objects_are_read_and_nothing_else(aws: Aws) -> None:
    # GIVEN a bucket with a status object, and other objects
    status = fold(JobStatus(), [event("chunk", "STARTED")])
    aws.put("a/b/job-status.json", to_json("job", status))
    aws.put("a/b/other.json", b"{}")
    aws.put("a/b/deeper/job2-status.json", b"{}")
    aws.put("a/bb/job3-status.json", b"{}")

    # WHEN they are read
    jobs = read_jobs(aws.s3, aws.bucket, "/a//b/")

    # THEN there is one, and its timeline
    assert list(jobs) == ["job"]
    assert [(laid.stage, laid.status, laid.detail) for laid in timeline(jobs["job"])] == [
        ("chunk", "STARTED", "")
    ]


def test_a_job_that_has_no_history_has_no_timeline() -> None:
    assert timeline({"status": "PENDING"}) == []

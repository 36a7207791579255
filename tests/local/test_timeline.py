"""A job's history, laid out for people."""

import itertools
import json
from typing import Any

import pytest

from local.cli.timeline import timeline


@pytest.fixture
def entry() -> Any:
    """Make entries, each a second after the one before."""
    seconds = itertools.count()

    def make(stage: str, status: str, **more: Any) -> dict[str, Any]:
        second = next(seconds)
        at = f"2026-01-02T03:04:{second:02d}.678Z"
        return {"messageId": f"m{second}", "sentAt": at, "stage": stage, "status": status, **more}

    return make


def laid(history: list[Any]) -> Any:
    return timeline({"stage": "chunk", "status": "STARTED", "history": history})


def test_each_entry_is_of_the_attempt_that_it_belongs_to(entry: Any) -> None:
    # GIVEN a history with two restarts
    history = [
        entry("chunk", "STARTED"),
        entry("chunk", "FAILED"),
        entry("chunk", "STARTED"),
        entry("chunk", "FINISHED"),
        entry("mosaic", "STARTED"),
        entry("mosaic", "STARTED"),
        entry("mosaic", "FINISHED", target="s3://b/k", images=[]),
    ]

    # WHEN it is laid out
    entries = laid(history)

    # THEN a repeated STARTED begins an attempt
    assert [found.attempt for found in entries] == [1, 1, 2, 2, 2, 3, 3]
    assert (entries[0].date, entries[0].time) == ("2026-01-02", "03:04:00.678")


def test_attempts_go_on_counting_after_what_was_dropped_and_before_it_none_is_claimed(entry: Any) -> None:
    # GIVEN a history with a gap after its first entry, which was kept
    dropped = {"attempt": 7, "steps": ["chunk STARTED", "chunk FINISHED"]}
    kept = entry("mosaic", "FINISHED", target="s3://b/k", images=[])
    history = [kept, entry("mosaic", "STARTED", droppedBefore=dropped), entry("mosaic", "STARTED")]

    # WHEN it is laid out
    # THEN it counts on from there
    assert [found.attempt for found in laid(history)] == [None, 7, 8]


def test_details_are_short_and_on_one_line(entry: Any) -> None:
    # GIVEN entries with a long text, a stack and a list
    history = [
        entry("chunk", "FAILED", error="first\nsecond " + "x" * 500, stack="\n".join("abcdef")),
        entry("mosaic", "FINISHED", target="s3://b/k", images=["a", "b"]),
    ]

    # WHEN they are laid out
    failed, finished = laid(history)

    # THEN they are short
    assert failed.detail.startswith("error: first⏎second xxx")
    assert failed.detail.endswith("stack: 6 lines")
    assert len(failed.detail) <= 100
    assert finished.detail == "target: s3://b/k, images: 2 of them"


def test_an_entry_that_was_broken_by_hand_hides_no_other(entry: Any) -> None:
    broken: list[Any] = [None, {}, entry("chunk", "STARTED", sentAt="yesterday"), entry("chunk", "begun")]
    assert [found.status for found in laid([*broken, entry("chunk", "FAILED", error="e")])] == ["FAILED"]


@pytest.mark.parametrize(
    "status", [{"status": "PENDING"}, {"stage": "chunk", "status": "FAILED"}, {"history": 1}]
)
def test_a_job_that_has_no_history_has_no_timeline(status: dict[str, Any]) -> None:
    assert timeline(json.loads(json.dumps(status))) == []

"""What became of a notification, said in words that tell what comes next."""

from typing import Any

import pytest

from local.cli.catalog_words import catalog_in_words
from tests.factories import NOON, fields

AT = "2023-11-14T22:13:20.000Z"  # NOON
SUCCESS = {"stage": "COMPLETE", "status": "SUCCESS", "history": [fields("mosaic", "FINISHED")]}
NEXT = "next try with the message's next delivery, within 20 minutes (60 if the catalog asked for it)"
SOON = "2023-11-14T22:14:20.000Z"
AGO = "2023-11-14T22:12:20.000Z"

SECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "notified": ({"state": "NOTIFIED", "attempts": 2, "updatedAt": AT}, f"told at {AT}, at try 2"),
    "mocked": ({"state": "MOCKED", "updatedAt": AT}, f"not told: at {AT} the function ran with MOCK_OAM_API"),
    "refused": (
        {"state": "FAILED", "attempts": 3, "error": "HTTP 400: no such image"},
        f"refused 3 times, last: HTTP 400: no such image; {NEXT}",
    ),
    "down": (
        {"state": "FAILED", "attempts": 1, "error": "HTTP 503: "},
        f"failed 1 time, last: HTTP 503: ; {NEXT}",
    ),
    "late": (
        {"state": "FAILED", "attempts": 1, "error": "no answer", "claimedUntil": SOON, "claimedBy": "x"},
        f"failed 1 time, last: no answer; {NEXT}, not before {SOON}: until then the catalog may be at work on it",
    ),
    "claimed": (
        {"state": "PENDING", "attempts": 1, "claimedUntil": SOON, "claimedBy": "x"},
        f"an invocation is telling it now, at try 1, until {SOON} at the latest",
    ),
    "killed": (
        {"state": "PENDING", "attempts": 1, "claimedUntil": AGO, "claimedBy": "x"},
        f"asked at try 1, and no answer was recorded by {AGO}; {NEXT}",
    ),
    "held back": (
        {"state": "PENDING", "attempts": 0},
        f"not asked: there was no time left, or it was down a moment before; {NEXT}",
    ),
    "by hand": ({"state": "DONE\x1b[31m"}, r"its state is none of the known ones: DONE\x1b[31m"),
    "an escape": (
        {"state": "FAILED", "attempts": 1, "error": "HTTP 400: \x1b]0;x\x07"},
        rf"refused 1 time, last: HTTP 400: \x1b]0;x\x07; {NEXT}",
    ),
}


@pytest.mark.parametrize(("section", "words"), SECTIONS.values(), ids=SECTIONS)
def test_each_state_says_what_comes_next(section: dict[str, Any], words: str) -> None:
    assert catalog_in_words(SUCCESS | {"catalog": section}, NOON) == words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (SUCCESS, "not told: the job's target or images are none that it could be told of"),
        ({"stage": "COMPLETE", "status": "SUCCESS"}, "not known: the older system wrote this object"),
        ({"stage": "chunk", "status": "STARTED", "history": []}, "told when the job is done"),
        (
            SUCCESS | {"catalog": "x"},
            "not told: the job's target or images are none that it could be told of",
        ),
    ],
)
def test_a_job_without_a_section_says_why(status: dict[str, Any], words: str) -> None:
    assert catalog_in_words(status, NOON) == words

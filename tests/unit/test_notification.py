"""What the catalog is told, when, and by whom: the rules of the `catalog` section."""

import json
from typing import Any

import pytest

from handler.job_status import JobStatus, fold, iso, read
from handler.notification import (
    CatalogState,
    Notification,
    claimed,
    due,
    is_claimed,
    is_told,
    released,
    settled,
    unclaimed,
)
from tests.factories import NOON, event

URI = "https://b.s3.amazonaws.com/k/{z}/{x}/{y}.png"
ONE = Notification("m", URI, ("a", "b"))


def due_of(*events: Any) -> Notification | None:
    return due("j", fold(JobStatus(), events))


def test_nothing_is_due_before_success() -> None:
    assert (
        due_of(event("mosaic", "STARTED"), event("mosaic", "FAILED", target="s3://b/k", images=["a"])) is None
    )


def test_the_newest_success_is_due_and_its_images_lose_a_leading_vsicurl() -> None:
    images = ["/vsicurl/http://a/1.tif", "http://b/vsicurl/2.tif", "/vsicurl//vsicurl/3.tif", "vsicurl/4.tif"]
    found = due_of(event("mosaic", "FINISHED", 0), event("mosaic", "FINISHED", 9, "new", images=images))
    assert found
    assert found.message_id == "new"
    assert found.payload == {
        "uri": "https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png",
        "images": [
            {"uuid": "http://a/1.tif"},
            {"uuid": "http://b/vsicurl/2.tif"},
            {"uuid": "/vsicurl/3.tif"},
            {"uuid": "vsicurl/4.tif"},
        ],
    }


def test_the_same_uri_and_set_of_images_is_the_same_notification() -> None:
    assert ONE.digest == Notification("other", URI, ("b", "a", "a")).digest
    assert ONE.digest != Notification("m", URI + "x", ("a", "b")).digest
    assert ONE.digest != Notification("m", URI, ("a", "b", "c")).digest
    assert ONE.digest != Notification("m", URI, ("a,b",)).digest


@pytest.mark.parametrize(
    ("state", "done", "told"),
    [
        ("NOTIFIED", "NOTIFIED", True),
        ("NOTIFIED", "MOCKED", True),
        ("MOCKED", "MOCKED", True),
        ("MOCKED", "NOTIFIED", False),
        ("FAILED", "NOTIFIED", False),
        ("PENDING", "NOTIFIED", False),
        (None, "NOTIFIED", False),
        ({}, "NOTIFIED", False),
    ],
)
def test_only_a_success_of_this_notification_counts_as_told(state: object, done: str, told: bool) -> None:
    assert is_told({"state": state, "digest": ONE.digest}, ONE, CatalogState(done)) is told
    assert not is_told({"state": state, "digest": "other"}, ONE, CatalogState(done))


@pytest.mark.parametrize(
    ("catalog", "claimed_by_another"),
    [
        ({}, False),
        ({"claimedBy": "other", "claimedUntil": iso(NOON + 1)}, True),
        ({"claimedBy": "other", "claimedUntil": iso(NOON)}, False),
        ({"claimedBy": "me", "claimedUntil": iso(NOON + 1)}, False),
        ({"claimedBy": "other", "claimedUntil": "tomorrow"}, False),
        ({"claimedBy": "other", "claimedUntil": 9e99}, False),
    ],
)
def test_a_claim_holds_until_it_expires_and_not_against_its_owner(
    catalog: dict[str, Any], claimed_by_another: bool
) -> None:
    assert is_claimed(catalog, "me", NOON) is claimed_by_another


def test_attempts_count_the_claims_of_one_notification() -> None:
    first = claimed(ONE, {}, "a", NOON, NOON + 1_000)
    assert first == {
        "state": "PENDING",
        "uri": URI,
        "digest": ONE.digest,
        "attempts": 1,
        "updatedAt": iso(NOON),
        "claimedUntil": iso(NOON + 1_000),
        "claimedBy": "a",
    }
    failed = settled(first, CatalogState.FAILED, NOON + 5, "HTTP 500: no")
    assert failed == {
        "state": "FAILED",
        "uri": URI,
        "digest": ONE.digest,
        "attempts": 1,
        "updatedAt": iso(NOON + 5),
        "error": "HTTP 500: no",
    }
    second = claimed(ONE, failed, "b", NOON, NOON)
    assert second["attempts"] == 2
    assert "error" not in second
    other = Notification("m", URI, ("c",))
    assert claimed(other, failed, "b", NOON, NOON)["attempts"] == 1


def test_a_claim_of_ones_own_stands_as_it_is() -> None:
    mine = claimed(ONE, {}, "me", NOON, NOON + 1)
    assert claimed(ONE, mine, "me", NOON + 500, NOON + 999) is mine


def test_what_is_due_but_not_begun_is_pending_and_claimed_by_nobody() -> None:
    assert unclaimed(ONE, {"digest": "other", "attempts": 3, "error": "old"}, NOON) == {
        "state": "PENDING",
        "uri": URI,
        "digest": ONE.digest,
        "attempts": 0,
        "updatedAt": iso(NOON),
    }


def test_what_went_wrong_last_time_stays_while_nobody_is_at_it() -> None:
    failed = {"state": "FAILED", "digest": ONE.digest, "attempts": 3, "error": "HTTP 503: down"}
    assert unclaimed(ONE, failed, NOON) == failed


def test_a_claim_that_nobody_will_use_is_dropped_so_that_the_next_delivery_need_not_wait_for_its_end() -> (
    None
):
    mine = claimed(ONE, {}, "me", NOON, NOON + 60_000)
    assert not is_claimed(unclaimed(ONE, mine, NOON), "next", NOON + 1)


def test_a_claim_that_is_given_up_leaves_no_trace_of_an_attempt() -> None:
    failed = {"state": "FAILED", "digest": ONE.digest, "attempts": 3, "uri": URI, "error": "HTTP 503: down"}
    given_up = released(claimed(ONE, failed, "me", NOON, NOON + 60_000), NOON)
    assert (given_up["state"], given_up["attempts"]) == ("PENDING", 3)
    assert not {"claimedBy", "claimedUntil", "error"} & set(given_up)


@pytest.mark.parametrize("images", [[1], [{"uuid": "x"}], "http://a/1.tif", None])
def test_an_entry_with_images_that_no_message_could_have_does_not_fail_the_job(images: object) -> None:
    entry = {"messageId": "m", "sentAt": iso(NOON), "stage": "mosaic", "status": "FINISHED"}
    stored = {"history": [entry | {"target": "s3://b/k", "images": images}]}
    assert due("test-job", read(json.dumps(stored).encode(), 0)) is None


def test_attempts_that_somebody_broke_are_counted_anew() -> None:
    assert claimed(ONE, {"digest": ONE.digest, "attempts": "odd"}, "me", NOON, NOON)["attempts"] == 1

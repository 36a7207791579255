"""The rules of the `catalog` section: what the catalog must know, and what became of it."""

import json
from typing import Any

import pytest

from handler.catalog_entry import CatalogEntry, CatalogState, Notification, notification_for
from handler.job_status import JobStatus, fold
from handler.status_object import read, to_iso
from tests.factories import NOON, event

URI = "https://b.s3.amazonaws.com/k/{z}/{x}/{y}.png"
ONE = Notification(URI, ("a", "b"))


def notification_of(*events: Any) -> Notification | None:
    return notification_for(fold(JobStatus(), events))


def test_nothing_is_due_before_success() -> None:
    assert (
        notification_of(
            event("mosaic", "STARTED"), event("mosaic", "FAILED", target="s3://b/k", images=["a"])
        )
        is None
    )


def test_the_newest_success_is_due_and_its_images_lose_a_leading_vsicurl() -> None:
    images = ["/vsicurl/http://a/1.tif", "http://b/vsicurl/2.tif", "/vsicurl//vsicurl/3.tif", "vsicurl/4.tif"]
    found = notification_of(
        event("mosaic", "FINISHED", 0), event("mosaic", "FINISHED", 9, "new", images=images)
    )
    assert found
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
    assert ONE.digest == Notification(URI, ("b", "a", "a")).digest
    assert ONE.digest != Notification(URI + "x", ("a", "b")).digest
    assert ONE.digest != Notification(URI, ("a", "b", "c")).digest
    assert ONE.digest != Notification(URI, ("a,b",)).digest


@pytest.mark.parametrize(
    ("state", "done", "notified"),
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
def test_only_a_success_of_this_notification_counts_as_notified(
    state: object, done: str, notified: bool
) -> None:
    entry = CatalogEntry.read({"state": state, "digest": ONE.digest})
    assert entry.is_notified(ONE, CatalogState(done)) is notified
    other = CatalogEntry.read({"state": state, "digest": "other"})
    assert not other.is_notified(ONE, CatalogState(done))


@pytest.mark.parametrize(
    ("section", "claimed_by_another"),
    [
        ({}, False),
        ({"claimedBy": "other", "claimedUntil": to_iso(NOON + 1)}, True),
        ({"claimedBy": "other", "claimedUntil": to_iso(NOON)}, False),
        ({"claimedBy": "me", "claimedUntil": to_iso(NOON + 1)}, False),
        ({"claimedBy": "other", "claimedUntil": "tomorrow"}, False),
        ({"claimedBy": "other", "claimedUntil": 9e99}, False),
    ],
)
def test_a_claim_holds_until_it_expires_and_not_against_its_owner(
    section: dict[str, Any], claimed_by_another: bool
) -> None:
    assert CatalogEntry.read(section).is_claimed("me", NOON) is claimed_by_another


def test_attempts_count_the_claims_of_one_notification() -> None:
    first = CatalogEntry().claim(ONE, "a", NOON, NOON + 1_000)
    assert first.section() == {
        "state": "PENDING",
        "uri": URI,
        "digest": ONE.digest,
        "attempts": 1,
        "updatedAt": to_iso(NOON),
        "claimedUntil": to_iso(NOON + 1_000),
        "claimedBy": "a",
    }
    failed = first.complete(CatalogState.FAILED, NOON + 5, "HTTP 500: no")
    assert failed.section() == {
        "state": "FAILED",
        "uri": URI,
        "digest": ONE.digest,
        "attempts": 1,
        "updatedAt": to_iso(NOON + 5),
        "error": "HTTP 500: no",
    }
    second = failed.claim(ONE, "b", NOON + 9, NOON + 90)
    assert second.section() == first.section() | {
        "attempts": 2,
        "updatedAt": to_iso(NOON + 9),
        "claimedUntil": to_iso(NOON + 90),
        "claimedBy": "b",
    }
    assert failed.claim(Notification(URI, ("c",)), "b", NOON, NOON).attempts == 1


def test_a_section_is_written_as_it_was_read() -> None:
    """Else a redelivery would write an object that has not changed."""
    claim = CatalogEntry().claim(ONE, "a", NOON, NOON + 1_000)
    for entry in (
        claim,
        claim.complete(CatalogState.NOTIFIED, NOON),
        claim.complete(CatalogState.FAILED, NOON, "no answer", keep_claim=True),
        claim.release(NOON),
    ):
        section = entry.section()
        assert list(CatalogEntry.read(section).section().items()) == list(section.items())


def test_an_own_claim_stands_as_it_is() -> None:
    mine = CatalogEntry().claim(ONE, "me", NOON, NOON + 1)
    assert mine.claim(ONE, "me", NOON + 500, NOON + 999) is mine


def test_an_own_claim_to_another_notification_is_made_anew() -> None:
    """A newer success came while the claim's write was not confirmed: recorded as the old one's, it is sent twice."""
    mine = CatalogEntry().claim(ONE, "me", NOON, NOON + 1)
    newer = Notification(URI, ("c",))
    found = mine.claim(newer, "me", NOON + 500, NOON + 999)
    assert (found.digest, found.owner, found.attempts) == (newer.digest, "me", 1)


def test_what_is_not_sent_yet_is_pending_and_has_no_claim() -> None:
    other = CatalogEntry.read({"digest": "other", "attempts": 3, "error": "old"})
    assert other.unclaimed(ONE, NOON).section() == {
        "state": "PENDING",
        "uri": URI,
        "digest": ONE.digest,
        "attempts": 0,
        "updatedAt": to_iso(NOON),
    }


def test_what_went_wrong_last_time_stays_while_it_is_not_sent_again() -> None:
    failed = CatalogEntry().claim(ONE, "a", NOON, NOON).complete(CatalogState.FAILED, NOON, "HTTP 503: down")
    assert failed.unclaimed(ONE, NOON + 9) == failed


def test_an_own_claim_that_is_not_used_is_dropped_so_that_the_next_delivery_need_not_wait_for_its_end() -> (
    None
):
    mine = CatalogEntry().claim(ONE, "me", NOON, NOON + 60_000)
    unused = mine.unclaimed(ONE, NOON)
    assert not unused.is_claimed("next", NOON + 1)
    # AND a next claim of the same owner is a new one
    assert unused.claim(ONE, "me", NOON + 1, NOON + 70_000).expires_at == NOON + 70_000


def test_a_failure_after_which_the_catalog_may_be_at_work_keeps_the_claim_until_its_end() -> None:
    mine = CatalogEntry().claim(ONE, "me", NOON, NOON + 60_000)
    failed = mine.complete(CatalogState.FAILED, NOON + 5, "no answer", keep_claim=True)
    assert (failed.state, failed.error, failed.updated_at) == ("FAILED", "no answer", to_iso(NOON + 5))
    assert failed.is_claimed("next", NOON + 59_999)
    assert not failed.is_claimed("next", NOON + 60_000)


def test_a_claim_that_is_released_leaves_no_trace_of_an_attempt() -> None:
    failed = CatalogEntry(CatalogState.FAILED, URI, ONE.digest, 3, error="HTTP 503: down")
    released = failed.claim(ONE, "me", NOON, NOON + 60_000).release(NOON)
    assert (released.state, released.attempts) == ("PENDING", 3)
    assert not {"claimedBy", "claimedUntil", "error"} & set(released.section())


@pytest.mark.parametrize("images", [[1], [{"uuid": "x"}], "http://a/1.tif", None])
def test_an_entry_with_images_that_no_message_could_have_does_not_fail_the_job(images: object) -> None:
    entry = {"messageId": "m", "sentAt": to_iso(NOON), "stage": "mosaic", "status": "FINISHED"}
    stored = {"history": [entry | {"target": "s3://b/k", "images": images}]}
    assert notification_for(read(json.dumps(stored).encode(), 0)) is None


def test_a_section_that_is_not_there_is_a_notification_of_which_nothing_became() -> None:
    assert CatalogEntry.read({}) == CatalogEntry()


def test_the_catalog_knows_a_job_by_where_a_cdn_has_its_tiles() -> None:
    found = notification_for(fold(JobStatus(), [event("mosaic", "FINISHED")]), "https://cdn.example.org")
    assert found
    assert found.uri == "https://cdn.example.org/test-job/{z}/{x}/{y}.png"


def test_attempts_that_were_broken_by_hand_are_counted_anew() -> None:
    broken = CatalogEntry.read({"digest": ONE.digest, "attempts": "odd"})
    assert broken.claim(ONE, "me", NOON, NOON).attempts == 1

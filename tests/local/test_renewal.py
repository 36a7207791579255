"""When a job's notification can become due again, and what is written and sent for it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from handler.catalog_entry import CatalogEntry, CatalogState, notification_for
from handler.job_status import JobStatus, fold
from handler.messages import parse
from handler.status_object import read, to_iso, to_json
from handler.status_store import StoredObject
from local.cli.renewal import NotRenewable, renew
from tests.factories import IMAGES, NOON, TARGET, step_event

NOW = NOON + 1_000_000


def finished() -> JobStatus:
    return fold(JobStatus(), [step_event("chunk STARTED"), step_event("mosaic FINISHED", 9, log="a log")])


def entry(status: JobStatus) -> CatalogEntry:
    """Give the entry of a notification that is claimed."""
    notification = notification_for(status)
    assert notification
    return CatalogEntry().claim(notification, "an invocation", NOON + 10, NOON + 70_000)


def stored(status: JobStatus, catalog: CatalogEntry | None = None) -> StoredObject:
    if catalog:
        status = replace(status, catalog=catalog.section())
    return StoredObject(to_json("test-job", status), "etag", NOON)


@pytest.mark.parametrize("state", [CatalogState.NOTIFIED, CatalogState.MOCKED])
def test_what_was_notified_becomes_due_and_nothing_else_in_the_object_changes(state: CatalogState) -> None:
    # GIVEN a job of which the catalog knows
    status = finished()
    done = entry(status).complete(state, NOON + 20)
    before = stored(status, done)
    # WHEN
    renewal = renew("test-job", before, NOW)
    # THEN the catalog's section says that it does not
    assert renewal.body is not None
    due = CatalogEntry.read(read(renewal.body, 0).catalog)
    assert not due.is_notified(notification_for(status), CatalogState.MOCKED)  # type: ignore[arg-type] # it is finished
    assert due == CatalogEntry(CatalogState.PENDING, done.uri, done.digest, 0, to_iso(NOW))
    # AND all else is there to the byte
    assert (
        renewal.body.replace(b"PENDING", state.encode()).split(b'"catalog"')[0]
        == before.body.split(b'"catalog"')[0]
    )
    assert read(renewal.body, 0).history == status.history


def test_the_message_repeats_what_decides_and_so_changes_no_more_than_the_history() -> None:
    # GIVEN a job with a later mosaic, which decides
    status = fold(finished(), [step_event("mosaic FINISHED", 50, images=["another"])])
    renewal = renew("test-job", stored(status), NOW)
    # WHEN the message comes
    message = parse("new", str(NOW), renewal.message)
    after = fold(status, [message.event])
    # THEN it is the same notification
    assert message.job_id == "test-job"
    assert (renewal.target, renewal.images) == (TARGET, 1)
    before_it, after_it = (notification_for(each) for each in (status, after))
    assert before_it == after_it
    # AND the object says what it said
    old, new = (json.loads(to_json("test-job", each)) for each in (status, after))
    assert old | {"history": 0, "updatedAt": 0} == new | {"history": 0, "updatedAt": 0}


def test_what_is_due_already_is_not_written_again() -> None:
    status = finished()
    for catalog in (None, entry(status).complete(CatalogState.FAILED, NOW, "HTTP 400"), entry(status)):
        assert renew("test-job", stored(status, catalog), NOW).body is None


def test_a_claim_is_respected_until_its_end() -> None:
    status = finished()
    claimed = stored(status, entry(status))
    with pytest.raises(NotRenewable, match=r"until 2023-11-14T22:14:30\.000Z nothing else"):
        renew("test-job", claimed, NOON + 69_999)
    assert renew("test-job", claimed, NOON + 70_000).body is None


LEGACY: dict[str, Any] = {"jobId": "test-job", "stage": "COMPLETE", "status": "SUCCESS"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it has no status object"),
        (b'{"status": "PENDING"}', "it is PENDING, not SUCCESS"),
        (json.dumps({"stage": "chunk", "status": "STARTED"}).encode(), "it is chunk STARTED, not SUCCESS"),
        (b"[]", "what is stored is no status object"),
        (json.dumps(LEGACY).encode(), "does not hold what the catalog has to know: target and images"),
        (json.dumps(LEGACY | {"target": "s3://b/k"}).encode(), "has to know: images is missing"),
        (json.dumps(LEGACY | {"target": "b", "images": []}).encode(), "has to know: target is not a usable"),
        (json.dumps(LEGACY | {"target": "s3://b/k", "images": [1]}).encode(), "has to know: images is not"),
    ],
)
def test_a_job_that_cannot_be_notified_of_is_refused_with_the_reason(
    content: bytes | None, reason: str
) -> None:
    with pytest.raises(NotRenewable, match=reason):
        renew("test-job", StoredObject(content, "etag", NOON) if content else None, NOW)


def test_a_success_of_the_legacy_system_with_target_and_images_needs_the_message_alone() -> None:
    content = json.dumps(LEGACY | {"target": TARGET, "images": IMAGES}).encode()
    renewal = renew("test-job", StoredObject(content, "etag", NOON), NOW)
    assert renewal.body is None
    assert parse("m", "0", renewal.message).event.fields["images"] == IMAGES


def test_a_job_id_that_the_function_refuses_is_refused() -> None:
    with pytest.raises(NotRenewable, match="jobId is not"):
        renew("../test-job", stored(finished()), NOW)

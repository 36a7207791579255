"""One job from message to catalog, over HTTP, and the races between two who publish it."""

import dataclasses
import functools
import itertools
import json
import threading
import time
from typing import Any

import pytest

from handler.catalog import Catalog
from handler.circuit_breaker import RECOVERY_TIMEOUT
from handler.deadline import Reserve
from handler.job_status import MAX_HISTORY
from handler.outcomes import (
    CatalogClaimed,
    CatalogDown,
    CatalogError,
    CircuitOpen,
    Outcome,
    OutOfTime,
    RetryLater,
    StatusConflict,
    StatusStoreError,
)
from handler.status_object import from_iso, to_iso
from handler.status_store import ATTEMPTS
from local.stack.http_server import Answer
from tests.conftest import TOKEN
from tests.factories import event
from tests.integration.fault_proxy import Fault
from tests.integration.stage import PAYLOAD, URI, Stage, finished


def test_all_messages_of_a_job_are_one_get_and_one_put(stage: Stage) -> None:
    events = [event("chunk", "STARTED", 0), event("chunk", "FAILED", 1), event("chunk", "STARTED", 2)]
    assert not stage.publish(*events)
    assert stage.requests() == ["GET", "PUT"]
    assert stage.status()["attempt"] == 2
    # AND a redelivery is one GET
    assert not stage.publish(*events)
    assert stage.requests() == ["GET", "PUT", "GET"]
    assert stage.report.outcomes == [Outcome.UNCHANGED] * 3
    # AND neither has to do with the catalog
    assert stage.posts == []
    assert "catalog" not in stage.status()


def test_a_finished_job_is_written_and_the_catalog_told_and_that_recorded(stage: Stage) -> None:
    # WHEN
    assert not stage.publish(finished())
    # THEN
    assert stage.posts == [PAYLOAD]
    assert stage.catalog.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    section = stage.section()
    assert section.pop("digest")
    assert section == {"state": "NOTIFIED", "uri": URI, "attempts": 1, "updatedAt": to_iso(stage.now)}
    assert stage.requests() == ["GET", "PUT", "PUT"]
    assert sorted(stage.report.outcomes) == [Outcome.CATALOG_NOTIFIED, Outcome.PUBLISHED]
    assert stage.report.lags == [60_000]


def test_the_claim_is_in_the_same_write_as_success_and_ends_with_the_invocation(stage: Stage) -> None:
    # GIVEN a catalog that lets us look at the object during the POST
    seen: list[dict[str, Any]] = []
    stage.catalog.answers.append(Answer(200, before=lambda: seen.append(stage.status())))
    # WHEN
    stage.publish(finished(), seconds=30)
    # THEN
    (during,) = seen
    assert (during["stage"], during["status"]) == ("COMPLETE", "SUCCESS")
    assert during["catalog"]["state"] == "PENDING"
    assert during["catalog"]["claimedUntil"] == to_iso(stage.now + 30_000)


def test_a_catalog_that_knows_is_not_told_again(stage: Stage) -> None:
    stage.publish(finished())
    # WHEN the message is redelivered, and redriven, its images in another order
    assert not stage.publish(finished())
    assert not stage.publish(finished("redriven", 99, images=list(reversed(finished().fields["images"]))))
    # THEN
    assert len(stage.posts) == 1
    assert stage.section()["state"] == "NOTIFIED"


def test_other_images_are_told(stage: Stage) -> None:
    stage.publish(finished())
    assert not stage.publish(finished("again", 99, images=["http://other/image.tif"]))
    assert [post["images"] for post in stage.posts] == [
        PAYLOAD["images"],
        [{"uuid": "http://other/image.tif"}],
    ]
    assert stage.section()["attempts"] == 1


def test_an_older_success_that_arrives_late_is_not_told(stage: Stage) -> None:
    stage.publish(finished("newer", 50))
    assert not stage.publish(finished("older", 0, images=["http://old/image.tif"]))
    assert len(stage.posts) == 1


def test_a_redriven_success_that_a_newer_one_replaced_is_acknowledged_and_tells_nothing(stage: Stage) -> None:
    # GIVEN a success that the catalog refused until it was a dead letter, and a newer one that it took
    stage.catalog.answers.append(Answer(400))
    stage.publish(finished("a", 0))
    assert not stage.publish(finished("b", 50, images=["http://new/image.tif"]))
    # WHEN the first comes back by a redrive
    assert not stage.publish(finished("a-again", 99))
    # THEN the newer one stays, in the status and in the catalog
    assert stage.status()["images"] == ["http://new/image.tif"]
    assert stage.section()["state"] == "NOTIFIED"
    assert [post["images"][0]["uuid"] for post in stage.posts][1:] == ["http://new/image.tif"]


def test_a_redriven_success_tells_the_catalog_what_its_first_message_could_not(stage: Stage) -> None:
    # GIVEN a success that the catalog refused until it was a dead letter
    stage.catalog.answers.extend([Answer(400), Answer(500)])
    stage.publish(finished("a", 0))
    # WHEN it comes back by a redrive, under another messageId, and is refused once more
    failed = stage.publish(event("mosaic", "STARTED", -1, "start"), finished("a-again", 99))
    # THEN it is the one that fails
    assert list(failed) == ["a-again"]
    assert stage.section()["state"] == "FAILED"
    # AND its next delivery tells the catalog
    assert not stage.publish(finished("a-again", 99))
    assert stage.section()["state"] == "NOTIFIED"
    assert stage.posts == [PAYLOAD] * 3


def test_of_a_success_and_its_repeat_in_one_batch_one_comes_back(stage: Stage) -> None:
    stage.catalog.answers.append(Answer(500))
    failed = stage.publish(
        finished("other", 200, images=[]), finished("a-again", 99), finished("a", 300, images=[])
    )
    assert len(failed) == 1
    assert stage.status()["images"] == []
    assert list(failed) in (["other"], ["a"])


@pytest.mark.parametrize("order", [*itertools.permutations(["a", "b", "a-again"])])
@pytest.mark.parametrize("refused", [False, True])
def test_in_whatever_order_a_redriven_success_arrives_the_catalog_ends_with_the_newest(
    stage: Stage, order: tuple[str, ...], refused: bool
) -> None:
    # GIVEN two successes, and the first one's repeat
    sent = {"a": finished("a", 0), "b": finished("b", 50, images=["http://new/image.tif"]),
            "a-again": finished("a-again", 99)}  # fmt: skip
    queue = [sent[name] for name in order]
    # WHEN they are delivered one by one, until each is acknowledged; the catalog takes each at its second POST
    for number, message in enumerate(queue):
        if refused and number < 3:
            stage.catalog.answers.append(Answer(500))
        if stage.publish(message):
            queue.append(message)
        stage.catalog.answers.clear()
        assert len(queue) < 20
    # THEN status, record and catalog say the same
    assert stage.status()["images"] == ["http://new/image.tif"]
    assert stage.section()["state"] == "NOTIFIED"
    assert [image["uuid"] for image in stage.posts[-1]["images"]] == ["http://new/image.tif"]
    # AND all that came is in the history
    assert [entry["messageId"] for entry in stage.status()["history"]] == ["a", "b", "a-again"]


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_a_refusal_fails_the_message_and_keeps_success_with_what_the_catalog_said(
    stage: Stage, status: int
) -> None:
    # GIVEN
    stage.catalog.answers.append(Answer(status, body=b"no such image"))
    # WHEN
    failed = stage.publish(event("mosaic", "STARTED", -1, "start"), finished())
    # THEN only the message that finishes the job comes back
    assert list(failed) == ["done"]
    assert isinstance(failed["done"], CatalogError)
    found = stage.status()
    assert found["status"] == "SUCCESS"
    assert found["catalog"]["state"] == "FAILED"
    assert found["catalog"]["attempts"] == 1
    assert found["catalog"]["error"] == f"HTTP {status}: no such image"
    assert "claimedUntil" not in found["catalog"]
    assert Outcome.CATALOG_FAILED in stage.report.outcomes
    # AND its redelivery tells the catalog, and forgets the error
    assert not stage.publish(finished())
    assert stage.section()["state"] == "NOTIFIED"
    assert stage.section()["attempts"] == 2
    assert "error" not in stage.section()


def test_a_straggler_of_a_job_that_the_catalog_refused_neither_tells_it_nor_waits_for_it(
    stage: Stage,
) -> None:
    # GIVEN a success that the catalog refused, whose message is in the queue
    stage.catalog.answers.append(Answer(500))
    stage.publish(finished())
    # WHEN another message of the job arrives late
    assert not stage.publish(event("chunk", "FINISHED", -5, "late"))
    # THEN it is in the history, and the notification is left to the message that it belongs to
    assert [entry["messageId"] for entry in stage.status()["history"]] == ["late", "done"]
    assert len(stage.posts) == 1
    assert stage.section()["state"] == "FAILED"


def test_a_redirect_is_no_success(stage: Stage) -> None:
    stage.catalog.answers.append(Answer(302, headers={"Location": f"{stage.catalog.url}/elsewhere"}))
    assert isinstance(stage.publish(finished())["done"], CatalogError)
    assert len(stage.posts) == 1


def test_who_finds_anothers_claim_fails_its_message_and_posts_nothing(stage: Stage) -> None:
    # GIVEN an instance in the middle of its POST
    others: list[dict[str, Exception]] = []
    stage.catalog.answers.append(Answer(200, before=lambda: others.append(stage.publish(finished()))))
    # WHEN it is done
    first = stage.publish(finished())
    # THEN the other one posted nothing, and its message comes back
    assert not first
    assert isinstance(others[0]["done"], CatalogClaimed)
    assert str(others[0]["done"]) == "another invocation is notifying the catalog of this job"
    assert len(stage.posts) == 1
    # AND finds nothing left to do then
    assert not stage.publish(finished())
    assert len(stage.posts) == 1


def test_other_images_that_arrive_during_a_post_wait_for_its_end(stage: Stage) -> None:
    # GIVEN an instance in the middle of its POST, when the job is finished again with other images
    newer = finished("newer", 50, images=["http://other/image.tif"])
    others: list[dict[str, Exception]] = []
    stage.catalog.answers.append(Answer(200, before=lambda: others.append(stage.publish(newer))))
    # WHEN
    assert not stage.publish(finished())
    # THEN the newer one is in the status, has failed, and is told at its redelivery
    assert isinstance(others[0]["newer"], CatalogClaimed)
    assert stage.status()["images"] == ["http://other/image.tif"]
    assert not stage.publish(newer)
    assert [post["images"][0]["uuid"] for post in stage.posts][-1] == "http://other/image.tif"
    assert len(stage.posts) == 2


def test_a_claim_of_a_killed_invocation_is_taken_over_when_it_has_expired(stage: Stage) -> None:
    # GIVEN an instance that is killed after its claim
    class Killed(BaseException):
        pass

    dying: Any = type("Dying", (), {"notify": staticmethod(lambda *_: (_ for _ in ()).throw(Killed()))})
    publisher = stage.publisher()
    notifier = dataclasses.replace(publisher.notifier, make_catalog=lambda: dying)
    publisher = dataclasses.replace(publisher, notifier=notifier)
    with pytest.raises(Killed):
        publisher.publish("test-job", [finished()], stage.deadline())
    assert stage.section()["state"] == "PENDING"
    # WHEN its message comes back before the claim's end, and after it
    assert stage.publish(finished())
    stage.now += 30_001
    assert not stage.publish(finished())
    # THEN
    assert len(stage.posts) == 1
    assert stage.section()["state"] == "NOTIFIED"
    assert stage.section()["attempts"] == 2


def test_an_answer_that_comes_after_the_claim_has_expired_does_not_undo_what_another_has_done(
    stage: Stage,
) -> None:
    # GIVEN a POST that outlives its claim: another instance takes over, and tells the catalog
    def take_over() -> None:
        stage.now += 30_001
        assert not stage.publish(finished())

    stage.catalog.answers.append(Answer(500, before=take_over))
    # WHEN the first instance gets its answer, a refusal
    assert isinstance(stage.publish(finished())["done"], CatalogError)
    # THEN what the other one recorded stands
    assert stage.section()["state"] == "NOTIFIED"
    assert stage.section()["attempts"] == 2


def test_an_own_claim_whose_answer_was_lost_is_not_taken_for_anothers(stage: Stage) -> None:
    # GIVEN the write of SUCCESS and claim is done, but its answer lost
    stage.proxy.faults.append(Fault("PUT", lose_answer=True))
    # WHEN
    assert not stage.publish(finished())
    # THEN
    assert len(stage.posts) == 1
    assert (stage.section()["state"], stage.section()["attempts"]) == ("NOTIFIED", 1)


def test_a_record_whose_answer_was_lost_is_a_success(stage: Stage) -> None:
    stage.catalog.answers.append(
        Answer(200, before=lambda: stage.proxy.faults.append(Fault("PUT", lose_answer=True)))
    )
    assert not stage.publish(finished())
    assert stage.section()["state"] == "NOTIFIED"


def overwrite(stage: Stage) -> None:
    """Write the API's PENDING over the object, with no condition."""
    stage.aws.put("status/test-job-status.json", b'{"jobId":"test-job","status":"PENDING","stage":"PENDING"}')


@pytest.mark.parametrize(("answer", "state"), [(200, "NOTIFIED"), (400, "FAILED")])
def test_the_apis_overwrite_during_the_post_is_mended(stage: Stage, answer: int, state: str) -> None:
    # GIVEN the API's unconditional PENDING in the middle of the POST
    stage.catalog.answers.append(Answer(answer, before=lambda: overwrite(stage)))
    # WHEN
    assert bool(stage.publish(finished())) == (state == "FAILED")
    # THEN
    assert stage.status()["status"] == "SUCCESS"
    assert (stage.section()["state"], stage.section()["uri"]) == (state, URI)


def test_an_answer_does_not_undo_what_another_did_after_the_apis_overwrite_had_removed_the_claim(
    stage: Stage,
) -> None:
    def take_over() -> None:
        overwrite(stage)
        assert not stage.publish(finished())

    stage.catalog.answers.append(Answer(500, before=take_over))
    assert isinstance(stage.publish(finished())["done"], CatalogError)
    assert (stage.section()["state"], stage.section()["attempts"]) == ("NOTIFIED", 1)


def test_a_message_that_arrives_during_the_post_is_not_lost(stage: Stage) -> None:
    late = event("chunk", "FAILED", 5, "late")
    stage.catalog.answers.append(Answer(200, before=lambda: stage.publish(late)))
    assert not stage.publish(finished())
    assert [entry["messageId"] for entry in stage.status()["history"]] == ["done", "late"]
    assert stage.section()["state"] == "NOTIFIED"


def test_s3_failing_after_the_post_fails_the_message_which_tells_the_catalog_again(stage: Stage) -> None:
    # GIVEN a record that S3 does not take
    stage.catalog.answers.append(
        Answer(
            200,
            before=lambda: stage.proxy.faults.extend(
                Fault("PUT", answer=(500, "InternalError")) for _ in range(3)
            ),
        )
    )
    # WHEN
    failed = stage.publish(event("mosaic", "STARTED", -1, "start"), finished())
    # THEN the message comes back when the claim has expired, and a repeat is harmless
    assert list(failed) == ["done"]
    assert isinstance(failed["done"], StatusStoreError)
    stage.now += 30_001
    assert not stage.publish(finished())
    assert len(stage.posts) == 2


def test_s3_and_the_catalog_both_failing_gives_the_catalogs_reason(stage: Stage) -> None:
    stage.catalog.answers.append(
        Answer(
            401,
            before=lambda: stage.proxy.faults.extend(
                Fault("PUT", answer=(500, "InternalError")) for _ in range(3)
            ),
        )
    )
    assert "HTTP 401" in str(stage.publish(finished())["done"])


def test_s3_failing_fails_all_the_jobs_messages_and_tells_the_catalog_nothing(stage: Stage) -> None:
    stage.proxy.faults.extend(Fault("PUT", answer=(500, "InternalError")) for _ in range(3))
    failed = stage.publish(event("chunk", "STARTED", 0, "a"), finished("b"))
    assert set(failed) == {"a", "b"}
    assert all(isinstance(error, RetryLater) for error in failed.values())
    assert stage.posts == []


def test_mocking_sends_nothing_and_logs_what_would_have_been_sent(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not stage.publish(finished(), mock=True)
    assert stage.posts == []
    assert stage.section()["state"] == "MOCKED"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["payload"] for line in lines if "payload" in line] == [PAYLOAD]
    # AND a repeat logs nothing, but a real catalog is told later
    stage.publish(finished(), mock=True)
    assert "payload" not in capsys.readouterr().out
    assert not stage.publish(finished())
    assert stage.posts == [PAYLOAD]


def test_a_job_is_not_begun_without_the_time_for_it(stage: Stage) -> None:
    failed = stage.publish(finished(), seconds=Reserve.JOB - 0.1)
    assert isinstance(failed["done"], OutOfTime)
    assert stage.requests() == []


def test_a_notification_is_not_begun_without_the_time_for_it_but_the_status_is_written(stage: Stage) -> None:
    # WHEN a little too little is left
    failed = stage.publish(finished(), seconds=Reserve.NOTIFY - 0.1)
    # THEN people see their tiles, and the message that comes back need not wait for a claim to expire
    assert isinstance(failed["done"], OutOfTime)
    assert str(failed["done"]) == "no time left to notify the catalog"
    assert stage.status()["status"] == "SUCCESS"
    assert (stage.section()["state"], stage.section()["attempts"]) == ("PENDING", 0)
    assert "claimedUntil" not in stage.section()
    assert not stage.publish(finished())
    assert stage.section()["state"] == "NOTIFIED"


def replaced(output: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in output.splitlines()]
    return [line for line in lines if line["message"] == "Stored object replaced"]


@pytest.mark.parametrize("body", [b"\x1f\x8b not json", b"[]", b'{"history": 3}', b"x" * 5_000_000])
def test_an_object_that_cannot_be_understood_is_replaced_and_the_log_says_which(
    stage: Stage, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    stage.aws.put("status/test-job-status.json", body)
    assert not stage.publish(event("chunk", "STARTED"))
    assert stage.status()["status"] == "STARTED"
    assert Outcome.REPLACED in stage.report.outcomes
    (line,) = replaced(capsys.readouterr().out)
    assert (line["job_id"], line["key"]) == ("test-job", "status/test-job-status.json")
    assert line["reason"]
    assert line.get("version_id") is None


def test_the_log_names_the_version_that_a_replaced_object_left_behind(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN a bucket with versions, and an object that can't be understood
    s3, key = stage.aws.s3, {"Bucket": stage.aws.bucket, "Key": "status/test-job-status.json"}
    s3.put_bucket_versioning(Bucket=stage.aws.bucket, VersioningConfiguration={"Status": "Enabled"})
    stage.aws.put(key["Key"], b"precious")
    # WHEN it is replaced
    assert not stage.publish(event("chunk", "STARTED"))
    # THEN the log says how to get it back
    (line,) = replaced(capsys.readouterr().out)
    assert s3.get_object(**key, VersionId=line["version_id"])["Body"].read() == b"precious"


def test_a_replacement_whose_answer_was_lost_is_logged_all_the_same(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.aws.put("status/test-job-status.json", b"not json")
    stage.proxy.faults.append(Fault("PUT", lose_answer=True))
    assert not stage.publish(event("chunk", "STARTED"))
    assert len(replaced(capsys.readouterr().out)) == 1


def test_a_bucket_whose_versions_are_suspended_leaves_nothing_behind(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = stage.aws.s3
    for state in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=stage.aws.bucket, VersioningConfiguration={"Status": state})
    stage.aws.put("status/test-job-status.json", b"precious")
    assert not stage.publish(event("chunk", "STARTED"))
    (line,) = replaced(capsys.readouterr().out)
    assert line.get("version_id") is None


def test_an_object_that_cannot_be_understood_during_the_post_is_replaced_and_the_log_says_so(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.catalog.answers.append(
        Answer(200, before=lambda: stage.aws.put("status/test-job-status.json", b"not json"))
    )
    assert not stage.publish(finished())
    assert stage.section()["state"] == "NOTIFIED"
    (line,) = replaced(capsys.readouterr().out)
    assert line["key"] == "status/test-job-status.json"
    assert Outcome.REPLACED in stage.report.outcomes


def test_an_object_that_an_editor_saved_keeps_its_history_and_its_success(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.publish(event("chunk", "STARTED", -9, "start"), finished())
    saved = json.dumps(stage.status(), indent=4).encode("utf-8-sig")
    stage.aws.put("status/test-job-status.json", saved)
    # WHEN the next message arrives
    assert not stage.publish(event("chunk", "FINISHED", -5, "late"))
    # THEN all that was known still is, the catalog's entry too
    assert [entry["messageId"] for entry in stage.status()["history"]] == ["start", "late", "done"]
    assert (stage.status()["status"], stage.section()["state"]) == ("SUCCESS", "NOTIFIED")
    assert not replaced(capsys.readouterr().out)


def test_an_object_of_the_legacy_system_becomes_the_first_entry(stage: Stage) -> None:
    stage.aws.put(
        "status/test-job-status.json", b'{"jobId":"test-job","stage":"chunk","status":"FAILED","error":"e"}'
    )
    modified = stage.aws.s3.head_object(Bucket=stage.aws.bucket, Key="status/test-job-status.json")[
        "LastModified"
    ]
    stage.publish(event("mosaic", "STARTED"))
    entry = next(e for e in stage.status()["history"] if e["messageId"] == "older-system")
    assert entry["error"] == "e"
    assert from_iso(entry["sentAt"]) == int(modified.timestamp()) * 1000


def test_two_instances_that_finish_one_job_at_once_tell_the_catalog_once(stage: Stage) -> None:
    """The race: both read before either writes."""
    # GIVEN two instances whose first PUTs meet
    meeting = threading.Barrier(2)
    stage.proxy.faults.extend(Fault("PUT", before=lambda: meeting.wait(10)) for _ in range(2))
    failures: list[dict[str, Exception]] = []
    publishers = [stage.publisher(), stage.publisher()]
    threads = [
        threading.Thread(
            target=lambda p=p: failures.append(p.publish("test-job", [finished()], stage.deadline()).failed)
        )
        for p in publishers
    ]
    # WHEN
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # THEN one claimed, the other fails its message or found the job done
    assert len(stage.posts) == 1
    assert sum(map(bool, failures)) <= 1
    assert stage.section()["state"] == "NOTIFIED"


def fail_until_the_circuit_opens(stage: Stage) -> None:
    """Have other jobs find the catalog down, in the same instance."""
    stage.catalog.answers.extend([Answer(503, headers={"Retry-After": "3"})] * 3)
    for number in range(3):
        assert stage.publish_another(f"other-{number}", finished(f"m{number}")).failed
    stage.catalog.requests.clear()
    stage.proxy.requests.clear()


def test_while_the_catalog_is_down_it_is_not_asked_and_the_status_is_written(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_until_the_circuit_opens(stage)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (down,) = [line for line in lines if line["message"] == "Catalog is down, and not asked for a while"]
    assert (down["level"], down["reason"]) == ("WARNING", "HTTP 503: {}")
    # WHEN a job finishes
    failed = stage.publish(finished())
    # THEN its users see their tiles, its message comes back, nothing was claimed and nobody asked
    assert isinstance(failed["done"], CircuitOpen)
    assert str(failed["done"]) == "the catalog was down a moment ago"
    assert stage.status()["status"] == "SUCCESS"
    assert (stage.section()["state"], stage.section()["attempts"]) == ("PENDING", 0)
    assert "claimedBy" not in stage.section()
    assert stage.posts == []
    assert stage.requests() == ["GET", "PUT"]
    assert Outcome.CATALOG_SHORT_CIRCUITED in stage.report.outcomes
    # AND its next delivery changes nothing: no write
    stage.publish(finished())
    assert stage.requests() == ["GET", "PUT", "GET"]


def test_a_catalog_that_refuses_one_job_is_not_down(stage: Stage) -> None:
    # GIVEN a catalog that was down for all but one of the jobs that open the circuit, then refuses another's images
    stage.catalog.answers.extend([Answer(503, headers={"Retry-After": "3"})] * 2)
    for number in range(2):
        assert stage.publish_another(f"other-{number}", finished(f"m{number}")).failed
    stage.catalog.answers.append(Answer(400))
    assert stage.publish_another("refused", finished("m")).failed
    # WHEN it is down for one more
    stage.catalog.answers.append(Answer(503, headers={"Retry-After": "3"}))
    assert stage.publish_another("unlucky", finished("n")).failed
    # THEN these were no failures in a row: the next job's notification is sent
    assert not stage.publish(finished())


def test_what_the_catalog_said_last_stays_in_the_object_while_it_is_spared(stage: Stage) -> None:
    stage.catalog.answers.append(Answer(500, b"no disk"))
    stage.publish(finished())
    fail_until_the_circuit_opens(stage)
    stage.publish(finished())
    assert (stage.section()["state"], stage.section()["error"]) == ("FAILED", "HTTP 500: no disk")


def test_after_a_pause_one_job_probes_and_an_answer_lets_all_others_through(stage: Stage) -> None:
    fail_until_the_circuit_opens(stage)
    stage.now += int(RECOVERY_TIMEOUT * 1000)
    # WHEN a job probes, and another finishes while it waits for the answer
    meanwhile: list[RetryLater] = []

    def another() -> None:
        report = stage.publish_another("another", finished("other"))
        meanwhile.extend(error for error in report.failed.values() if isinstance(error, RetryLater))

    stage.catalog.answers.append(Answer(200, before=another))
    assert not stage.publish(finished())
    # THEN that one was spared the wait, and now it is not
    assert [type(error) for error in meanwhile] == [CircuitOpen]
    assert not stage.publish_another("another", finished("other")).failed
    assert len(stage.posts) == 2


def test_a_catalog_that_refuses_is_not_taken_for_one_that_is_down(stage: Stage) -> None:
    stage.catalog.answers.extend([Answer(400)] * 10)
    for number in range(10):
        stage.publish_another(f"job-{number}", finished(f"m{number}"))
    assert len(stage.posts) == 10


@pytest.mark.parametrize("overwritten", [False, True])
def test_a_claim_whose_time_ran_out_before_the_catalog_was_asked_is_no_failure_of_the_catalogs(
    stage: Stage, overwritten: bool
) -> None:
    # GIVEN a claim that takes nearly all the time there is
    def delay() -> None:
        stage.now += 27_000

    stage.proxy.faults.append(Fault("PUT", before=delay))
    if overwritten:  # by the API, before the claim is given back
        stage.proxy.faults.append(Fault("PUT", before=lambda: overwrite(stage)))
    # WHEN
    failed = stage.publish(finished())
    # THEN nobody was asked, nothing says so, and the next delivery need not wait
    assert isinstance(failed["done"], OutOfTime)
    assert (stage.section()["state"], stage.section()["attempts"]) == ("PENDING", 0)
    assert not {Outcome.CATALOG_FAILED, Outcome.CATALOG_NOTIFIED} & set(stage.report.outcomes)
    assert not stage.publish(finished())


def test_a_lost_answer_to_the_claim_does_not_leave_the_claim_behind_when_the_circuit_opens(
    stage: Stage,
) -> None:
    # GIVEN the claim's PUT is done, its answer lost, and the circuit opens meanwhile
    def open_circuit() -> None:
        while not stage.breaker.is_open:
            stage.breaker.record_failure(CatalogDown("down"), stage.clock())

    stage.proxy.faults.append(Fault("PUT", lose_answer=True, before=open_circuit))
    assert isinstance(stage.publish(finished())["done"], CircuitOpen)
    # WHEN the catalog is up, and the message comes back before the claim would have ended
    stage.breaker.record_success()
    # THEN
    assert not stage.publish(finished())
    assert len(stage.posts) == 1


def test_the_legacy_systems_success_does_not_keep_its_message_from_the_catalog(stage: Stage) -> None:
    """That worker wrote SUCCESS, with all that the message said, before it asked the catalog."""
    message = finished("done", -5_000)
    older = dict(message.fields) | {"jobId": "test-job", "stage": "COMPLETE", "status": "SUCCESS"}
    stage.aws.put("status/test-job-status.json", json.dumps(older).encode())
    # WHEN that message, sent before the object was written, comes back
    assert not stage.publish(message)
    # THEN
    assert stage.posts == [PAYLOAD]
    assert stage.section()["state"] == "NOTIFIED"


def test_an_object_that_somebody_else_wrote_during_the_post_is_read_again_before_the_record(
    stage: Stage,
) -> None:
    # GIVEN another instance that takes a message in while the catalog is being told
    late = event("mosaic", "STARTED", -1, "late")
    stage.catalog.answers.append(Answer(200, before=lambda: stage.publish_another("test-job", late)))
    # WHEN
    assert not stage.publish(finished())
    # THEN the record was refused once, and holds both
    assert stage.requests() == ["GET", "PUT", "GET", "PUT", "PUT", "GET", "PUT"]
    assert {entry["messageId"] for entry in stage.status()["history"]} == {"late", "done"}
    assert stage.section()["state"] == "NOTIFIED"


def test_conflicts_are_counted_also_where_they_end_in_a_failure(stage: Stage) -> None:
    stage.proxy.faults.extend(
        Fault("PUT", answer=(409, "ConditionalRequestConflict")) for _ in range(ATTEMPTS)
    )
    assert isinstance(stage.publish(event("chunk", "STARTED", 0, "a"))["a"], StatusConflict)
    assert stage.report.outcomes == [Outcome.CONFLICT] * ATTEMPTS


def test_a_message_that_comes_too_late_to_count_is_unchanged_at_each_delivery(stage: Stage) -> None:
    # GIVEN a history that has dropped its oldest entries
    stage.publish(*(event("chunk", "STARTED", number) for number in range(MAX_HISTORY + 2)))
    # WHEN a message from before them comes, and comes again
    for _ in range(2):
        assert not stage.publish(event("chunk", "FAILED", -9, "late"))
        # THEN
        assert (stage.report.outcomes, stage.report.lags) == ([Outcome.UNCHANGED], [])


def test_a_message_whose_write_was_done_though_its_response_was_lost_counts_as_published(
    stage: Stage,
) -> None:
    """The slow writes are those that PublishLag is for."""
    stage.proxy.faults.append(Fault("PUT", lose_answer=True))
    assert not stage.publish(event("chunk", "STARTED"))
    assert sorted(stage.report.outcomes) == [Outcome.PUBLISHED, Outcome.CONFLICT]
    assert stage.report.lags == [60_000]


def test_jobs_that_finish_at_the_same_time_in_a_new_instance_share_one_catalog(stage: Stage) -> None:
    """Each would have connections of its own, and a token that it reads itself."""
    made: list[Catalog] = []

    @functools.cache
    def make_catalog() -> Catalog:
        time.sleep(0.05)
        made.append(Catalog(stage.catalog.url, lambda *_: TOKEN, 4))
        return made[-1]

    # GIVEN two jobs whose claims are written at the same time
    meeting = threading.Barrier(2)
    stage.proxy.faults.extend(Fault("PUT", before=lambda: meeting.wait(10)) for _ in range(2))
    publisher = stage.publisher()
    publisher = dataclasses.replace(
        publisher, notifier=dataclasses.replace(publisher.notifier, make_catalog=make_catalog)
    )
    threads = [
        threading.Thread(target=publisher.publish, args=(job_id, [finished(job_id)], stage.deadline()))
        for job_id in ("one", "other")
    ]
    # WHEN
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # THEN
    assert len(stage.posts) == 2
    assert len(made) == 1

"""The rule of a job's status, case by case; `tests/properties` has it as laws."""

import json
from typing import Any

import pytest

from handler import job_status
from handler.job_status import JobStatus, fold, is_repeat, new_events
from handler.status_object import read, to_iso, to_json
from tests.factories import IMAGES, NOON, TARGET, event, headline, step_event, stored


@pytest.mark.parametrize(
    ("steps", "headlines"),
    [
        # the six documented messages
        (
            [
                "chunk STARTED",
                "chunk FAILED",
                "chunk FINISHED",
                "mosaic STARTED",
                "mosaic FAILED",
                "mosaic FINISHED",
            ],
            ("COMPLETE", "SUCCESS", 1),
        ),
        # YARN restarts the chunk step
        (["chunk STARTED", "chunk FAILED", "chunk STARTED"], ("chunk", "STARTED", 2)),
        # YARN restarts the mosaic step: the chunks stand
        (
            ["chunk STARTED", "chunk FINISHED", "mosaic STARTED", "mosaic FAILED", "mosaic STARTED"],
            ("mosaic", "STARTED", 2),
        ),
        # a new attempt from the start forgets the mosaic's failure
        (["chunk STARTED", "mosaic STARTED", "mosaic FAILED", "chunk STARTED"], ("chunk", "STARTED", 2)),
        # success is final
        (["mosaic FINISHED", "chunk STARTED", "chunk FAILED", "chunk STARTED"], ("COMPLETE", "SUCCESS", 2)),
        # a first STARTED that comes after its FAILED (same attempt) fills its gap
        (["chunk FAILED", "chunk STARTED"], ("chunk", "FAILED", 1)),
    ],
)
def test_the_furthest_step_of_the_current_attempt_is_the_status(
    steps: list[str], headlines: tuple[str, str, int]
) -> None:
    events = [step_event(step, at=number) for number, step in enumerate(steps)]
    assert headline(stored(*events)) == headlines


def test_a_late_message_never_takes_a_job_backwards() -> None:
    # GIVEN a job at its mosaic
    status = fold(JobStatus(), [event("chunk", "STARTED", 0), event("mosaic", "STARTED", 9)])
    # WHEN its chunk FINISHED arrives late
    late = stored(event("chunk", "FINISHED", 5), before=status)
    # THEN the history has it, and the status stays
    assert headline(late) == ("mosaic", "STARTED", 1)
    assert [entry["status"] for entry in late["history"]] == ["STARTED", "FINISHED", "STARTED"]


def test_the_newest_of_several_successes_decides() -> None:
    newer = event("mosaic", "FINISHED", 9, target="s3://oam-tiles/again")
    older = event("mosaic", "FINISHED", 1)
    assert stored(newer, older)["target"] == "s3://oam-tiles/again"


def test_a_redriven_finished_does_not_win_over_a_newer_one() -> None:
    # GIVEN a success, and a newer one with other images
    first, newer = event("mosaic", "FINISHED", 1, "a"), event("mosaic", "FINISHED", 5, "b", images=["new"])
    # WHEN the first comes back from the dead-letter queue: a new messageId, a new time
    again = event("mosaic", "FINISHED", 9, "a-again")
    status = stored(first, newer, again)
    # THEN it is the first one again
    assert status["images"] == ["new"]
    # AND it is in the history as it arrived, and its time counts for updatedAt as any message's does
    assert [entry["messageId"] for entry in status["history"]] == ["a", "b", "a-again"]
    assert status["updatedAt"] == to_iso(NOON + 9)


@pytest.mark.parametrize("images", [IMAGES, IMAGES[::-1], IMAGES * 3])
def test_a_finished_that_names_the_same_set_of_images_is_a_redriven_one(images: list[str]) -> None:
    first, newer = event("mosaic", "FINISHED", 1), event("mosaic", "FINISHED", 5, images=["new"])
    # what else it says does not matter
    assert stored(first, newer, event("mosaic", "FINISHED", 9, images=images, x=1))["images"] == ["new"]


@pytest.mark.parametrize(
    "other",
    [{"target": TARGET + "/"}, {"target": "s3n://oam-tiles/test-job"}, {"images": IMAGES[:1]}, {"images": []},
     {"images": [image.removeprefix("/vsicurl/") for image in IMAGES]}, {"images": [*IMAGES, "more"]}],
)  # fmt: skip
def test_a_finished_that_differs_in_target_or_images_is_a_new_one(other: dict[str, Any]) -> None:
    first, newer = event("mosaic", "FINISHED", 1), event("mosaic", "FINISHED", 5, images=["new"])
    assert stored(first, newer, event("mosaic", "FINISHED", 9, "c", x="third", **other))["x"] == "third"


def test_a_third_run_that_repeats_the_first_is_taken_for_the_first() -> None:
    """A known limit: nothing in such a message tells it from a redriven one."""
    runs = [event("mosaic", "FINISHED", at, images=[image]) for at, image in ((1, "1"), (5, "2"), (9, "1"))]
    assert stored(*runs)["images"] == ["2"]


def test_of_a_finished_and_its_repeats_the_object_shows_the_first() -> None:
    first = event("mosaic", "FINISHED", 1, x="first")
    assert stored(event("mosaic", "FINISHED", 9, x="again"), first)["x"] == "first"


def test_a_success_of_the_legacy_system_does_not_make_its_message_an_older_one() -> None:
    # GIVEN the legacy system's success, whose fields are its message's, and a success of this function
    older = json.dumps({"jobId": "test-job", "stage": "COMPLETE", "status": "SUCCESS", "target": TARGET,
                        "images": IMAGES}).encode()  # fmt: skip
    before = fold(read(older, NOON + 1), [event("mosaic", "FINISHED", 5, images=["own"])])
    # WHEN that message arrives, sent after it
    status = stored(event("mosaic", "FINISHED", 9, "late"), before=before)
    # THEN it decides: it is no repeat of an entry that is outranked by any message
    assert status["images"] == IMAGES


def test_messages_sent_in_the_same_millisecond_go_by_step() -> None:
    same = [event("chunk", "FAILED", 0, "a"), event("chunk", "STARTED", 0, "z")]
    assert headline(stored(*same)) == ("chunk", "FAILED", 1)


# Bounds


def test_the_history_holds_the_newest_256_and_attempt_goes_on_counting() -> None:
    # GIVEN 300 starts of one job, delivered in order and by tens
    status = JobStatus()
    starts = [event("chunk", "STARTED", at) for at in range(300)]
    for first in range(0, 300, 10):
        status = read(to_json("j", fold(status, starts[first : first + 10])), 0)
    found = json.loads(to_json("j", status))
    # THEN
    assert found["attempt"] == 300
    assert [entry["sentAt"] for entry in found["history"]] == [to_iso(NOON + at) for at in range(44, 300)]
    # AND a redelivery of what is gone, or of what is there, changes nothing
    assert fold(status, starts) == status


def test_a_success_survives_any_number_of_later_messages() -> None:
    done = event("mosaic", "FINISHED", 0, "done")
    stragglers = [event("chunk", "FAILED", at) for at in range(1, 400)]
    status = fold(read(to_json("j", fold(JobStatus(), [done])), 0), stragglers)
    found = json.loads(to_json("j", status))
    assert headline(found) == ("COMPLETE", "SUCCESS", 1)
    assert len(found["history"]) == 256
    assert found["history"][0]["messageId"] == "done"
    assert fold(read(to_json("j", status), 0), [done, *stragglers]) == status


def test_a_success_that_arrives_after_256_newer_messages_still_counts() -> None:
    stragglers = [event("chunk", "FAILED", at) for at in range(1, 400)]
    status = read(to_json("j", fold(JobStatus(), stragglers)), 0)
    found = stored(event("mosaic", "FINISHED", 0), before=status)
    assert headline(found) == ("COMPLETE", "SUCCESS", 1)
    # AND an older one does not replace it, a newer one does
    known = read(json.dumps(found).encode(), 0)
    assert stored(event("mosaic", "FINISHED", -5, target="s3://b/old"), before=known)["target"] == TARGET
    assert (
        stored(event("mosaic", "FINISHED", 9_999, target="s3://b/new"), before=known)["target"]
        == "s3://b/new"
    )


def test_a_finished_is_known_again_however_many_messages_came_since() -> None:
    # GIVEN two successes, and 400 messages after them
    first, newer = event("mosaic", "FINISHED", 1, "a"), event("mosaic", "FINISHED", 2, "b", images=["new"])
    stragglers = [event("chunk", "FAILED", at) for at in range(10, 410)]
    status = JobStatus()
    for events in ([first], [newer], stragglers[:200], stragglers[200:]):
        status = read(to_json("j", fold(status, events)), 0)
    # THEN the history keeps both beside the newest
    kept = [entry.message_id for entry in status.history]
    assert len(kept) == 256
    assert kept == ["a", "b", *(straggler.message_id for straggler in stragglers[-254:])]
    # AND a redrive of the first is that one again, now and when 400 more have come
    for at in (1_000, 3_000):
        later = [event("chunk", "FAILED", at + number) for number in range(400)]
        status = read(to_json("j", fold(status, [event("mosaic", "FINISHED", at), *later])), 0)
        assert json.loads(to_json("j", status))["images"] == ["new"]
    assert [entry.message_id for entry in status.history][:2] == ["a", "b"]


def test_a_finished_that_arrives_before_its_own_repeat_was_sent_takes_its_place() -> None:
    # GIVEN a success, and a repeat of an older one that was never seen, with 300 messages after them
    newer, again = (
        event("mosaic", "FINISHED", 5, "b", images=["new"]),
        event("mosaic", "FINISHED", 9, "a-again"),
    )
    status = fold(JobStatus(), [newer, again, *(event("chunk", "FAILED", at) for at in range(10, 310))])
    assert json.loads(to_json("j", status))["images"] == IMAGES
    # WHEN that older one arrives late
    status = fold(read(to_json("j", status), 0), [event("mosaic", "FINISHED", 1, "a")])
    # THEN it is known how old it is
    assert json.loads(to_json("j", status))["images"] == ["new"]
    assert [entry.message_id for entry in status.history][:2] == ["a", "b"]
    assert len(status.history) == 256
    # AND the repeat changes nothing
    assert fold(read(to_json("j", status), 0), [again]) == status


def test_of_more_different_successes_than_the_history_has_room_for_the_newest_decides() -> None:
    status = JobStatus()
    for at in range(270):
        body = to_json("j", fold(status, [event("mosaic", "FINISHED", at, images=[str(at)])]))
        assert json.loads(body)["images"] == [str(at)]
        status = read(body, 0)
    assert len(status.history) == 256
    assert fold(status, [event("chunk", "STARTED", 999, "late")]).history[-1].message_id == "late"


def test_a_failure_before_256_newer_messages_of_its_attempt_still_decides() -> None:
    # GIVEN an attempt whose furthest step came first
    status = fold(
        JobStatus(),
        [event("mosaic", "FAILED", 0, "f"), *(event("chunk", "FAILED", at) for at in range(1, 300))],
    )
    assert headline(json.loads(to_json("j", status))) == ("mosaic", "FAILED", 1)
    # WHEN the mosaic starts, and starts again
    status = read(to_json("j", status), 0)
    once = fold(status, [event("mosaic", "STARTED", 1_000)])
    twice = fold(once, [event("mosaic", "STARTED", 1_001)])
    # THEN both are what they would have been with the whole history: a filled gap, then a restart
    assert headline(json.loads(to_json("j", once))) == ("mosaic", "FAILED", 1)
    assert headline(json.loads(to_json("j", twice))) == ("mosaic", "STARTED", 2)


def test_an_event_that_comes_too_late_to_count_is_never_new() -> None:
    # GIVEN a history that has dropped its oldest entries, all of which were new
    events = [event("chunk", "STARTED", number) for number in range(300)]
    before = fold(JobStatus(), events)
    assert list(new_events(JobStatus(), before, events)) == events
    # WHEN one from before them arrives, with one that is known, a success, and that one's repeat
    late, known = event("chunk", "FAILED", -9), events[-1]
    success, repeat = event("mosaic", "FINISHED", -8), event("mosaic", "FINISHED", -7)
    arrived = [late, known, success, repeat]
    # THEN the success alone counts, and once
    after = fold(before, arrived)
    assert list(new_events(before, after, arrived)) == [success]
    assert list(new_events(after, fold(after, arrived), arrived)) == []


def test_a_mosaic_finished_repeats_one_of_the_same_target_and_images_alone() -> None:
    one = event("mosaic", "FINISHED", 1, "one")
    assert is_repeat(one, event("mosaic", "FINISHED", 2, "again"))
    assert not is_repeat(one, event("mosaic", "FINISHED", 2, "other", target="s3://oam-tiles/other"))


def test_what_arrives_after_newer_ones_takes_its_place_before_them() -> None:
    status = fold(JobStatus(), [event("chunk", "FAILED", 10, "b")])
    assert known(fold(status, [event("chunk", "STARTED", 5, "a")])) == ["a", "b"]


def test_a_message_that_is_known_is_not_taken_again_with_other_fields() -> None:
    """An entry may have been shortened, and would grow again with each delivery."""
    status = fold(JobStatus(), [event("chunk", "FAILED", 0, "a", error="short")])
    assert fold(status, [event("chunk", "FAILED", 0, "a", error="long and whole")]) == status


def test_a_success_that_can_not_be_compared_stays_one_when_the_job_starts_again() -> None:
    status = read(b'{"stage": "COMPLETE", "status": "SUCCESS"}', NOON)
    again = [event("chunk", "STARTED", at) for at in (1, 2)]
    assert headline(json.loads(to_json("j", fold(status, again)))) == ("COMPLETE", "SUCCESS", 2)


@pytest.fixture
def room_for_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_status, "MAX_HISTORY", 4)


@pytest.mark.usefixtures("room_for_four")
def test_different_successes_stay_before_all_others_but_the_newest_entry() -> None:
    said = [event("mosaic", "FINISHED", at, f"f{at}", images=[str(at)]) for at in range(3)]
    failed = [event("chunk", "FAILED", at, f"c{at}") for at in range(3, 6)]
    status = fold(JobStatus(), [*said, *failed[:2]])
    assert known(status) == ["f0", "f1", "f2", "c4"]
    # AND with one more there are no more entries
    assert known(fold(status, failed[2:])) == ["f0", "f1", "f2", "c5"]


@pytest.mark.usefixtures("room_for_four")
def test_what_is_newer_than_all_that_was_dropped_counts() -> None:
    status = fold(JobStatus(), [event("chunk", "FAILED", at, f"m{at}") for at in (10, 20, 30, 40, 50)])
    assert known(status) == ["m20", "m30", "m40", "m50"]
    assert known(fold(status, [event("chunk", "FAILED", 25, "m25")])) == ["m25", "m30", "m40", "m50"]
    # AND what is older than one that is left, does not
    assert fold(status, [event("chunk", "FAILED", 15, "m15")]) == status


def known(status: JobStatus) -> list[str]:
    return [event.message_id for event in status.history]

"""The status object: what is written, what is read of it and of others' objects, and how large it gets."""

import functools
import itertools
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from handler import job_status, shortening, status_object
from handler.events import Event, Step
from handler.job_status import JobStatus, Progress, deciding_event, fold
from handler.messages import parse
from handler.status_object import UnreadableStatus, from_iso, read, to_iso, to_json
from handler.strict_json import MAX_DEPTH, encode
from tests.factories import IMAGES, NOON, TARGET, event, fields, headline, largest_messages, stored


def test_the_object_is_the_deciding_messages_fields_and_the_objects_own() -> None:
    # GIVEN a failure that says more than it has to
    failed = event("chunk", "FAILED", at=7, message_id="m1", error="no", stack="a\nb", retries=3)
    # WHEN it is folded
    status = stored(failed)
    # THEN all that it said is there as it came, beside the object's own fields
    assert status == {
        "jobId": "test-job",
        "stage": "chunk",
        "status": "FAILED",
        "error": "no",
        "stack": "a\nb",
        "retries": 3,
        "attempt": 1,
        "updatedAt": "2023-11-14T22:13:20.007Z",
        "history": [
            {
                "messageId": "m1",
                "sentAt": "2023-11-14T22:13:20.007Z",
                "stage": "chunk",
                "status": "FAILED",
                "error": "no",
                "stack": "a\nb",
                "retries": 3,
            }
        ],
    }


def test_a_finished_mosaic_is_success_with_a_tilejson() -> None:
    status = stored(event("mosaic", "FINISHED"))
    assert (status["stage"], status["status"]) == ("COMPLETE", "SUCCESS")
    assert (status["target"], status["images"]) == (TARGET, IMAGES)
    assert status["tileJson"] == {
        "tilejson": "2.1.0",
        "name": "OAM Server Mosaic test-job",
        "attribution": "<a href='http://github.com/openimagerynetwork/'>OIN contributors</a>",
        "scheme": "xyz",
        "tiles": ["https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png"],
    }
    # AND its history says what the message said
    assert status["history"][0]["stage"] == "mosaic"
    assert status["history"][0]["status"] == "FINISHED"
    assert "tileJson" not in status["history"][0]


@pytest.mark.parametrize(
    "name", ["messageId", "sentAt", "attempt", "updatedAt", "history", "catalog", "tileJson"]
)
def test_a_message_that_uses_a_reserved_name_does_not_take_its_place(name: str) -> None:
    # GIVEN a message with a reserved field
    more: dict[str, Any] = {name: "hostile"}
    hostile = event("chunk", "STARTED", message_id="m1", **more)
    # WHEN it decides
    status = stored(hostile)
    # THEN the object's own value stands, at the top and in the history
    assert status.get(name) != "hostile"
    assert status["history"][0]["messageId"] == "m1"
    assert status["history"][0]["sentAt"] == to_iso(NOON)
    # AND what is read back is not taken for the object's own
    assert read(json.dumps(status).encode(), 0).catalog == {}


def test_a_redelivery_changes_nothing_not_even_a_byte() -> None:
    events = [event("chunk", "STARTED"), event("chunk", "FAILED", 1, error="é…\x00 \ud800", n=1e5, i=10**30)]
    first = to_json("j", fold(JobStatus(), events))
    again = to_json("j", fold(read(first, 0), events))
    assert again == first


def test_updated_at_is_when_the_newest_message_was_sent_not_when_the_deciding_one_was() -> None:
    status = stored(event("mosaic", "FINISHED", 5), event("chunk", "FAILED", 8))
    assert status["updatedAt"] == to_iso(NOON + 8)


# Objects that others wrote


def test_the_apis_pending_object_counts_as_nothing() -> None:
    pending = b'{"jobId": "test-job", "status": "PENDING", "stage": "PENDING"}'
    status = stored(event("chunk", "STARTED"), before=read(pending, NOON))
    assert headline(status) == ("chunk", "STARTED", 1)
    assert len(status["history"]) == 1


def test_an_object_of_the_legacy_system_is_one_event_of_the_time_it_was_modified() -> None:
    # GIVEN what the legacy system wrote of a failure
    old = json.dumps({"jobId": "test-job", **fields("chunk", "FAILED", stack="s")}).encode()
    # WHEN the job is started again
    status = stored(event("chunk", "STARTED", 50), before=read(old, NOON + 20))
    # THEN its failure is in the history, with all it said
    assert status["history"][0] == {
        "messageId": "older-system",
        "sentAt": to_iso(NOON + 20),
        **fields("chunk", "FAILED", stack="s"),
    }
    assert headline(status) == ("chunk", "FAILED", 1)


def test_the_legacy_systems_success_stays_and_is_read_back() -> None:
    # GIVEN what the legacy system wrote of a success: no target, no images
    tile_json = {"tilejson": "2.1.0", "tiles": ["http://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png"]}
    old = json.dumps({"status": "SUCCESS", "stage": "COMPLETE", "tileJson": tile_json}).encode()
    # WHEN a straggler arrives, twice
    once = fold(read(old, NOON + 20), [event("mosaic", "FAILED", 10)])
    status = stored(event("chunk", "FINISHED", 5), before=read(to_json("test-job", once), NOON + 99))
    # THEN the job is still done, with its tiles
    assert headline(status) == ("COMPLETE", "SUCCESS", 1)
    assert status["tileJson"] == tile_json
    assert [entry["messageId"] for entry in status["history"]].count("older-system") == 1


def test_a_message_outranks_the_legacy_systems_success_which_names_no_images() -> None:
    old = b'{"status": "SUCCESS", "stage": "COMPLETE", "tileJson": {}}'
    status = stored(event("mosaic", "FINISHED", 0), before=read(old, NOON + 1_000))
    assert status["images"] == IMAGES
    assert status["tileJson"]["tiles"] == ["https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"\x1f\x8b\x08gzip",
        b"\xff\xfe{}",
        b"{}",
        b'{"status": "ODD", "stage": "chunk"}',
        b'{"stage": ["chunk"], "status": {}}',
        b"[" * 100_000,
        b'{"a": NaN, "stage": "chunk", "status": "STARTED"}',
    ],
)
def test_what_is_no_status_object_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(UnreadableStatus, match=r"\w"):
        read(body, NOON)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"stage": "chunk"}', "its stage and status are none of the known ones"),
    ],
)
def test_the_reason_says_what_is_wrong(body: bytes, why: str) -> None:
    with pytest.raises(UnreadableStatus, match=f"^{why}$"):
        read(body, NOON)


def test_the_legacy_systems_success_is_one_even_if_it_says_nothing_else() -> None:
    (found,) = read(b'{"stage": "COMPLETE", "status": "SUCCESS"}', NOON).events
    assert found.step is Step.MOSAIC_FINISHED


def test_what_a_message_may_nest_is_read_again_from_its_object() -> None:
    deep: Any = "x"
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    status = fold(JobStatus(), [event("chunk", "FAILED", 0, "m", deep=deep)])
    assert read(to_json("j", status), 0).events == status.events


def test_an_object_of_the_legacy_system_that_could_not_be_written_again_is_refused() -> None:
    old = json.dumps({"jobId": "j", **fields("chunk", "FAILED", parts=["x" * 900] * 4_600)}).encode()
    with pytest.raises(UnreadableStatus, match=r"^too large for a status object, and for SQS$"):
        read(old, NOON)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("whose", ["this function's", "the API's", "the legacy system's"])
def test_an_object_that_an_editor_saved_with_a_byte_order_mark_is_understood(
    encoding: str, whose: str
) -> None:
    body = {
        "this function's": to_json(
            "j", replace(fold(JobStatus(), [event("chunk", "FAILED", error="é")]), catalog={"state": "x"})
        ),
        "the API's": b'{"jobId": "test-job", "status": "PENDING", "stage": "PENDING"}',
        "the legacy system's": json.dumps({"jobId": "j", **fields("chunk", "FAILED", stack="s")}).encode(),
    }[whose]
    saved = body.decode().replace(",", ",\r\n  ").encode(encoding)
    assert saved[:2] in (b"\xef\xbb", b"\xff\xfe")
    assert read(saved, NOON) == read(body, NOON)


def test_lone_surrogates_that_an_earlier_version_wrote_are_replaced_and_cost_no_history() -> None:
    entry = {"messageId": "m1", "sentAt": to_iso(NOON), "stage": "chunk", "status": "FAILED", "error": "\ud800",
             "\ud801": [{"\udfff": "a\udc00", "\udffe": 1}], "\ud802": 2}  # fmt: skip # noqa: F601 (to ruff lone surrogates are all the same)
    old = json.dumps({"history": [entry], "catalog": {"error": "\ud800"}}).encode()
    status = read(old, 0)
    # keys that become the same by it are one, and the object is read all the same
    assert status.events[0].fields == {"stage": "chunk", "status": "FAILED", "error": "\ufffd", "\ufffd": 2}
    assert json.loads(to_json("j", status).decode())["catalog"] == {"error": "\ufffd"}


def test_reserved_fields_that_an_earlier_version_kept_in_an_entry_are_dropped() -> None:
    odd = dict.fromkeys(("tileJson", "attempt", "updatedAt", "history", "catalog", "jobId"), "theirs")
    entry = {"messageId": "m1", "sentAt": to_iso(NOON), "stage": "chunk", "status": "STARTED", "x": 1}
    old = json.dumps({"history": [entry | odd]}).encode()
    assert json.loads(to_json("j", read(old, 0)))["history"] == [entry]


def test_a_history_that_was_broken_by_hand_keeps_its_good_entries() -> None:
    good = {"messageId": "m1", "sentAt": to_iso(NOON), "stage": "chunk", "status": "STARTED"}
    bad = [None, 3, {}, {**good, "sentAt": "yesterday"}, {**good, "messageId": 3}, {**good, "stage": "ODD"},
           {**good, "sentAt": "2023-99-99T00:00:00.000Z"}]  # fmt: skip
    for dropped, found in (
        (3, None),
        ({}, None),
        ({"attempt": "x", "steps": []}, None),
        ({"attempt": 2, "steps": "chunk STARTED"}, None),
        ({"attempt": 2, "steps": [["chunk STARTED"], "odd"]}, Progress(2, {})),
    ):
        broken = {"history": [*bad, {**good, "droppedBefore": dropped}], "catalog": "odd"}
        status = read(json.dumps(broken).encode(), 0)
        assert [e.message_id for e in status.events] == ["m1"]
        assert status.dropped == found


def test_a_large_object_whose_every_entry_was_broken_by_hand_says_nothing() -> None:
    large = {"history": [{"messageId": 3}], "stage": "chunk", "status": "FAILED", "error": "x" * 1_500_000}
    assert read(json.dumps(large).encode(), 0) == JobStatus()


def test_a_deciding_entry_that_was_broken_by_hand_does_not_fail_every_later_message() -> None:
    # GIVEN a history whose deciding entry is older than the newest 256, and was broken by hand
    events = [event("mosaic", "FAILED", 0), *(event("chunk", "FAILED", at) for at in range(1, 300))]
    status = json.loads(to_json("j", fold(JobStatus(), events)))
    status["history"][0]["sentAt"] = "yesterday"
    # WHEN the next message arrives
    found = stored(event("chunk", "FINISHED", 1_000), before=read(json.dumps(status).encode(), 0))
    # THEN the furthest step that is still known decides
    assert headline(found) == ("chunk", "FINISHED", 1)


LIMIT = 4 * 1024 * 1024


def test_the_object_stays_under_4_mib_by_truncating_old_texts_first_and_no_more_than_needed() -> None:
    # GIVEN failures of 300,000 characters each
    failures = [event("chunk", "FAILED", at, error="é" * 300_000) for at in range(10)]
    found = to_json("j", fold(JobStatus(), failures))
    # THEN
    assert LIMIT - 600_000 < len(found) < LIMIT
    status = json.loads(found)
    lengths = [len(entry["error"]) for entry in status["history"]]
    assert len(status["error"]) == 300_000
    assert lengths == sorted(lengths)
    assert set(lengths) == {1_000, 300_000}
    # AND it is stable
    assert to_json("j", fold(read(found, 0), failures)) == found


@pytest.mark.unmeasured  # large, and covered by small ones
@pytest.mark.parametrize(
    "more",
    [{"parts": ["x" * 900] * 1_100}, {"k" * 1_000_000: 1}, {f"{n:060}": None for n in range(15_000)},
     {"n": [9e15] * 50_000}, {"d": json.loads("[" * 99 + "]" * 99), "l": [[["x" * 90]]] * 10_000}],
    ids=["strings", "a long key", "keys", "numbers", "nested"],
)  # fmt: skip
def test_even_a_history_of_nothing_but_large_messages_stays_under_4_mib(more: dict[str, Any]) -> None:
    # GIVEN messages that are large without a long string
    status = JobStatus()
    first = event("chunk", "FAILED", 0, **more)
    failures = [first, *(replace(first, message_id=f"m{at}", sent_at=NOON + at) for at in range(1, 4))]
    # WHEN three come at once, and one later
    for some in (failures[:3], failures[3:]):
        written = to_json("j", fold(status, some))
        assert len(written) < LIMIT
        # THEN what decides is whole, and is read back whole
        status = read(written, 0)
        assert status.events[-1] == some[-1]
        assert json.loads(written)[next(iter(more))] == more[next(iter(more))]
    # AND which steps there were is still known
    assert len(status.history) == 4


@functools.cache
def full_history(at: int) -> tuple[Event, ...]:
    """Return as many large events as there is room for, with the longest messageIds that SQS may give."""
    return tuple(event("chunk", "FAILED", at + n, f"{n:0100d}", error="\x00" * 2_000) for n in range(300))


def beside_a_full_history() -> list[tuple[tuple[str, dict[str, Any]], int]]:
    """Pair the largest messages with the time at which 300 others begin: after it or before, in turn.

    The three largest get both.
    """
    *others, one, two, three = largest_messages()
    return [
        *zip(others, itertools.cycle((1, -1_000))),
        *itertools.product((one, two, three), (1, -1_000)),
    ]


def test_the_three_messages_that_become_the_largest_are_the_last() -> None:
    sizes = [len(encode(own)) for _, own in largest_messages()]
    assert max(sizes[:-3]) < min(sizes[-3:])


@pytest.mark.unmeasured  # large, and covered by small ones
@pytest.mark.parametrize(("largest", "first"), beside_a_full_history())
def test_the_largest_message_that_sqs_takes_fits_whole_beside_a_full_history(
    largest: tuple[str, dict[str, Any]], first: int
) -> None:
    # GIVEN the largest message, the oldest of 301 or the newest; all that the object adds as large as it gets
    text, own = largest
    url = "https://b.s3.amazonaws.com/" + "%C3%A9" * 500 + "/{z}/{x}/{y}.png"
    section = {"state": "FAILED", "uri": url, "digest": "d" * 64, "attempts": 99, "error": "\x00" * 500}
    decides = parse("l" * 100, str(NOON), text).event
    finished = decides.step is Step.MOSAIC_FINISHED
    # (A failure of the chunk step would not decide beside them: that is alone.)
    others = full_history(first) if decides.step >= Step.MOSAIC_STARTED else ()
    status = replace(fold(JobStatus(), [*others, decides]), catalog=section)
    body = to_json("j" * 256, status)
    # THEN there is room for all of it
    assert len(body) < LIMIT
    found = json.loads(body)
    shown = own | {"stage": "COMPLETE", "status": "SUCCESS"} if finished else own
    assert {name: found[name] for name in own} == shown
    assert len(found["history"]) == min(256, 1 + len(others))
    # AND what it says is read back, and a redelivery changes nothing, not even a byte
    again = read(body, 0)
    assert deciding_event(again) == decides
    assert to_json("j" * 256, fold(again, [*others, decides])) == body
    # AND another message is one more
    later = json.loads(to_json("j" * 256, fold(again, [event("chunk", "STARTED", 5_000, "later")])))
    assert later["history"][-1]["messageId"] == "later"
    assert {name: later[name] for name in own} == shown


def test_the_largest_finished_with_the_longest_target_fits_with_its_tile_urls() -> None:
    target = "s3://b/" + "é" * 540  # percent-encoded, three times as long
    images = ["i" * 1_040_000]
    status = fold(
        JobStatus(), [event("mosaic", "FINISHED", 0, target=target, images=images), *full_history(1)]
    )
    section = {"uri": "u" * 8_000, "error": "\x00" * 500}
    body = to_json("j" * 256, replace(status, catalog=section), "https://" + "t" * 4_000)
    assert len(body) < LIMIT
    assert json.loads(body)["images"] == images


@pytest.mark.parametrize("name", ["messageId", "sentAt", "droppedBefore", "tileJson", "history", "catalog"])
def test_a_field_that_never_was_in_the_object_does_not_count_as_text_that_was_removed(name: str) -> None:
    more = {name: "x" * 240_000, "error": "y" * 240_000}
    failures = [event("chunk", "FAILED", at, **more) for at in range(20)]
    body = to_json("j", fold(JobStatus(), failures))
    assert len(body) < LIMIT
    assert len(read(body, 0).history) == 20


def test_what_identifies_a_finished_is_removed_last_so_that_its_repeat_is_known() -> None:
    # GIVEN a success, a newer one, and failures that fill the object
    images = [f"http://images/{number}/{'i' * 2_000}" for number in range(200)]
    first = event("mosaic", "FINISHED", 0, "a", images=images, log="l" * 5_000, many=[1] * 20_000)
    newer = event("mosaic", "FINISHED", 1, "b")
    failures = [event("chunk", "FAILED", at, parts=["x" * 900] * 1_000) for at in range(2, 8)]
    status = read(to_json("j", fold(JobStatus(), [first, newer, *failures])), 0)
    # THEN of the first is left what it is known by
    assert status.history[0].fields == {
        "stage": "mosaic",
        "status": "FINISHED",
        "target": TARGET,
        "images": images,
    }
    # AND its repeat is no new one
    found = stored(event("mosaic", "FINISHED", 99, images=images), before=status)
    assert found["images"] == IMAGES


def test_finisheds_that_were_shortened_to_their_step_are_not_taken_for_each_other() -> None:
    # GIVEN five successes too large for one object, the last of which decides
    runs = [event("mosaic", "FINISHED", at, f"m{at}", images=[str(at) + "i" * 1_000_000]) for at in range(5)]
    status = JobStatus()
    for run in runs:
        body = to_json("j", fold(status, [run]))
        assert len(body) < LIMIT
        assert json.loads(body)["images"] == run.fields["images"]
        status = read(body, 0)
    assert [entry.message_id for entry in status.history] == ["m0", "m1", "m2", "m3", "m4"]
    assert status.history[0].fields == {"stage": "mosaic", "status": "FINISHED"}
    # AND a redelivery of one of them changes nothing
    assert to_json("j", fold(status, runs[:1])) == body


def test_a_repeat_does_not_outlive_in_the_object_the_one_that_it_is_known_by() -> None:
    # GIVEN a success, a newer one, the first one's repeat, and failures, too large together by far
    images = ["i" * 900_000]
    first, again = (event("mosaic", "FINISHED", at, images=images) for at in (1, 9))
    others = [event("mosaic", "FINISHED", at, f"m{at}", images=[str(at) + "i" * 900_000]) for at in (3, 5)]
    status = JobStatus()
    for some in (first, *others, again, event("chunk", "FAILED", 10, parts=["x" * 900] * 1_000)):
        body = to_json("j", fold(status, [some]))
        status = read(body, 0)
    # THEN the newer one decides, when it is read, too
    assert json.loads(body)["images"] == others[-1].fields["images"]
    assert deciding_event(status).message_id == "m5"
    assert len(status.history) == 5


def test_what_is_added_by_hand_at_the_top_of_an_object_is_not_taken_for_the_deciding_messages_own() -> None:
    own = json.loads(to_json("j", fold(JobStatus(), [event("chunk", "STARTED")])))
    status = read(json.dumps(own | {"note": "theirs"}).encode(), 0)
    assert status.events[0].fields == fields("chunk", "STARTED")


def test_times_are_written_in_utc_with_milliseconds_and_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert to_iso(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"
    assert to_iso(0) == "1970-01-01T00:00:00.000Z"
    # AND wherever the machine is
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert to_iso(0) == "1970-01-01T00:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert from_iso(to_iso(99_999_999_999_999)) == 99_999_999_999_999
    assert from_iso("2023-11-14T22:13:20Z") is None
    assert from_iso(None) is None


def test_the_tilejson_names_the_cdn_where_there_is_one() -> None:
    written = json.loads(
        to_json("j", fold(JobStatus(), [event("mosaic", "FINISHED")]), "https://cdn.example.org")
    )
    assert written["tileJson"]["tiles"] == ["https://cdn.example.org/test-job/{z}/{x}/{y}.png"]


SMALL = 24_000  # bytes


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the largest object a small one, with room for four entries."""
    monkeypatch.setattr(job_status, "MAX_HISTORY", 4)
    monkeypatch.setattr(shortening, "MAX_OBJECT_BYTES", SMALL)
    monkeypatch.setattr(status_object, "MAX_OBJECT_BYTES", SMALL)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("later", [1, 6], ids=["among the newest", "older than what was dropped"])
def test_what_decides_is_read_back_whole_where_its_entry_had_to_be_shortened(later: int) -> None:
    first = event("mosaic", "FINISHED", 0, "first", images=["1"])
    decides = event("mosaic", "FINISHED", 1, "decides", log="l" * 11_700)
    failures = [event("chunk", "FAILED", 2 + number, error="") for number in range(later)]
    status = fold(JobStatus(), [first, decides, *failures])
    body = to_json("j", status, "https://tiles.example.org")
    # GIVEN an object whose entry says less than its top
    found = json.loads(body)
    assert [len(entry.get("log", "")) for entry in found["history"] if entry["messageId"] == "decides"] == [0]
    assert len(found["log"]) == 11_700
    assert found["tileJson"]["tiles"][0].startswith("https://tiles.example.org/")
    # THEN it is read back whole, and it alone
    again = read(body, 0)
    assert deciding_event(again) == decides
    assert [(one.message_id, "log" in one.fields) for one in again.history] == [
        (one.message_id, one is decides) for one in status.history
    ]


@pytest.mark.usefixtures("small")
def test_an_object_is_shortened_as_soon_as_it_reaches_the_limit() -> None:
    def written(length: int) -> bytes:
        return to_json("j", fold(JobStatus(), [
            event("chunk", "FAILED", 0, "a", error="e" * length), event("chunk", "FINISHED", 1, "b"),
        ]))  # fmt: skip

    room = SMALL - len(written(0))
    assert len(written(room - 1)) == SMALL - 1
    assert len(written(room)) < 2_000


@pytest.mark.usefixtures("small")
def test_what_an_editor_added_to_the_top_of_an_object_with_whole_entries_is_ignored() -> None:
    others = event("chunk", "FAILED", 0, error="e" * 6_800)
    found = stored(others, event("mosaic", "STARTED", 1))
    body = json.dumps(found | {"note": "by hand"}).encode()
    assert SMALL // 4 < len(body) < SMALL // 3
    assert deciding_event(read(body, 0)).fields == {"stage": "mosaic", "status": "STARTED"}


def test_an_object_that_is_nested_deeper_than_its_messages_may_be_is_refused() -> None:
    def nested(depth: int) -> bytes:
        return b'{"stage":"chunk","status":"STARTED","x":' + b"[" * depth + b"]" * depth + b"}"

    assert read(nested(2 * MAX_DEPTH - 1), 0)
    with pytest.raises(UnreadableStatus, match="nested too deep"):
        read(nested(2 * MAX_DEPTH), 0)

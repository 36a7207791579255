"""The laws of the status object, against a second telling of the rule that shares no code with it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler import job_status, shortening, status_object
from handler.events import Event, Step
from handler.job_status import JobStatus, deciding_event, fold
from handler.status_object import read, to_json
from tests.factories import step_event

RANK = [
    "chunk STARTED",
    "chunk FAILED",
    "chunk FINISHED",
    "mosaic STARTED",
    "mosaic FAILED",
    "mosaic FINISHED",
]

# What mosaic FINISHEDs say: three different things, one of them in two ways.
SAID = [
    {"target": "s3://tiles/a", "images": ["1", "2"]},
    {"target": "s3://tiles/a", "images": ["2", "1", "2"]},
    {"target": "s3://tiles/a", "images": ["1"]},
    {"target": "s3://tiles/b", "images": ["1", "2"]},
]

steps = st.sampled_from(RANK)
events = st.builds(
    lambda step, at, name, said, extra: step_event(
        step, at=at, message_id=f"m{name:03d}", **extra, **(said if step == "mosaic FINISHED" else {})
    ),
    steps,
    st.integers(0, 12),  # close together, so that many share a millisecond
    st.integers(0, 999),
    st.sampled_from(SAID),
    st.dictionaries(st.sampled_from(["x", "tileJson", "catalog"]), st.text(max_size=3), max_size=2),
)
sets_of_events = st.lists(events, min_size=1, max_size=14, unique_by=lambda e: e.message_id)


def as_dict(found: Event) -> dict[str, Any]:
    return {
        "id": found.message_id,
        "at": found.sent_at,
        "step": RANK.index(f"{found.fields['stage']} {found.fields['status']}"),
        "fields": found.fields,
    }


def oracle(found: list[Event]) -> dict[str, Any]:
    """Tell the rule again, from the issue's words: what in-order, exactly-once delivery gives."""
    unique = {item["id"]: item for item in map(as_dict, found)}
    ordered = sorted(unique.values(), key=lambda item: (item["at"], item["step"], item["id"]))
    attempts: list[list[dict[str, Any]]] = [[]]
    for item in ordered:
        current = attempts[-1]
        if item["step"] in (0, 3) and any(known["step"] == item["step"] for known in current):
            attempts.append([known for known in current if known["step"] < item["step"]])
        attempts[-1].append(item)
    finished: list[dict[str, Any]] = []  # those that say something new
    for item in ordered:
        if item["step"] == 5 and not any(is_repeat(item, earlier) for earlier in finished):
            finished.append(item)
    if finished:
        decides = finished[-1]
    else:
        furthest = max(item["step"] for item in attempts[-1])
        decides = [item for item in attempts[-1] if item["step"] == furthest][-1]
    return {
        "decides": decides["id"],
        "attempt": len(attempts),
        "history": [item["id"] for item in ordered],
        "stay": [item["id"] for item in finished or [decides]],
    }


def is_repeat(item: dict[str, Any], earlier: dict[str, Any]) -> bool:
    one, other = item["fields"], earlier["fields"]
    return one["target"] == other["target"] and set(one["images"]) == set(other["images"])


def bounded(expected: dict[str, Any], limit: int) -> list[str]:
    """Give what stays of a history in which there is room for a few: those that have to, and the newest."""
    history, stay = expected["history"], expected["stay"]
    for start in range(len(history)):
        older = [name for name in history[:start] if name in stay]
        if len(older) + len(history) - start <= limit:
            return [*older, *history[start:]]
    raise AssertionError("no room")


def told(body: bytes) -> dict[str, Any]:
    """Say of an object what the oracle says."""
    found = json.loads(body)
    own = {
        k: v for k, v in found.items() if k not in {"jobId", "attempt", "updatedAt", "history", "tileJson"}
    }
    if found["status"] == "SUCCESS":
        own |= {"stage": "mosaic", "status": "FINISHED"}
    matching = [
        entry["messageId"]
        for entry in found["history"]
        if {
            k: v
            for k, v in entry.items()
            if k not in {"messageId", "sentAt", "droppedBefore", "tileJson", "catalog"}
        }
        == own
    ]
    return {
        "deciders": matching,
        "attempt": found["attempt"],
        "history": [e["messageId"] for e in found["history"]],
    }


def delivered(batches: list[list[Event]], body: bytes = b"") -> bytes:
    """Deliver batches one by one, each through what is stored, as invocations do."""
    for batch in batches:
        status = read(body, 0) if body else JobStatus()
        body = to_json("job", fold(status, batch))
    return body


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Event], list[list[Event]]]:
    """Draw a set of events, and one way in which SQS may deliver them: any order, duplicates, any batches."""
    found = draw(sets_of_events)
    again = draw(st.lists(st.sampled_from(found), max_size=6))
    stream = draw(st.permutations(found + again))
    cuts = sorted(draw(st.sets(st.integers(1, len(stream)), max_size=5)) | {len(stream)})
    return found, [stream[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]


@settings(max_examples=600)
@given(deliveries())
def test_any_order_duplication_and_batching_gives_the_same_object(
    delivery: tuple[list[Event], list[list[Event]]],
) -> None:
    found, batches = delivery
    # WHEN the events arrive in this way, and all at once in the order in which they were sent
    some_way, in_order = delivered(batches), delivered([sorted(found, key=lambda e: e.sent_at)])
    # THEN the object is the same, byte for byte
    assert some_way == in_order
    # AND it is what the rule says
    expected = oracle(found)
    actual = told(some_way)
    assert expected["decides"] in actual["deciders"]
    assert (actual["attempt"], actual["history"]) == (expected["attempt"], expected["history"])


@settings(max_examples=300)
@given(deliveries())
def test_once_a_job_is_a_success_it_stays_one(delivery: tuple[list[Event], list[list[Event]]]) -> None:
    _, batches = delivery
    succeeded, body = False, b""
    for batch in batches:
        body = delivered([batch], body)
        status = json.loads(body)["status"]
        assert status == "SUCCESS" or not succeeded
        succeeded = status == "SUCCESS"


@st.composite
def lives_of_a_job(draw: st.DrawFn) -> list[Event]:
    """Draw a job's life as its producers live it: each step after the other, with restarts after failures."""
    life: list[str] = []
    while not life or life[-1] not in {"mosaic FINISHED", "end"}:
        stage = draw(st.sampled_from(["chunk", "mosaic"])) if "chunk FINISHED" in life else "chunk"
        life += [f"{stage} STARTED", f"{stage} {draw(st.sampled_from(['FAILED', 'FINISHED']))}"]
        if len(life) > 20:
            life.append("end")
    return [step_event(step, at=number * 10) for number, step in enumerate(life) if step != "end"]


@settings(max_examples=300)
@given(lives_of_a_job())
def test_in_order_delivery_gives_what_the_legacy_system_would_have_written(life: list[Event]) -> None:
    body = b""
    for item in life:
        # WHEN the messages arrive in order, one by one
        body = delivered([[item]], body)
        found = json.loads(body)
        # THEN the object says what the last one said
        last = item.fields
        if (last["stage"], last["status"]) == ("mosaic", "FINISHED"):
            assert (found["stage"], found["status"]) == ("COMPLETE", "SUCCESS")
        else:
            assert {name: found[name] for name in last} == last


@settings(max_examples=300)
@given(
    st.lists(events, min_size=1, max_size=40, unique_by=lambda e: e.message_id),
    st.integers(1, 7),
    st.integers(len(SAID), 7),
)
def test_a_bounded_history_of_messages_in_order_gives_status_and_attempt_of_the_whole_one(
    found: list[Event], batch: int, limit: int
) -> None:
    # GIVEN messages in the order of their sending, and room for a few
    ordered = sorted(found, key=lambda e: (e.sent_at, e.step, e.message_id))
    batches = [ordered[start : start + batch] for start in range(0, len(ordered), batch)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_status, "MAX_HISTORY", limit)
        # WHEN they are delivered
        body = delivered(batches)
        # THEN the status is that of the whole history
        expected, actual = oracle(found), told(body)
        assert expected["decides"] in actual["deciders"]
        assert actual["attempt"] == expected["attempt"]
        # AND the history holds the newest, the deciding one, and the first FINISHED of each kind
        assert len(actual["history"]) == min(limit, len(found))
        assert actual["history"] == bounded(expected, limit)
        # AND any redelivery changes nothing
        assert to_json("job", fold(read(body, 0), found)) == body


@settings(max_examples=200)
@given(deliveries(), st.integers(len(SAID), 7))
def test_a_bounded_history_keeps_its_laws_in_any_order_of_arrival(
    delivery: tuple[list[Event], list[list[Event]]], limit: int
) -> None:
    found, batches = delivery
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_status, "MAX_HISTORY", limit)
        body = delivered(batches)
        actual = told(body)
        # THEN it is bounded, ordered, stable, and holds what decides
        assert len(actual["history"]) <= limit
        assert actual["deciders"]
        assert fold(read(body, 0), found) == read(body, 0)
        # AND a success is the newest there was, whatever was sent again
        if any(item.step == 5 for item in found):
            assert oracle(found)["decides"] in actual["deciders"]


LARGE = st.one_of(
    st.builds(lambda length, text: {"error": text * (length // 2)}, st.integers(0, 19_000), st.sampled_from(["x", "é", '"', "\n"])),
    st.builds(lambda count, item: {"x": [item] * count}, st.integers(0, 1_000), st.sampled_from([9e15, [], {"": ""}, "y"])),
    st.builds(lambda length: {"k" * length: 1}, st.integers(1, 19_000)),
    st.builds(lambda count: {f"k{number}": None for number in range(count)}, st.integers(0, 1_200)),
    st.builds(lambda length, name: {name: "z" * length}, st.integers(0, 19_000), st.sampled_from(["messageId", "tileJson", "history"])),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.tuples(steps, st.integers(0, 99), LARGE), min_size=1, max_size=30))
def test_the_object_stays_under_its_limit_whatever_the_messages_hold(
    said: list[tuple[str, int, dict[str, Any]]],
) -> None:
    # GIVEN a limit of 24 kB where a message may take 20 kB and 12 messages are kept (the same proportions)
    found = [
        step_event(step, at, f"m{number:02d}", **more, **(SAID[number % 4] if step == RANK[5] else {}))
        for number, (step, at, more) in enumerate(said)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_status, "MAX_HISTORY", 12)
        patch.setattr(shortening, "MAX_OBJECT_BYTES", 24_000)
        patch.setattr(status_object, "MAX_OBJECT_BYTES", 24_000)
        status, shortened = JobStatus(), False
        for some in found:
            status = fold(status, [some])
            body = to_json("job", status)
            # THEN it is under it, and what decides is read back as it was
            assert len(body) < 24_000
            assert deciding_event(read(body, 0)) == deciding_event(status)
            status = read(body, 0)
            # AND stays as it is when its messages come again, unless a success was shortened for the size, be
            # it that it was dropped since: of two bounds at once it is the smaller history that is left after
            # a second write
            shortened = shortened or any(
                "target" not in event.fields for event in status.history if event.step is Step.MOSAIC_FINISHED
            )
            if not shortened:
                assert to_json("job", fold(status, found[: found.index(some) + 1])) == body
    # AND no more was removed than what can be spared: which messages there are is still known
    assert len(json.loads(body)["history"]) == min(12, len(found))


@given(
    st.lists(st.sampled_from(RANK), min_size=1, max_size=6, unique=True),
    st.data(),
)
def test_a_redriven_part_of_a_job_leaves_it_as_it_should_be_in_any_order_and_mixed_with_the_rest(
    names: list[str], data: st.DataObject
) -> None:
    # GIVEN the messages of an attempt, some of which became dead letters and were redriven: with new
    # messageIds, and times that are after all others and in any order
    sent = [step_event(name, at=number, message_id=f"m{number}") for number, name in enumerate(sorted(names))]
    dead = data.draw(st.sets(st.sampled_from(range(len(sent)))))
    arrived = [
        step_event(name, at=data.draw(st.integers(1_000, 2_000)), message_id=f"redriven-{number}")
        if number in dead
        else sent[number]
        for number, name in enumerate(sorted(names))
    ]
    # WHEN they are delivered in any order, one batch or many
    status = JobStatus()
    for some in data.draw(st.permutations(arrived)):
        status = fold(status, [some])
    # THEN the job stands where it would have stood without all that
    found, expected = (json.loads(to_json("j", one)) for one in (status, fold(JobStatus(), sent)))
    assert (found["stage"], found["status"], found["attempt"]) == (
        expected["stage"],
        expected["status"],
        expected["attempt"],
    )

"""Poison in bulk: whatever a batch holds, each message gets its failed item or a right object, in bounded time."""

import json
import resource
import time
from collections import Counter
from typing import Any

import pytest

from handler.shortening import MAX_OBJECT_BYTES
from handler.strict_json import encode
from local.stack.http_server import Answer
from tests.conftest import Aws
from tests.factories import body, largest_messages, record
from tests.function import Function

STARTED = '{"jobId": "j", "stage": "chunk", "status": "STARTED"'

REFUSED = {
    "deep arrays": STARTED + ', "x": ' + "[" * 50_000 + "]" * 50_000 + "}",
    "deep objects": STARTED + ', "x": ' + '{"":' * 50_000 + "0" + "}" * 50_000 + "}",
    "a key twice": STARTED + ', "stage": "mosaic"}',
    "half an escape": STARTED + r', "x": "\u12"}',
    "an escape that is none": STARTED + r', "x": "\x41"}',
    "a number beyond doubles": STARTED + ', "x": 1e400}',
    "a whole number beyond doubles": STARTED + ', "x": ' + "9" * 100_000 + "}",
    "NaN": STARTED + ', "x": NaN}',
    "1 MiB of quotes": '"' * 1_048_576,
    "1 MiB of brackets": "[" * 1_048_576,
    "1 MiB of text": "x" * 1_048_576,
}


def test_each_kind_of_poison_is_one_failed_item_with_one_line(function: Function) -> None:
    records = [record(text, message_id=name) for name, text in REFUSED.items()]
    begun = time.monotonic()
    assert function.invoke(*records) == list(REFUSED)
    assert time.monotonic() - begun < 5
    refused = {
        name: line["reason"] for line in function.logged("Message refused") for name in line["message_id"]
    }
    assert set(refused) == set(REFUSED)
    assert all(len(reason) < 300 and reason.isascii() and "\n" not in reason for reason in refused.values())


def test_poison_that_comes_back_is_reported_and_neither_logged_nor_counted_again(
    function: Function,
) -> None:
    # GIVEN poison, logged and counted at its first receive
    assert function.invoke(record("poison", message_id="old")) == ["old"]
    assert [line["message_id"] for line in function.logged("Message refused")] == [["old"]]
    assert function.metrics() == {"MessagesInvalid": [1]}
    # WHEN it comes back, until it is a dead letter
    function.output = ""
    for receives in range(2, 61):
        assert function.invoke(record("poison", message_id="old", receives=receives)) == ["old"]
    # THEN
    assert function.output == ""
    # AND in its company all else is said: other poison, and a message that fails again
    function.catalog.answers.append(Answer(401))
    failed = function.invoke(
        record("poison", message_id="old", receives=7),
        record("poison", message_id="new"),
        record(body("mosaic", "FINISHED"), message_id="again", receives=2),
    )
    assert sorted(failed) == ["again", "new", "old"]
    said = [line["message_id"] for line in function.lines if line.get("level") in {"WARNING", "ERROR"}]
    assert sorted(said) == [["again"], ["new"]]
    assert function.metrics()["MessagesInvalid"] == function.metrics()["MessagesFailed"] == [1]


@pytest.mark.parametrize(
    "attributes",
    [{}, {"SentTimestamp": "0"}, {"ApproximateReceiveCount": ""}, {"ApproximateReceiveCount": "0"}],
)
def test_poison_that_does_not_say_how_often_it_came_is_logged_and_counted(
    function: Function,
    attributes: dict[str, str],
) -> None:
    assert function.invoke(record("poison", message_id="m") | {"attributes": attributes}) == ["m"]
    assert len(function.logged("Message refused")) == 1
    assert function.metrics() == {"MessagesInvalid": [1]}


def test_poison_that_is_redriven_or_stands_twice_in_a_batch_is_logged_and_counted_once(
    function: Function,
) -> None:
    # GIVEN poison that stands in a batch with its first and its second receive; redriven, it is a new message
    twice = [record("poison", message_id="dead", receives=receives) for receives in (2, 1)]
    function.invoke(*twice, record("poison", message_id="redriven", receives=1))
    (line,) = function.logged("Message refused")
    assert (line["message_id"], line["receive_count"]) == (["dead", "redriven"], 2)  # as often as it has come
    assert function.metrics() == {"MessagesInvalid": [2]}


def test_the_largest_batch_of_poison_among_good_messages_fails_the_poison_alone(function: Function) -> None:
    # GIVEN a batch of 10,000 messages, the most that Lambda takes, 200 of them good
    small = [text for text in REFUSED.values() if len(text) < 1_000]
    records = [record(small[number % len(small)], number, f"bad-{number}") for number in range(9_800)]
    records += [
        record(body("chunk", "FAILED", f"job-{number % 5}", error=str(number)), number, f"good-{number}")
        for number in range(200)
    ]
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    # WHEN
    failed = function.invoke(*records, milliseconds=60_000)
    # THEN
    assert Counter(name.partition("-")[0] for name in failed) == {"bad": 9_800}
    assert time.monotonic() - begun < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # kB
    assert all(len(function.status(f"job-{number}")["history"]) == 40 for number in range(5))


def test_the_largest_message_and_100_errors_of_100_000_characters_fit_into_their_jobs_object(
    function: Function,
    aws: Aws,
) -> None:
    largest = body("chunk", "FAILED", "largest", error="é" * 500_000)
    long = [record(body("chunk", "FAILED", "long", error=f"{n} " + "\n" * 100_000), n) for n in range(100)]
    assert function.invoke(record(largest), *long, milliseconds=60_000) == []
    for job_id, entries in (("largest", 1), ("long", 100)):
        stored = aws.get(f"status/{job_id}-status.json")
        assert len(stored) < MAX_OBJECT_BYTES
        status = json.loads(stored)
        assert (status["stage"], status["status"], len(status["history"])) == ("chunk", "FAILED", entries)
    # The newest is the one that is read.
    assert function.status("long")["error"] == "99 " + "\n" * 100_000


def test_odd_but_legal_text_is_kept_as_it_came(function: Function) -> None:
    odd: dict[str, Any] = {
        "nul": "\x00",
        "separator": "\u2028",
        "zero": -0.0,
        "e": 1e308,
    }
    assert function.invoke(record(body("chunk", "FAILED", **odd))) == []
    status = function.status("test-job")
    assert {name: status[name] for name in odd} == odd


def test_a_strict_reader_can_read_an_object_whose_message_had_lone_surrogates(
    function: Function,
    aws: Aws,
) -> None:
    odd: dict[str, Any] = {"error": "a\ud800b", "\udfff": ["\udc00"]}
    assert function.invoke(record(body("chunk", "FAILED", **odd))) == []
    stored = aws.get("status/test-job-status.json")
    assert b"\\ud" not in stored.lower()
    assert json.loads(stored.decode())["error"] == "a\ufffdb"


def test_job_ids_that_differ_in_case_are_two_jobs(function: Function) -> None:
    assert (
        function.invoke(record(body("chunk", "STARTED", "Job")), record(body("chunk", "FAILED", "job"))) == []
    )
    assert (function.status("Job")["status"], function.status("job")["status"]) == ("STARTED", "FAILED")


def test_10_000_images_reach_the_catalog(function: Function) -> None:
    images = [f"http://images.example.org/{number:05d}/{'x' * 20}.tif" for number in range(10_000)]
    text = body("mosaic", "FINISHED", images=images)
    assert len(text) > 570_000
    assert function.invoke(record(text)) == []
    (request,) = function.catalog.requests
    assert [image["uuid"] for image in request.json["images"]] == images
    # AND the job is at its end, and its next message finds it there
    status = function.status("test-job")
    assert (status["status"], status["images"], status["catalog"]["state"]) == ("SUCCESS", images, "NOTIFIED")
    assert function.invoke(record(body("chunk", "FINISHED"), -5)) == []
    assert function.status("test-job")["images"] == images
    assert not function.logged("Stored object replaced")


def test_the_messages_that_become_the_largest_objects_end_in_ones_that_are_read_again(
    function: Function,
) -> None:
    largest = sorted(largest_messages(), key=lambda message: len(encode(message[1])))
    for number, (text, own) in enumerate(largest[-4:]):
        job_id = f"job-{number}"
        assert function.invoke(record(text.replace('"j"', f'"{job_id}"', 1))) == []
        assert function.invoke(record(body("chunk", "STARTED", job_id), -5)) == []
        status = function.status(job_id)
        assert len(status["history"]) == 2
        shown = own | {"stage": "COMPLETE", "status": "SUCCESS"} if "images" in own else own
        assert {name: status[name] for name in own} == shown
    assert not function.logged("Stored object replaced")


# Whole, but for its length: what says that it was not read.
@pytest.mark.parametrize("megabytes", [5, 40])
def test_a_stored_object_that_is_far_too_large_is_not_read_to_its_end(
    function: Function,
    aws: Aws,
    megabytes: int,
) -> None:
    assert function.invoke(record(body("chunk", "FINISHED"))) == []
    stored = function.status("test-job")
    aws.put("status/test-job-status.json", json.dumps(stored).encode() + b" " * megabytes * 1_048_576)
    assert function.invoke(record(body("chunk", "STARTED"))) == []
    assert len(function.status("test-job")["history"]) == 1
    assert len(function.logged("Stored object replaced")) == 1

"""The event files."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from local.packaging.make_events import FOLDER, make_events, render

EVENTS = make_events()


def test_the_files_are_what_the_script_makes() -> None:
    # WHEN the files on disk are compared with what the script makes (python -m local.packaging.make_events)
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in Path(FOLDER).iterdir()}

    # THEN they are the same, and no file is left over (env.json is no event: it is for sam local invoke)
    on_disk.pop("env.json")
    assert on_disk == {name: render(event) for name, event in EVENTS.items()}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_every_record_is_one_that_lambda_could_give(event: dict[str, Any]) -> None:
    for record in event["Records"]:
        assert record.keys() == {
            "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody",
            "eventSource", "eventSourceARN", "awsRegion",
        }  # fmt: skip
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
        assert all(isinstance(value, str) for value in record["attributes"].values())


def test_the_large_batch_holds_100_messages_of_25_jobs_in_disorder() -> None:
    records = EVENTS["large-batch.json"]["Records"]
    sent = [int(record["attributes"]["SentTimestamp"]) for record in records]
    assert len({record["messageId"] for record in records}) == 100
    assert len({record["body"].split('"')[3] for record in records}) == 25
    assert sent != sorted(sent)


def test_the_malformed_failure_is_malformed() -> None:
    (record,) = EVENTS["malformed-mosaic-failure.json"]["Records"]
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(record["body"])


def test_the_redelivery_repeats_a_message_and_redrives_it() -> None:
    records = EVENTS["redelivery.json"]["Records"]
    first, twice, redriven = (records[index] for index in (1, 4, 5))
    assert first["messageId"] == twice["messageId"]
    assert first["receiptHandle"] != twice["receiptHandle"]
    assert redriven["body"] == first["body"]
    assert redriven["messageId"] != first["messageId"]
    assert redriven["attributes"]["SentTimestamp"] > first["attributes"]["SentTimestamp"]

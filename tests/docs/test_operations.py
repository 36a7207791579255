"""docs/operations.md: each command is run with its fault in place, and does what the page says."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import handler.batch
import handler.queue
from handler.publisher import Publisher
from local.stack.catalog_server import CatalogServer
from local.stack.embedded import BUCKET
from tests.conftest import stack_of_its_own
from tests.deploy.translated import TEMPLATE, Stack
from tests.docs.deployed import LOG_GROUP, TOKEN
from tests.docs.night import Night
from tests.docs.page import PAGE, SECTIONS
from tests.factories import body

WHAT, WHICH, FIX, OVER = "What it means", "Which jobs", "Fix it", "It is over when"
FINISHED = ("chunk STARTED", "chunk FINISHED", "mosaic STARTED", "mosaic FINISHED")


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    monkeypatch.setattr(handler.queue, "BASE", 0)  # what failed comes back at once
    with stack_of_its_own(max_receive_count=3) as stack:
        running = Night(stack, tmp_path, monkeypatch)
        yield running
        running.end()


# The page and the template


def test_each_alarm_leads_to_its_section_and_each_section_is_an_alarms() -> None:
    led_to = set()
    for alarm in Stack(Environment="production").of_type("AWS::CloudWatch::Alarm").values():
        found = re.fullmatch(r"(?s).*\. What to do: docs/operations\.md#([a-z-]+)", alarm["AlarmDescription"])
        assert found, alarm["AlarmDescription"]
        led_to.add(found[1])
    assert led_to == {anchor for anchor, section in SECTIONS.items() if section.level == 3}


def test_each_alarms_section_says_what_it_means_which_jobs_how_to_fix_it_and_when_it_is_over() -> None:
    for anchor, section in SECTIONS.items():
        if section.level == 3:
            assert list(section.steps) == [WHAT, WHICH, FIX, OVER], anchor


def test_each_block_is_of_commands_that_are_run_here() -> None:
    assert set(re.findall(r"^```(.*)$", PAGE, re.MULTILINE)) == {"console", ""}
    tests = Path(__file__).read_text()
    for anchor, section in SECTIONS.items():
        parts = section.steps if section.level == 3 else {"": section.text}
        for step, text in parts.items():
            if "```" in text:
                step_name = {WHICH: ", WHICH", FIX: ", FIX", OVER: ", OVER", "": ""}[step]
                assert f'follow("{anchor}"{step_name}' in tests, (anchor, step)


def test_the_saved_queries_that_the_page_lists_are_the_templates() -> None:
    named = set(re.findall(r"^\| ([A-Z][\w ]+) \|", SECTIONS["the-log"].text, re.MULTILINE))
    queries = Stack().of_type("AWS::Logs::QueryDefinition").values()
    assert named == {query["Name"].partition("/")[2] for query in queries}


# Before you begin


def test_the_stack_says_its_parts_names_and_its_alarms(night: Night) -> None:
    description = night.deployed.ring("DeadLettersAlarm")
    variables = night.variables()
    # WHEN
    show = [f'echo "{name}=${name}"' for name in variables]
    shown = night.shell.follow("before-you-begin", then=show, begun=False)
    # THEN
    assert set(shown.codes) == {0}
    for name, value in variables.items():
        assert f"{name}={value}\n" in shown + "\n"
    assert description in shown


# Alarms


def test_dead_letters(night: Night) -> None:
    # GIVEN a job's message that failed too often, as the bucket was gone, and poison, more than a list has
    night.lose_bucket()
    night.send("test-job", "chunk STARTED")
    night.send_body("poison")
    night.deliver(4)
    flood = night.bury(*(f"poison {number}" for number in range(110)))
    # WHEN
    shown = night.shell.follow("dead-letters", WHICH)
    # THEN
    assert "100 in the dead-letter queue, and about 12 more, not listed: --all lists them." in shown
    assert "test-job" in shown
    assert "is not a JSON object" in shown
    # WHEN the cause is gone
    night.make_bucket()
    shown = night.shell.follow("dead-letters", FIX, "y\n")
    assert set(shown.codes) == {0}
    night.deliver()
    # THEN the job is as it should be, and all that was purged was kept for its producer
    assert night.saved() == sorted(["poison", *flood])
    shown = night.shell.follow("dead-letters", OVER)
    assert "poison" not in shown
    assert "STARTED" in shown
    assert set(shown.codes) == {0}


@pytest.mark.parametrize("anchor", ["dead-letters", "invalid-messages"])
def test_letters_in_flight_are_not_purged(night: Night, anchor: str) -> None:
    # GIVEN two letters, one of which is being looked at in the console
    letters = night.bury("poison", "more poison")
    url = night.stack.dead_letter_queue_url
    (looked_at,) = night.stack.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)["Messages"]
    # WHEN
    shown = night.shell.follow(anchor, FIX, "y\n")
    # THEN both are still there
    assert shown.codes == [1, 1]
    assert "1 in flight" in shown
    night.stack.sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=looked_at["ReceiptHandle"], VisibilityTimeout=0
    )
    assert night.letters() == sorted(letters)


def test_queue_age(night: Night) -> None:
    # GIVEN a mapping that is off
    night.deployed.client("lambda").update_event_source_mapping(UUID=night.deployed.mapping, Enabled=False)
    night.send("test-job", "chunk STARTED")
    night.deliver()
    # WHEN
    shown = night.shell.follow("queue-age", WHICH)
    # THEN
    assert '"ApproximateNumberOfMessages": "1"' in shown
    assert f"{night.deployed.mapping}\tDisabled" in shown
    # WHEN
    shown = night.shell.follow("queue-age", FIX)
    assert set(shown.codes) == {0}
    night.deliver()
    # THEN
    assert night.status("test-job")["status"] == "STARTED"
    shown = night.shell.follow("queue-age", OVER)
    assert '"ApproximateNumberOfMessages": "0"' in shown


def test_function_errors(night: Night) -> None:
    # GIVEN a setting that is missing
    right = night.deployed.variables
    night.deployed.set_variables(right | {"OAM_CATALOG_URL": "no URL"})
    night.restart()
    night.send("test-job", "chunk STARTED")
    night.deliver()
    assert "SettingsError" in str(night.error)
    # WHEN
    shown = night.shell.follow("function-errors", WHICH)
    # THEN
    assert "OAM_CATALOG_URL" in shown
    assert '"errorType": "SettingsError"' in shown
    assert shown.codes == [1, 0]
    # WHEN it is corrected, and deployed
    shown = night.shell.follow("function-errors", FIX)
    assert "sam deploy --config-env production" in shown
    night.deployed.set_variables(right)
    night.restart()
    night.come_back()
    night.deliver()
    # THEN
    assert "OAM_CATALOG_URL" not in night.shell.follow("function-errors", OVER)
    assert night.status("test-job")["status"] == "STARTED"


def test_function_throttles(night: Night) -> None:
    assert set(night.shell.follow("function-throttles", WHICH).codes) == {0}
    assert set(night.shell.follow("function-throttles", FIX).codes) == {0}
    mapping = night.deployed.client("lambda").get_event_source_mapping(UUID=night.deployed.mapping)
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_function_duration(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a catalog that takes longer than the invocation lasts
    timeout = 8

    def slow(self: CatalogServer, payload: object) -> tuple[int, dict[str, Any]]:
        time.sleep(timeout)
        return 200, {}

    with monkeypatch.context() as patch:
        patch.setattr(CatalogServer, "_take", slow)
        night.send("test-job", *FINISHED)
        ends = time.monotonic() + timeout
        night.deliver(timeout=timeout)
    # WHEN
    shown = night.shell.follow("function-duration", WHICH)
    # THEN
    assert "test-job" in shown
    assert "did not answer" in " ".join(shown.split())
    assert "sam deploy --config-env production" in night.shell.follow("function-duration", FIX)
    # WHEN the catalog is quick again
    time.sleep(max(0, ends - time.monotonic()))  # the claim's end: until then the catalog may be at work
    night.deliver()
    # THEN
    assert "test-job" not in night.shell.follow("function-duration", OVER)
    assert len(night.catalog.entries) == 1


def test_message_failures(night: Night) -> None:
    # GIVEN a bucket that is gone, and with it the object of a finished job
    night.lose_bucket()
    night.send("test-job", "chunk STARTED")
    night.deliver()
    # WHEN
    shown = night.shell.follow("message-failures", WHICH)
    # THEN the log names the job, and both the reason, which is a row of the page's table
    assert '"job_id":"test-job"' in shown
    assert shown.count("(NoSuchBucket)") > 1
    assert "| `NoSuchBucket` |" in SECTIONS["message-failures"].text
    assert shown.codes == [0, 1]
    # WHEN
    shown = night.shell.follow("message-failures", FIX)
    assert set(shown.codes) == {0}
    night.deliver()
    # AND the tiler sends the last message of the finished job again
    night.send("done-job", "mosaic FINISHED")
    night.deliver()
    # THEN
    shown = night.shell.follow("message-failures", OVER)
    assert "test-job" in shown
    assert night.status("done-job")["status"] == "SUCCESS"
    assert len(night.catalog.entries) == 1
    s3 = night.deployed.client("s3")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())


@pytest.mark.parametrize("fault", ["down", "token"])
def test_catalog_failures(night: Night, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a catalog that is down, or that does not take the token any more
    monkeypatch.setattr(handler.batch, "backoff", lambda *_: 900)  # what failed comes back much later
    if fault == "down":
        night.stop_catalog()
    else:
        night.deployed.client("secretsmanager").put_secret_value(
            SecretId=night.deployed.secret, SecretString="old"
        )
    night.send("test-job", *FINISHED)
    night.deliver()
    # WHEN
    shown = night.shell.follow("catalog-failures", WHICH)
    # THEN
    assert "test-job" in shown
    assert ("refused" if fault == "down" else "HTTP 401") in shown
    # WHEN
    if fault == "down":
        assert night.shell.follow("catalog-failures", FIX).codes == [1]
        night.start_catalog()
    else:
        shown = night.shell.follow("rotating-the-token", answers=f"{TOKEN}\n")
        assert set(shown.codes) == {0}
        assert "the catalog takes it" in " ".join(shown.split())
    night.deliver()
    assert night.status("test-job")["catalog"]["state"] == "FAILED"
    # AND its notification is not waited for
    shown = night.shell.follow("catalog-failures", OVER, "y\n", between=night.deliver)
    # THEN
    assert set(shown.codes) == {0}
    assert "0 done and not in the catalog" in shown
    assert night.status("test-job")["catalog"]["state"] == "NOTIFIED"


def test_invalid_messages(night: Night) -> None:
    # GIVEN a flood of poison, and a job among it
    flood = [json.dumps({"jobId": f"bad {number}"}) for number in range(30)]
    for text in flood:
        night.send_body(text)
    night.send("test-job", "chunk STARTED")
    night.deliver(4)
    assert night.status("test-job")["status"] == "STARTED"
    # AND older poison, more than a list has, and a letter of another alarm
    flood += night.bury(*(f"poison {number}" for number in range(100)))
    night.bury(body("chunk", "STARTED", "other-job"))
    # WHEN
    shown = night.shell.follow("invalid-messages", WHICH)
    # THEN each is there, with its reason, and in the log once
    assert shown.count('"message":"Message refused"') == 30
    letters = " ".join(shown[shown.index("Age  Received") :].split())
    assert all(f"bad {number}" in letters for number in range(30))
    assert "jobId is not 1 to 256 letters" in letters
    # WHEN
    assert set(night.shell.follow("invalid-messages", FIX, "y\n").codes) == {0}
    # THEN all of them are kept for their producer, and gone from here; the other job's goes on
    assert night.saved() == sorted(flood)
    assert night.letters() == []
    assert "0 in the dead-letter queue" in night.shell.follow("invalid-messages", OVER)
    night.deliver()
    assert night.status("other-job")["status"] == "STARTED"


def test_unexpected_failures(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a job that has begun, and then a version with a defect
    night.send("test-job", "chunk STARTED")
    night.deliver()
    night.make_older("test-job", 3 * 3_600)

    def broken(self: Publisher, job_id: str, *args: Any) -> Any:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "publish", broken)
        night.send("test-job", "chunk FINISHED")
        night.deliver()
    # WHEN
    shown = night.shell.follow("unexpected-failures", WHICH)
    # THEN
    assert shown.count("test-job") > 1
    assert "ZeroDivisionError: a defect" in shown
    # WHEN the version before runs again
    assert set(night.shell.follow("rollback").codes) == {0}
    assert night.deployed.live_version() == "1"
    night.deliver()
    # THEN
    assert "FINISHED" in night.shell.follow("unexpected-failures", OVER)


def test_new_version(night: Night) -> None:
    shown = night.shell.follow("new-version", WHICH)
    assert set(shown.codes) == {0}
    assert shown.startswith(night.deployed.live_version())
    assert "sam deploy --config-env production" in night.shell.follow("new-version", FIX)
    assert night.deployed.live_version() in night.shell.follow("new-version", OVER)


# The other sections


def test_the_catalog_lost_an_entry(night: Night) -> None:
    night.send("test-job", *FINISHED)
    night.deliver()
    # GIVEN a catalog that was restored from a backup
    night.stop_catalog()
    night.start_catalog()
    assert not night.catalog.entries
    # WHEN
    shown = night.shell.follow("the-catalog-lost-an-entry", answers="y\n", between=night.deliver)
    # THEN
    assert set(shown.codes) == {0}
    assert len(night.catalog.entries) == 1


def test_upgrade(night: Night) -> None:
    # GIVEN the log of an old version
    (stream,) = re.findall(r"STREAM='(.*)'", SECTIONS["upgrade"].text)
    night.deployed.client("logs").create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
    # WHEN
    shown = night.shell.follow("upgrade")
    # THEN
    assert set(shown.codes) == {0}
    assert "sam deploy --config-env production" in shown
    assert stream in shown
    left = night.deployed.client("logs").describe_log_streams(logGroupName=LOG_GROUP)["logStreams"]
    assert stream not in [one["logStreamName"] for one in left]


def test_an_object_is_restored(night: Night) -> None:
    night.send("test-job", "chunk STARTED")
    night.deliver()
    before = night.status("test-job")
    # GIVEN that it was deleted
    night.stack.s3.delete_object(Bucket=BUCKET, Key="status/test-job-status.json")
    # WHEN
    shown = night.shell.follow("restoring-a-status-object")
    # THEN
    assert set(shown.codes) == {0}
    assert "\tNone\n" in shown
    assert night.status("test-job") == before


def test_the_log_is_followed(night: Night) -> None:
    assert "sam logs --config-env production --name StatusPublisher --tail" in night.shell.follow("the-log")


def test_removal(night: Night) -> None:
    assert "sam delete --config-env production" in night.shell.follow("removal")
    assert TEMPLATE["Resources"]["StatusBucket"]["DeletionPolicy"] == "Retain"

"""The handler as Lambda calls it, in process: wiring, batches, logs and metrics."""

import json
import threading
import time
import uuid
from typing import Any

import pytest

import handler.app
import handler.publisher
from handler import status_object
from handler.circuit_breaker import FAILURE_THRESHOLD
from handler.deadline import Reserve, Timeout
from handler.publisher import Publisher
from handler.settings import SettingsError
from local.stack.catalog_server import CatalogServer
from local.stack.http_server import Answer
from tests.conftest import TOKEN
from tests.factories import NOON, body, record
from tests.function import Function
from tests.ports import silent_server


def test_importing_the_handler_reads_no_settings(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX", "OAM_API_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    # WHEN it is invoked, it names all that is missing at once, and again at the next invocation
    for _ in range(2):
        with pytest.raises(
            SettingsError, match=r"AWS_DEFAULT_REGION.*OAM_STATUS_BUCKET.*OAM_STATUS_PREFIX.*OAM_API_TOKEN"
        ):
            function.invoke(record(body("chunk", "STARTED")))


def test_an_empty_batch_is_an_empty_answer(function: Function) -> None:
    assert function.invoke() == []


def test_exactly_the_messages_that_failed_are_reported(function: Function) -> None:
    # GIVEN a batch of good messages, bad ones, and one whose job the catalog refuses
    function.catalog.answers.append(Answer(401))
    good = record(body("chunk", "STARTED", "job-a"))
    poison = [record("[]"), record("NaN"), record(body("chunk", "STARTED", "../escape"))]
    refused = record(body("mosaic", "FINISHED", "job-b"))
    sibling = record(body("mosaic", "STARTED", "job-b"), at=-1)
    # WHEN
    failed = function.invoke(good, *poison, refused, sibling)
    # THEN
    assert sorted(failed) == sorted([r["messageId"] for r in poison] + [refused["messageId"]])
    assert function.status("job-a")["status"] == "STARTED"
    assert function.status("job-b")["catalog"]["state"] == "FAILED"
    # AND each has its reason in the log
    lines = [line for line in function.lines if "reason" in line]
    assert sorted(name for line in lines for name in line["message_id"]) == sorted(failed)
    # AND its name among the metrics
    counted = {name: sum(values) for name, values in function.metrics().items() if name != "PublishLag"}
    assert counted == {"MessagesPublished": 3, "MessagesInvalid": 3, "MessagesFailed": 1, "CatalogFailed": 1}


def test_a_batch_whose_every_message_fails_is_reported_and_not_raised(function: Function) -> None:
    poison = [record("no"), record("null")]
    assert function.invoke(*poison) == [r["messageId"] for r in poison]


def test_a_job_in_one_batch_out_of_order_ends_as_sent(function: Function) -> None:
    steps = ["chunk STARTED", "chunk FINISHED", "mosaic STARTED", "mosaic FINISHED"]
    records = [record(body(*step.split()), at=at) for at, step in enumerate(steps)]
    assert function.invoke(*records[::-1]) == []
    assert function.status("test-job")["status"] == "SUCCESS"
    assert [entry["stage"] for entry in function.status("test-job")["history"]] == [
        "chunk",
        "chunk",
        "mosaic",
        "mosaic",
    ]
    assert len(function.catalog.requests) == 1


def test_a_malformed_failure_is_recovered_and_counted(function: Function) -> None:
    text = '{ "jobId": "j", "stage": "mosaic", "status": "FAILED", "error": "a "b" \\c\nd" }'
    assert function.invoke(record(text)) == []
    assert function.status("j")["error"] == 'a "b" \\c\nd'
    assert function.metrics()["MessagesRecovered"] == [1]


def test_one_message_twice_in_a_batch_counts_once(function: Function) -> None:
    twice = record(body("chunk", "STARTED"))
    assert function.invoke(twice, twice) == []
    assert len(function.status("test-job")["history"]) == 1


def test_jobs_of_a_batch_run_at_once(function: Function) -> None:
    # GIVEN a catalog that takes 0.3 s, and twelve jobs
    function.catalog.answers.extend(Answer(200, before=lambda: time.sleep(0.3)) for _ in range(12))
    records = [record(body("mosaic", "FINISHED", f"job-{number}")) for number in range(12)]
    begun = time.monotonic()
    assert function.invoke(*records) == []
    # THEN they do not wait for each other
    assert time.monotonic() - begun < 12 * 0.3


def test_what_was_not_begun_is_reported_as_failed(function: Function) -> None:
    records = [record(body("chunk", "STARTED", f"job-{number}")) for number in range(3)]
    assert function.invoke(*records, milliseconds=300) == [r["messageId"] for r in records]
    assert function.metrics() == {"MessagesDeferred": [3], "MessagesFailed": [3]}


def test_a_hanging_job_does_not_outlive_the_invocation(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a job that hangs, beside one that does not, and six seconds
    publish = Publisher.publish

    def hang(self: Publisher, job_id: str, *args: Any) -> Any:
        if job_id == "hangs":
            time.sleep(8)
        return publish(self, job_id, *args)

    monkeypatch.setattr(Publisher, "publish", hang)
    end = time.monotonic() + 6
    records = [record(body("chunk", "STARTED", "hangs")), record(body("chunk", "STARTED", "works"))]
    # WHEN
    failed = function.invoke(*records, milliseconds=lambda: int((end - time.monotonic()) * 1000))
    # THEN the answer is there before Lambda would have killed the invocation
    assert time.monotonic() < end
    assert failed == [records[0]["messageId"]]


def test_a_defect_in_one_job_fails_that_job_with_its_traceback(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a defect that only one job meets
    publish = Publisher.publish

    def break_one(self: Publisher, job_id: str, *args: Any) -> Any:
        if job_id == "broken":
            raise ZeroDivisionError("a defect")
        return publish(self, job_id, *args)

    monkeypatch.setattr(Publisher, "publish", break_one)
    broken, fine = record(body("chunk", "STARTED", "broken")), record(body("chunk", "STARTED", "fine"))
    # WHEN
    assert function.invoke(broken, fine) == [broken["messageId"]]
    # THEN
    (line,) = function.logged("Message failed unexpectedly")
    assert (line["job_id"], line["message_id"]) == ("broken", [broken["messageId"]])
    assert line["level"] == "ERROR"
    assert "ZeroDivisionError: a defect" in line["exception"]
    assert "break_one" in line["exception"]
    assert function.metrics()["MessagesUnexpected"] == [1]


def test_log_lines_are_json_with_constant_messages_and_keys(function: Function) -> None:
    function.invoke(record(body("chunk", "FAILED", error="secret of a user\n{}"), message_id="m1"))
    (line,) = function.logged("Job status published")
    wanted = {
        "job_id": "test-job",
        "stage": "chunk",
        "status": "FAILED",
        "message_id": ["m1"],
        "level": "INFO",
    }
    assert wanted.items() <= line.items()
    assert line["service"] == "oam-status-publisher"
    assert line["function_request_id"] == "request-1"
    assert "secret of a user" not in function.output


def test_metrics_have_the_lag_of_each_message_and_no_job_as_dimension(function: Function) -> None:
    # GIVEN 250 messages: more than one EMF blob holds
    records = [record(body("chunk", "FAILED", "j"), at=at) for at in range(250)]
    begun = time.time_ns() // 1_000_000
    function.invoke(*records)
    # THEN
    lags = function.metrics()["PublishLag"]
    assert len(lags) == 250
    assert begun - NOON - 250 <= min(lags) <= max(lags) <= time.time_ns() // 1_000_000 - NOON
    assert function.metrics()["MessagesPublished"] == [250]
    # AND the next invocation counts from nothing
    function.output = ""
    function.invoke(*records)
    assert function.metrics() == {"MessagesUnchanged": [250]}


@pytest.mark.parametrize(("debug", "level"), [("oam:*", "DEBUG"), ("other", "INFO")])
def test_debug_turns_debug_logging_on(
    function: Function, monkeypatch: pytest.MonkeyPatch, debug: str, level: str
) -> None:
    monkeypatch.setenv("DEBUG", debug)
    function.invoke()
    assert function.module.logger.log_level == {"DEBUG": 10, "INFO": 20}[level]


def test_the_token_is_nowhere_even_if_the_catalog_echoes_it_at_debug(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBUG", "*")
    function.catalog.answers.append(Answer(403, body=f"bad token {TOKEN}".encode()))
    function.invoke(record(body("mosaic", "FINISHED")))
    assert TOKEN not in function.output
    assert TOKEN not in json.dumps(function.status("test-job"))
    assert function.catalog.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("value", [TOKEN, json.dumps({"token": TOKEN})])
def test_the_token_is_read_from_its_secret_when_a_job_is_finished(
    function: Function, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    # GIVEN a token that is in Secrets Manager, and not in the function's configuration
    secret = function.aws.client("secretsmanager").create_secret(Name=uuid.uuid4().hex, SecretString=value)
    monkeypatch.delenv("OAM_API_TOKEN")
    monkeypatch.setenv("OAM_API_TOKEN_SECRET_ARN", secret["ARN"])
    # WHEN
    assert function.invoke(record(body("mosaic", "FINISHED"))) == []
    # THEN
    assert function.catalog.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_secret_that_cannot_be_read_fails_the_message_and_is_said_in_the_object(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OAM_API_TOKEN")
    monkeypatch.setenv("OAM_API_TOKEN_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:no")
    done = record(body("mosaic", "FINISHED"))
    assert function.invoke(done) == [done["messageId"]]
    section = function.status("test-job")["catalog"]
    assert section["state"] == "FAILED"
    assert "secret:no can't be read" in section["error"]


def test_the_tiles_url_setting_reaches_status_and_catalog(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAM_TILES_URL", "https://tiles.example.org/")
    function.invoke(record(body("mosaic", "FINISHED")))
    uri = "https://tiles.example.org/test-job/{z}/{x}/{y}.png"
    assert function.status("test-job")["tileJson"]["tiles"] == [uri]
    assert function.catalog.requests[0].json["uri"] == uri


def test_a_large_batch_of_many_jobs_is_published(function: Function) -> None:
    records = [
        record(body("chunk", "FAILED", f"job-{number % 25}"), at=number, message_id=str(uuid.uuid4()))
        for number in range(200)
    ]
    assert function.invoke(*records) == []
    assert len(function.status("job-7")["history"]) == 8


def test_a_silent_catalog_takes_one_wait_of_a_batch_and_none_of_the_next(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a catalog that takes connections and says nothing
    monkeypatch.setattr(Timeout, "POST", 1.0)
    silence = threading.Event()
    function.catalog.answers.extend([Answer(200, before=silence.wait)] * 200)
    finished = [record(body("mosaic", "FINISHED", f"job-{number}")) for number in range(45)]
    names = [one["messageId"] for one in finished]
    try:
        # WHEN a batch finishes more jobs than run at once, and comes back
        begun = time.monotonic()
        assert sorted(function.invoke(*finished, milliseconds=60_000)) == sorted(names)
        first, asked = time.monotonic() - begun, len(function.catalog.requests)
        assert sorted(function.invoke(*finished, milliseconds=60_000)) == sorted(names)
        # THEN one round of jobs waited, once; then nobody asked; and every status was written
        assert asked <= function.module.WORKERS + FAILURE_THRESHOLD
        assert len(function.catalog.requests) == asked
        assert first < 20  # of which one second is the wait
        counted = {name: sum(values) for name, values in function.metrics().items()}
        assert counted["CatalogFailed"] == counted["CatalogClaimed"] == asked  # their claims hold
        assert counted["CatalogSpared"] == 2 * (len(finished) - asked)
        assert {function.status(f"job-{number}")["status"] for number in range(45)} == {"SUCCESS"}
        assert len(function.logged("Catalog is down, and not asked for a while")) >= 1
    finally:
        silence.set()


@pytest.mark.parametrize("hanging", ["s3", "secrets", "catalog"])
def test_whatever_hangs_ends_within_the_invocation_and_no_thread_is_left_half_way(
    function: Function, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    # GIVEN a service that takes connections and says nothing, and 14 seconds
    with silent_server() as url:
        if hanging == "s3":
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        elif hanging == "secrets":
            monkeypatch.delenv("OAM_API_TOKEN")
            monkeypatch.setenv("OAM_API_TOKEN_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:1:secret:x")
            monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
        else:
            monkeypatch.setenv("OAM_CATALOG_URL", url)
        records = [record(body("mosaic", "FINISHED", f"job-{number}")) for number in range(3)]
        others = set(threading.enumerate())
        end = time.monotonic() + 14
        # WHEN
        failed = function.invoke(*records, milliseconds=lambda: int((end - time.monotonic()) * 1000))
        # THEN every message has failed in time, by its own timeout: nothing had to be abandoned
        assert time.monotonic() < end - Reserve.RESPONSE + 0.1
        assert sorted(failed) == sorted(one["messageId"] for one in records)
        for thread in set(threading.enumerate()) - others:
            if thread.name.startswith("job"):
                thread.join(0.2)
                assert not thread.is_alive()
        if hanging != "s3":
            assert [function.status(f"job-{number}")["catalog"]["state"] for number in range(3)] == [
                "FAILED"
            ] * 3


def test_debug_says_what_came_and_no_log_line_holds_more_than_ascii(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lone surrogate can't be written as UTF-8, and a terminal obeys control characters."""
    monkeypatch.setenv("DEBUG", "oam:*")
    monkeypatch.setenv("MOCK_OAM_API", "true")
    images = ["http://a/\ud800.tif", "http://b/\u2028\x1b[31m.tif"]
    text = body("mosaic", "FINISHED", images=images)
    assert function.invoke(record(text)) == []
    assert function.output.isascii()
    assert "\x1b" not in function.output
    assert function.logged("Message received")[0]["body"] == text
    (mocked,) = function.logged("Catalog notification not sent: mocked")
    assert [image["uuid"] for image in mocked["payload"]["images"]] == ["http://a/\ufffd.tif", images[1]]


def test_jobs_are_in_memory_one_at_a_time(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of nested JSON is some forty of Python's objects; 32 of these at once would end the function."""
    # GIVEN a look at who is between reading an object and having written the next
    inside, most = [0], [0]
    read, to_json = status_object.read, status_object.to_json

    def entering(*arguments: Any) -> Any:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        return read(*arguments)

    def leaving(*arguments: Any) -> Any:
        inside[0] -= 1
        return to_json(*arguments)

    first = [record(body("chunk", "STARTED", f"job-{number}")) for number in range(8)]
    assert function.invoke(*first) == []
    monkeypatch.setattr(handler.publisher, "read", entering)
    monkeypatch.setattr(handler.publisher, "to_json", leaving)
    # WHEN jobs that have an object get messages, at once
    then = [record(body("mosaic", "FINISHED", f"job-{number}"), 9) for number in range(8)]
    assert function.invoke(*then) == []
    # THEN
    assert most[0] == 1


def test_a_message_reaches_no_header_and_no_other_host(function: Function) -> None:
    # GIVEN a server that a producer would like to have the token sent to
    with CatalogServer(TOKEN) as elsewhere:
        injected = "http://a/1.tif\r\nX-Injected: yes"
        # WHEN it names that server wherever a URL can stand
        text = body(
            "mosaic", "FINISHED", target=f"{elsewhere.url}/tiles", images=[f"{elsewhere.url}/1.tif", injected]
        )
        assert function.invoke(record(text)) == []
        # THEN only the catalog was asked, and its headers hold nothing of the message
        assert elsewhere.requests == []
    (request,) = function.catalog.requests
    assert request.json["images"][1] == {"uuid": injected}
    assert "X-Injected" not in request.headers
    assert not any(elsewhere.url in value or "a/1.tif" in value for value in request.headers.values())
    assert [name for name, value in request.headers.items() if TOKEN in value] == ["Authorization"]

"""The saved queries of the log, on lines that the function wrote: what they are for is found, and nothing else."""

import json
import uuid
from typing import Any

import pytest

from handler.publisher import Publisher
from local.stack.event_source_mapping import EventSourceMapping
from local.stack.http_server import Answer
from tests.deploy.insights import GENERATED, MAX_FIELDS, Query, discovered
from tests.deploy.translated import ROOT, Stack
from tests.factories import body, record
from tests.function import Function
from tests.runtime.emulator import LambdaRuntime
from tests.runtime.test_log import LAMBDAS_OWN

QUERIES = {
    found["Name"].partition("/")[2]: found for found in Stack().of_type("AWS::Logs::QueryDefinition").values()
}
FAILURES, TIMELINE, SLOWEST = (
    Query(QUERIES[name]["QueryString"]) for name in ("Failures by reason", "What happened", "Slowest jobs")
)


def path_of(job_id: str) -> Query:
    query = QUERIES["One job"]
    (parameter,) = query["Parameters"]
    return Query(query["QueryString"], **{parameter["Name"]: job_id})


def broken(self: Publisher, job_id: str, *args: object) -> None:
    raise ZeroDivisionError("a defect")


@pytest.fixture
def night(function: Function, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the lines of a night with all that can go wrong."""
    # GIVEN a job that succeeds, one that the catalog refuses, poison, and a job of many messages
    function.catalog.answers.extend([Answer(200), Answer(400)])
    function.invoke(record(body("chunk", "STARTED")), record(body("chunk", "FINISHED")))
    function.invoke(record(body("mosaic", "FINISHED")))
    function.invoke(record(body("mosaic", "FINISHED", "refused")))
    function.invoke(record("poison"))
    function.invoke(*(record(body("chunk", "STARTED", "many")) for _ in range(250)))
    # AND a catalog that is down, so that the circuit opens
    function.catalog.answers.extend([Answer(503, headers={"Retry-After": "60"})] * 9)
    for number in range(3):
        function.invoke(record(body("mosaic", "FINISHED", f"late-{number}")))
    function.invoke(
        record(body("mosaic", "FINISHED", "held-1")), record(body("mosaic", "FINISHED", "held-2"))
    )
    # AND, with a real queue, a bucket that is not there, and a defect
    with monkeypatch.context() as patch:
        sqs = function.aws.client("sqs")
        url = sqs.create_queue(QueueName=f"night-{uuid.uuid4().hex}")["QueueUrl"]
        patch.setenv("OAM_STATUS_SQS_QUEUE_URL", url)
        patch.setenv("OAM_STATUS_BUCKET", "there-is-no-such-bucket")
        del function.module  # a new one, with this environment
        sqs.send_message(QueueUrl=url, MessageBody=body("chunk", "STARTED", "homeless"))
        records = EventSourceMapping(sqs, url, function.module.lambda_handler, wait=1).receive()
        function.invoke(*records, *(record(body("chunk", "STARTED", "homeless")) for _ in range(250)))
    monkeypatch.setattr(Publisher, "publish", broken)
    function.invoke(record(body("chunk", "STARTED", "broken")))
    return function.output.splitlines()


@pytest.fixture(scope="session")
def of_lambda(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the lines of Lambda's runtime when the function raises, and of Lambda when its time is up."""
    with LambdaRuntime(
        ROOT, {"AWS_LAMBDA_LOG_FORMAT": "JSON"}, tmp_path_factory.mktemp("runtime")
    ) as lambdas:
        assert lambdas.invoke({"Records": []})["errorType"] == "SettingsError"
        lambdas.logged("SettingsError")
        lines = [line for line in lambdas.own_lines() if line.startswith("{")]
    return [*lines, LAMBDAS_OWN[1].replace('"status":"success"', '"status":"timeout"')]


def found_by(query: Query, lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines if query.finds(line)]


def test_each_field_that_a_query_names_is_in_a_line_that_it_finds(
    night: list[str], of_lambda: list[str]
) -> None:
    for queries in ([path_of("homeless"), path_of("test-job")], [FAILURES], [TIMELINE], [SLOWEST]):
        lines = [line for line in night + of_lambda if any(query.finds(line) for query in queries)]
        assert queries[0].named - GENERATED
        assert queries[0].named <= set().union(*map(discovered, lines))


def test_one_jobs_path_is_all_of_its_lines_and_no_others(night: list[str]) -> None:
    assert [line["message"] for line in found_by(path_of("test-job"), night)] == [
        "Job status published",
        "Job status published",
        "Catalog notified",
    ]
    # AND with those in which it is one of several
    found = found_by(path_of("held-2"), night)
    assert [line.get("error", line["message"]) for line in found] == ["Job status published", "CircuitOpen"]


def test_failures_by_reason_are_all_that_is_wrong(night: list[str], of_lambda: list[str]) -> None:
    lines = night + of_lambda
    found = found_by(FAILURES, lines)
    assert {line.get("error", line.get("errorType")) for line in found} >= {
        *("InvalidMessage", "CatalogError", "CatalogUnavailable", "CircuitOpen", "StatusStoreError"),
        *("ZeroDivisionError", "SettingsError"),
    }
    assert len(found) == sum('"level":"WARNING"' in line or '"ERROR"' in line for line in lines)
    # AND each can be counted by what it says
    assert all("reason" in line or "errorMessage" in line for line in found if "error" in line)


def test_what_happened_is_each_line_but_the_metrics_and_what_went_well(
    night: list[str], of_lambda: list[str]
) -> None:
    assert not TIMELINE.finds(LAMBDAS_OWN[0])
    assert not TIMELINE.finds(LAMBDAS_OWN[1])
    missed = [line for line in night + of_lambda if not TIMELINE.finds(line)]
    assert missed
    assert all('"_aws":' in line for line in missed)


def test_the_slowest_jobs_are_known_from_when_their_messages_were_sent(night: list[str]) -> None:
    found = found_by(SLOWEST, night)
    assert {line["message"] for line in found} == {"Job status published", "Catalog notified"}
    assert all(line["job_id"] and line["lag_ms"] > 0 for line in found)


def test_a_line_of_many_messages_has_its_reason_among_the_fields_that_insights_finds(
    night: list[str],
) -> None:
    """It finds 200 of a line, and each message's id is one."""
    for job_id, name in (("homeless", "reason"), ("many", "lag_ms")):
        (line,) = [line for line in night if f'"job_id":"{job_id}"' in line]
        assert len(json.loads(line)["message_id"]) > MAX_FIELDS
        assert {name, "job_id"} <= set(discovered(line))


def test_each_query_is_in_the_stacks_folder_for_the_functions_log_alone() -> None:
    for query in Stack().of_type("AWS::Logs::QueryDefinition").values():
        assert query["Name"].startswith("oam/")
        assert query["LogGroupNames"] == ["<StatusPublisherLogs>"]

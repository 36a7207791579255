"""No line of the function's log is longer than CloudWatch takes, whatever a batch holds."""

import uuid

import pytest

from handler.log import MAX_LINE_BYTES
from tests.factories import body, record
from tests.integration.test_app import Function, catalog, function  # noqa: F401 (fixtures)


def longest(function: Function) -> int:  # noqa: F811
    return max(len(line.encode()) for line in function.output.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        body("chunk", "FAILED", error="x" * 1_040_000),
        body("chunk", "FAILED", error="\n" * 500_000),
        '{"jobId": "test-job", "stage": "chunk", "status": "FAILED", "error": "' + "é" * 500_000 + '"}',
        "\U0001f30d" * 260_000,
        "[" * 1_048_576,
    ],
    ids=["ASCII", "escapes", "two bytes, written as six", "four bytes, written as twelve", "no object"],
)
def test_a_body_of_1_mib_at_debug_is_a_line_that_cloudwatch_takes(
    function: Function,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    monkeypatch.setenv("DEBUG", "oam:*")
    function.invoke(record(text, message_id="m"))
    (line,) = function.logged("Message received")
    assert (line["message_id"], line["level"]) == ("m", "DEBUG")
    assert line["body"].startswith(text[:20_000])
    assert line["body"].endswith(f"... ({len(text):,} characters)")
    assert MAX_LINE_BYTES * 0.95 < longest(function) <= MAX_LINE_BYTES


def test_a_job_of_10_000_messages_is_a_line_that_cloudwatch_takes(function: Function) -> None:  # noqa: F811
    records = [record(body("chunk", "STARTED"), n, str(uuid.UUID(int=n))) for n in range(10_000)]
    assert function.invoke(*records, milliseconds=60_000) == []
    (line,) = function.logged("Job status published")
    assert str(uuid.UUID(int=5_000)) in line["message_id"]
    assert longest(function) <= MAX_LINE_BYTES


def test_the_largest_mocked_notification_is_a_line_that_cloudwatch_takes(
    function: Function,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOCK_OAM_API", "true")
    images = [f"http://images.example.org/{number}.tif" for number in range(10_000)]
    assert function.invoke(record(body("mosaic", "FINISHED", images=images))) == []
    (line,) = function.logged("Catalog notification not sent: mocked")
    assert images[3_000] in line["payload"]
    assert longest(function) <= MAX_LINE_BYTES

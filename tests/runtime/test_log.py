"""What is in the log, whatever Lambda's level is and whatever stands in the environment: under AWS's own runtime."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.stack.catalog_server import CatalogServer
from local.stack.http_server import Answer, HttpServer, Request, Script
from tests.conftest import TOKEN, Aws
from tests.factories import body, record
from tests.runtime.emulator import LambdaRuntime

ROOT = Path(__file__).parents[2]
SESSION_TOKEN = "s3cret-session"  # of the function's role

FINISHED = {"Records": [record(body("mosaic", "FINISHED"))]}

# What Lambda writes of each invocation, with SystemLogLevel INFO and tracing; CloudWatch counts 26 bytes more for
# each line (https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html, as seen in a log group).
LAMBDAS_OWN = [
    '{"time":"2026-10-08T07:30:41.076Z","type":"platform.start","record":{"requestId":"f0c9f58b-8ebe-4e84-a656-95eb'
    '6eee865a","functionArn":"arn:aws:lambda:eu-central-1:123456789012:function:oam-status-publisher-StatusPublisher'
    '-Zy3xW9vU7tSr","version":"12","tracing":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-63'
    '52a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=1"}}}',
    '{"time":"2026-10-08T07:30:42.310Z","type":"platform.report","record":{"requestId":"f0c9f58b-8ebe-4e84-a656-95eb'
    '6eee865a","metrics":{"durationMs":73.961,"billedDurationMs":74,"memorySizeMB":1769,"maxMemoryUsedMB":123},"traci'
    'ng":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Pare'
    'nt=35465b3a9e2f7c6a;Sampled=1"},"status":"success"}}',
]

Start = Callable[..., LambdaRuntime]


@pytest.fixture
def catalog() -> Iterator[CatalogServer]:
    with CatalogServer(TOKEN) as running:
        yield running


@pytest.fixture
def start(aws: Aws, environment: dict[str, str], catalog: CatalogServer, tmp_path: Path) -> Start:
    """Give a function as the stack has it: JSON lines, and the token in Secrets Manager."""
    secret = aws.client("secretsmanager").create_secret(Name=uuid.uuid4().hex, SecretString=TOKEN)
    environment |= {
        "OAM_CATALOG_URL": catalog.url,
        "OAM_API_TOKEN_SECRET_ARN": secret["ARN"],
        "MOCK_OAM_API": "false",
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
    }
    return lambda **more: LambdaRuntime(ROOT, environment | more, tmp_path)


def lambdas(level: str | None) -> dict[str, str]:
    return {} if level is None else {"AWS_LAMBDA_LOG_LEVEL": level}


@pytest.mark.parametrize("debug", ["", "oam:*"])
@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARN", None])
def test_at_any_level_of_lambdas_our_lines_are_as_debug_says_and_hold_no_token(
    start: Start, catalog: CatalogServer, level: str | None, debug: str
) -> None:
    with start(DEBUG=debug, **lambdas(level)) as function:
        # WHEN a mosaic is finished
        assert function.invoke(FINISHED) == {"batchItemFailures": []}
        log = function.logged('"CatalogNotified":[')
        lines = function.own_lines()
    # THEN the token was used, and is not in the log; nor is the role's, nor the message
    assert catalog.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in log
    assert SESSION_TOKEN not in log
    assert ("s3://oam-tiles" in log) == bool(debug)
    # AND each of our lines is there, nobody else's, and no more of it than was said
    expected = [
        ("INFO", "Job status published"),
        ("INFO", "Catalog notified"),
        (None, None),
    ]  # then the metrics
    if debug:
        expected.insert(0, ("DEBUG", "Message received"))
    found = [json.loads(line) for line in lines]
    assert [(line.get("level"), line.get("message")) for line in found] == expected
    assert sum(len(line) + 1 for line in lines) < (2_500 if debug else 1_700)


@pytest.mark.parametrize(
    "around",
    [
        {
            "AWS_LAMBDA_LOG_LEVEL": "TRACE",
            "POWERTOOLS_LOG_LEVEL": "DEBUG",
            "POWERTOOLS_DEBUG": "true",
            "POWERTOOLS_DEV": "true",
            "POWERTOOLS_LOGGER_LOG_EVENT": "true",
            "POWERTOOLS_LOGGER_SAMPLE_RATE": "1",
            "POWERTOOLS_LOG_DEDUPLICATION_DISABLED": "true",
        },
        {"AWS_LAMBDA_LOG_LEVEL": "FATAL", "POWERTOOLS_LOG_LEVEL": "ERROR"},
        {
            "POWERTOOLS_LOG_LEVEL": "verbose",
            "POWERTOOLS_LOGGER_SAMPLE_RATE": "often",
            "AWS_LAMBDA_LOG_FORMAT": "TEXT",
        },
    ],
    ids=["all that can be louder", "all that can be quieter", "what is no level"],
)
def test_no_variable_around_the_function_makes_it_louder_or_quieter(
    start: Start, around: dict[str, str]
) -> None:
    with start(**around) as function:
        # WHEN it is invoked, and again: some of these count from the second time on
        for _ in range(2):
            assert function.invoke(FINISHED) == {"batchItemFailures": []}
        log = function.logged('"message":"Job status unchanged"')
        lines = function.own_lines()
    # THEN
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    assert [line["message"] for line in logged if "level" in line] == [
        "Job status published",
        "Catalog notified",
        "Job status unchanged",
    ]
    assert not [line for line in lines if "[DEBUG]" in line or "[INFO]" in line]
    assert "s3://oam-tiles" not in log
    assert TOKEN not in log
    assert SESSION_TOKEN not in log


def echo(request: Request) -> Script:
    """Answer with the request's Authorization in place of a status line."""
    line = f"no HTTP, but Authorization: {request.headers['Authorization']}\r\n\r\n"
    return lambda connection: connection.sendall(line.encode())


@pytest.mark.parametrize("broken", ["header", "status line"])
def test_a_token_that_comes_back_in_a_broken_answer_is_not_logged(
    start: Start, catalog: CatalogServer, broken: str
) -> None:
    """urllib3 writes such a line, at WARNING, as it came."""
    catalog.answers.append(Answer(401, headers={"Connection": "close", "X": f"1\r\nno header, but {TOKEN}"}))
    with (
        HttpServer(echo) as server,
        start(**({"OAM_CATALOG_URL": server.url} if broken == "status line" else {})) as function,
    ):
        failed = function.invoke(FINISHED)["batchItemFailures"]
        log = function.logged('"CatalogFailed":[')
    assert len(failed) == 1
    assert '"message":"Message failed"' in log
    assert TOKEN not in log


def test_a_message_costs_as_many_bytes_of_log_as_the_costs_say(start: Start) -> None:
    # GIVEN a job's four messages, each a batch of its own
    steps = ["chunk STARTED", "chunk FINISHED", "mosaic STARTED", "mosaic FINISHED"]
    with start(**lambdas("INFO")) as function:
        for at, step in enumerate(steps):
            function.invoke({"Records": [record(body(*step.split()), at)]})
        function.logged('"CatalogNotified":[')
        lines = function.own_lines()
    # THEN
    assert len(lines) == 2 * len(steps) + 1
    written = sum(len(line) + 26 for line in lines) / len(steps) + sum(len(line) + 26 for line in LAMBDAS_OWN)
    (said,) = re.findall(r"\| logs \| 1 million . ([\d.]+) kB", (ROOT / "docs" / "deploying.md").read_text())
    assert float(said) * 0.75 < written / 1000 <= float(said), written

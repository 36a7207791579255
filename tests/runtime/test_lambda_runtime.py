"""The handler under AWS's own Lambda runtime: what only the real one shows."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack.catalog_server import CatalogServer
from tests.conftest import TOKEN, Aws
from tests.factories import body, record
from tests.runtime.emulator import LambdaRuntime

ROOT = Path(__file__).parents[2]


@pytest.fixture
def catalog() -> Iterator[CatalogServer]:
    with CatalogServer(TOKEN) as running:
        yield running


def test_a_batch_is_published_and_its_failures_reported(
    aws: Aws, environment: dict[str, str], catalog: CatalogServer, tmp_path: Path
) -> None:
    # GIVEN the function as Lambda starts it, with Lambda's own name for the region
    environment |= {"OAM_CATALOG_URL": catalog.url, "OAM_API_TOKEN": TOKEN, "MOCK_OAM_API": ""}
    environment["AWS_REGION"] = environment.pop("AWS_DEFAULT_REGION")
    records = [
        record(body("chunk", "STARTED", "a"), 0),
        record(body("mosaic", "FINISHED", "a"), 9),
        record("poison", message_id="poison"),
    ]
    with LambdaRuntime(ROOT, environment, tmp_path) as function:
        # WHEN it is invoked, and invoked again with a redelivery
        answers = [function.invoke({"Records": records}) for _ in range(2)]
        log = function.logged('"MessagesUnchanged":')
    # THEN
    assert answers == [{"batchItemFailures": [{"itemIdentifier": "poison"}]}] * 2
    status = json.loads(aws.get("status/a-status.json"))
    assert (status["status"], status["catalog"]["state"]) == ("SUCCESS", "NOTIFIED")
    assert len(catalog.requests) == 1
    assert '"message":"Job status published"' in log
    assert '"cold_start":true' in log
    assert TOKEN not in log


def test_incomplete_settings_are_a_function_error_that_names_them_all(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for name in ("OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX"):
        del environment[name]
    with LambdaRuntime(ROOT, environment, tmp_path) as function:
        answer = function.invoke({"Records": [record(body("chunk", "STARTED"))]})
    assert answer["errorType"] == "SettingsError"
    assert "OAM_STATUS_BUCKET is not set; OAM_STATUS_PREFIX is not set" in answer["errorMessage"]


def test_too_little_time_is_answered_before_lambda_kills_the_invocation(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with LambdaRuntime(ROOT, environment, tmp_path, timeout=3) as function:
        answer = function.invoke({"Records": [record(body("chunk", "STARTED"), message_id="m")]})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m"}]}

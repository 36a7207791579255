"""The function in process, as Lambda calls it; its fixtures are every test's (`pytest_plugins` in conftest.py)."""

import functools
import importlib
import json
import logging
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import handler.app
from local.stack.catalog_server import CatalogServer
from tests.conftest import TOKEN, Aws


def context(milliseconds: Callable[[], int] | int = 30_000) -> Any:
    remaining = milliseconds if callable(milliseconds) else lambda: milliseconds
    return SimpleNamespace(
        get_remaining_time_in_millis=remaining,
        aws_request_id="request-1",
        function_name="oam-status-publisher",
        function_version="7",
        memory_limit_in_mb=128,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:oam-status-publisher",
    )


class Function:
    """A freshly started function, its environment, and what it printed."""

    def __init__(self, aws: Aws, catalog: CatalogServer, capsys: pytest.CaptureFixture[str]) -> None:
        self.aws, self.catalog, self.capsys = aws, catalog, capsys
        self.output = ""

    @functools.cached_property
    def module(self) -> ModuleType:
        # At the first use, since a Powertools logger holds on to the stdout that it was made with.
        logging.Logger.manager.loggerDict.pop(handler.app.SERVICE)
        return importlib.reload(handler.app)

    def invoke(self, *records: dict[str, Any], milliseconds: Callable[[], int] | int = 30_000) -> list[str]:
        """Invoke it; give the messageIds that it reports as failed."""
        answer = self.module.lambda_handler({"Records": list(records)}, context(milliseconds))
        self.output += self.capsys.readouterr().out
        assert set(answer) == {"batchItemFailures"}
        json.dumps(answer)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def status(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.aws.get(f"status/{job_id}-status.json"))
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]

    def logged(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("message") == message]

    def metrics(self, dimensions: tuple[str, ...] = ("function_name", "service")) -> dict[str, list[float]]:
        """Read what has these dimensions of the embedded metric format (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html)."""
        found: dict[str, list[float]] = {}
        for line in self.lines:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                assert directive["Namespace"] == "OpenAerialMap"
                (names,) = map(sorted, directive["Dimensions"])
                assert names in (
                    ["function_name", "service"],
                    ["function_name", "function_version", "service"],
                )
                if names != list(dimensions):
                    continue
                assert line["function_name"] == "oam-status-publisher"
                for metric in directive["Metrics"]:
                    assert metric.get("StorageResolution", 60) == 60  # seconds; a finer one costs more
                    found.setdefault(metric["Name"], []).extend(line[metric["Name"]])
        return found


@pytest.fixture
def catalog() -> Iterator[CatalogServer]:
    with CatalogServer(TOKEN) as running:
        yield running


@pytest.fixture
def function(
    aws: Aws,
    environment: dict[str, str],
    catalog: CatalogServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Function:
    environment |= {"OAM_CATALOG_URL": catalog.url, "OAM_API_TOKEN": TOKEN, "MOCK_OAM_API": "false"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Function(aws, catalog, capsys)

"""A publisher with all that it works on; its fixture is every test's (`pytest_plugins` in conftest.py)."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from handler.catalog import Catalog, MockCatalog
from handler.catalog_entry import CatalogState
from handler.circuit_breaker import CircuitBreaker
from handler.deadline import Deadline
from handler.events import Event
from handler.notifier import Notifier
from handler.outcomes import Report
from handler.publisher import Publisher
from handler.status_store import StatusStore
from local.stack.catalog_server import CatalogServer
from tests.conftest import TOKEN, Aws
from tests.factories import NOON, event
from tests.integration.fault_proxy import FaultProxy

URI = "https://oam-tiles.s3.amazonaws.com/test-job/{z}/{x}/{y}.png"
PAYLOAD = {
    "uri": URI,
    "images": [
        {"uuid": "http://bucketname.s3.amazonaws.com/image1.tif"},
        {"uuid": "http://bucketname.s3.amazonaws.com/image2.tif"},
    ],
}


class Stage:
    """A publisher with all it works on: S3 behind a proxy, a catalog, a clock that stands still."""

    def __init__(self, aws: Aws, proxy: FaultProxy, catalog: CatalogServer) -> None:
        self.aws, self.proxy, self.catalog = aws, proxy, catalog
        self.now = NOON + 60_000
        self.breaker = CircuitBreaker(self.clock)

    def clock(self) -> float:
        return self.now / 1000

    def deadline(self, seconds: float = 30.0) -> Deadline:
        return Deadline(self.clock() + seconds, self.clock)

    def publisher(self, *, mock: bool = False) -> Publisher:
        logger = Logger(service=uuid.uuid4().hex, level="DEBUG")  # a new one: it holds stdout
        s3 = self.aws.client("s3", self.proxy.url)
        store = StatusStore(s3, self.aws.bucket, "status", sleep=lambda _: None)
        catalog = MockCatalog() if mock else Catalog(self.catalog.url, lambda *_: TOKEN, 4)
        done = CatalogState.MOCKED if mock else CatalogState.NOTIFIED
        return Publisher(store, Notifier(lambda: catalog, done, self.breaker, None, logger), None, logger)

    def publish(self, *events: Event, seconds: float = 30.0, mock: bool = False) -> dict[str, Exception]:
        """Publish with a fresh publisher, as another instance would; return what failed."""
        self.report = self.publisher(mock=mock).publish("test-job", events, self.deadline(seconds))
        return self.report.failed

    def publish_another(self, job_id: str, *events: Event) -> Report:
        """Publish another job in the same instance of the function."""
        return self.publisher().publish(job_id, events, self.deadline())

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.aws.get("status/test-job-status.json"))
        return found

    def section(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status()["catalog"]
        return found

    @property
    def posts(self) -> list[Any]:
        return [request.json for request in self.catalog.requests]

    def requests(self) -> list[str]:
        return [method for method, _ in self.proxy.requests]


@pytest.fixture
def stage(aws: Aws) -> Iterator[Stage]:
    with FaultProxy(aws.url) as proxy, CatalogServer(TOKEN) as catalog:
        yield Stage(aws, proxy, catalog)


def finished(message_id: str = "done", at: int = 0, **more: Any) -> Event:
    return event("mosaic", "FINISHED", at, message_id, **more)

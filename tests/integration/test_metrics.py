"""What the function counts in an outage and in a defect, as CloudWatch reads it from its log."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from handler.publisher import Publisher
from local.stack.http_server import HttpServer
from tests.deploy.translated import Stack
from tests.factories import NOON, body, record
from tests.function import Function
from tests.integration.fault_proxy import Fault, FaultProxy
from tests.ports import silent_server

Set = Callable[[str, str], None]


@contextlib.contextmanager
def no_bucket(setenv: Set, url: str) -> Iterator[None]:
    setenv("OAM_STATUS_BUCKET", "there-is-no-such-bucket")
    yield


def refuses(method: str) -> Callable[[Set, str], AbstractContextManager[None]]:
    @contextlib.contextmanager
    def s3(setenv: Set, url: str) -> Iterator[None]:
        with FaultProxy(url) as proxy:
            proxy.faults.extend(Fault(method, answer=(403, "AccessDenied")) for _ in range(100))
            setenv("AWS_ENDPOINT_URL_S3", proxy.url)
            yield

    return s3


@contextlib.contextmanager
def hangs(setenv: Set, url: str) -> Iterator[None]:
    with silent_server() as silent:
        setenv("AWS_ENDPOINT_URL_S3", silent)
        yield


@contextlib.contextmanager
def drips(setenv: Set, url: str) -> Iterator[None]:
    """Answer a byte now and then: no read of it times out."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not over.wait(0.2):
            connection.sendall(b"x")

    with HttpServer(lambda _: drip) as server:
        setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield
        over.set()


@pytest.mark.parametrize(
    "outage",
    [no_bucket, refuses("GET"), refuses("PUT"), hangs, drips],
    ids=["no bucket", "may not read", "may not write", "hangs", "drips"],
)
def test_an_outage_of_s3_is_counted_where_its_alarm_looks(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
    outage: Callable[[Set, str], AbstractContextManager[None]],
) -> None:
    records = [record(body("chunk", "STARTED", f"job-{number}")) for number in range(3)]
    with outage(monkeypatch.setenv, function.aws.url):
        # WHEN the messages are delivered, with six seconds left
        end = time.monotonic() + 6
        failed = function.invoke(*records, milliseconds=lambda: int((end - time.monotonic()) * 1000))
    # THEN all have failed, and are counted
    assert sorted(failed) == sorted(one["messageId"] for one in records)
    alarm = Stack().properties("MessageFailuresAlarm")
    assert sum(function.metrics()[alarm["MetricName"]]) == 3
    # AND no other alarm's metric says the same, as it is no defect and nothing that can never succeed
    assert set(function.metrics()) <= {"MessagesFailed", "MessagesDeferred"}


def test_what_had_no_time_left_is_among_what_failed(function: Function) -> None:
    records = [record(body("chunk", "STARTED", f"job-{number}")) for number in range(3)]
    function.invoke(*records, record("poison"), milliseconds=300)
    assert function.metrics() == {"MessagesDeferred": [3], "MessagesFailed": [3], "MessagesInvalid": [1]}


def test_a_defect_is_counted_once_more_by_version_and_nothing_else_is(
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each metric of each version is paid for, and only the guards of a deployment look at one."""

    def broken(self: Publisher, job_id: str, *args: Any) -> Any:
        raise ZeroDivisionError("a defect")

    function.invoke(record(body("chunk", "STARTED")))
    monkeypatch.setattr(Publisher, "publish", broken)
    function.invoke(
        record(body("chunk", "FINISHED", "a")), record(body("chunk", "FINISHED", "b")), record("poison")
    )
    # THEN the metric by version is the one that a guard of production's deployments looks at
    by_version = ("function_name", "function_version", "service")
    guard = Stack(Environment="production").properties("NewVersionUnexpectedAlarm")
    assert tuple(sorted(d["Name"] for d in guard["Dimensions"])) == by_version
    assert function.metrics(by_version) == {guard["MetricName"]: [2]}
    (line,) = [one for one in function.lines if "function_version" in one]
    assert (line["function_version"], line["service"]) == ("7", "oam-status-publisher")
    # AND it is counted over all versions as before
    assert function.metrics()["MessagesUnexpected"] == [2]
    assert function.metrics()["MessagesPublished"] == [1]


def test_a_senders_clock_that_is_ahead_makes_no_negative_lag(function: Function) -> None:
    """CloudWatch gives no percentiles of a metric that has a negative value, and the dashboard shows two."""
    ahead = time.time_ns() // 1_000_000 + 60_000 - NOON
    function.invoke(record(body("chunk", "STARTED"), at=ahead), record(body("chunk", "FINISHED"), at=0))
    least, most = sorted(function.metrics()["PublishLag"])
    assert least == 0
    assert most > 0

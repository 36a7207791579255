"""When the catalog is asked again in the same invocation, and what keeps two POSTs apart."""

import dataclasses
import socket
import time
from typing import Any

import pytest

from handler.circuit_breaker import FAILURE_THRESHOLD
from handler.deadline import Reserve, Timeout
from handler.outcomes import (
    CatalogDown,
    CatalogTimeout,
    CatalogUnavailable,
    CircuitOpen,
    Outcome,
    OutOfTime,
    RetryLater,
)
from handler.status_object import to_iso
from local.stack.http_server import Answer
from tests.integration.fault_proxy import Fault
from tests.integration.stage import PAYLOAD, Stage, finished
from tests.integration.test_catalog import raw_server


@pytest.mark.parametrize("status", [429, 503])
def test_a_catalog_that_turns_a_request_away_is_asked_again_at_once(stage: Stage, status: int) -> None:
    stage.catalog.answers += [Answer(status), Answer(status)]
    assert not stage.publish(finished())
    assert stage.posts == [PAYLOAD] * 3
    assert stage.section()["attempts"] == 1


def test_a_lasting_refusal_to_serve_is_asked_three_times_and_said(stage: Stage) -> None:
    stage.catalog.answers += [Answer(503, b"down")] * 9
    failed = stage.publish(finished())
    assert isinstance(failed["done"], CatalogUnavailable)
    assert len(stage.posts) == 3
    assert stage.section()["error"] == "HTTP 503: down"
    # AND its claim has ended: the catalog is not at work on it
    assert "claimedBy" not in stage.section()


def test_a_notification_that_fails_three_times_counts_once_for_the_circuit(stage: Stage) -> None:
    stage.catalog.answers += [Answer(503)] * 6
    for number in range(2):
        assert stage.publish_another(f"job-{number}", finished(f"m{number}")).failed
    assert len(stage.posts) == 6
    assert not stage.breaker.is_open


def test_a_retry_waits_a_quarter_of_a_second_at_most_and_the_next_twice_as_long(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest: list[float] = []

    def least_of(least: float, most: float) -> float:
        longest.append(most)
        return least

    monkeypatch.setattr("handler.jitter.random.uniform", least_of)
    stage.catalog.answers += [Answer(503)] * 2
    assert not stage.publish(finished())
    assert longest == [0.25, 0.5]


@pytest.mark.parametrize("seconds", [1, 2])
def test_a_short_retry_after_is_waited_for(stage: Stage, seconds: int) -> None:
    stage.catalog.answers.append(Answer(429, headers={"Retry-After": str(seconds)}))
    begun = time.monotonic()
    assert not stage.publish(finished())
    assert seconds <= time.monotonic() - begun < 5


@pytest.mark.parametrize("seconds", [3, 3_600])
def test_a_long_retry_after_is_left_to_the_next_delivery(stage: Stage, seconds: int) -> None:
    stage.catalog.answers.append(Answer(503, headers={"Retry-After": str(seconds)}))
    failed = stage.publish(finished())["done"]
    assert isinstance(failed, CatalogUnavailable)
    assert failed.retry_after == seconds
    assert len(stage.posts) == 1


def test_nothing_is_asked_again_when_the_circuit_has_opened_meanwhile(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def open_circuit(seconds: float) -> None:
        while not stage.breaker.is_open:
            stage.breaker.record_failure(CatalogDown("down"), stage.clock())

    monkeypatch.setattr("handler.notifier.time.sleep", open_circuit)
    stage.catalog.answers += [Answer(503)] * 3
    assert stage.publish(finished())
    assert len(stage.posts) == 1


@pytest.mark.parametrize("status", [408, 502, 504, 520, 524, 530])
def test_a_catalog_that_may_be_at_work_is_not_asked_again_before_the_claim_has_ended(
    stage: Stage,
    status: int,
) -> None:
    """Two POSTs at once can lose an entry in the catalog."""
    stage.catalog.answers.append(Answer(status))
    failed = stage.publish(finished(), seconds=20)["done"]
    # THEN it was asked once, and its message stays away until the invocation would have ended
    assert isinstance(failed, CatalogDown)
    assert len(stage.posts) == 1
    assert failed.retry_after == pytest.approx(20)
    section = stage.section()
    assert (section["state"], section["claimedUntil"]) == ("FAILED", to_iso(stage.now + 20_000))
    # AND a copy of the message that comes sooner asks nobody
    assert stage.publish(finished())
    assert len(stage.posts) == 1
    # WHEN the claim has ended
    stage.now += 20_001
    assert not stage.publish(finished())
    assert (stage.section()["state"], stage.section()["attempts"]) == ("NOTIFIED", 2)


def test_a_reset_connection_is_one_post(stage: Stage) -> None:
    with raw_server(lambda connection: connection.close()) as (url, received):
        stage.catalog.url = url
        failed = stage.publish(finished())["done"]
    assert isinstance(failed, CatalogDown)
    assert len(received) == 1
    assert stage.section()["error"] == "connection closed by 127.0.0.1 without an answer"


def test_three_slow_answers_do_not_keep_the_catalog_from_others(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Timeout, "POST", 0.3)
    with raw_server(lambda connection: time.sleep(1)) as (url, _):
        fast, stage.catalog.url = stage.catalog.url, url
        for number in range(3):
            report = stage.publish_another(f"slow-{number}", finished(f"m{number}"))
            assert isinstance(report.failed[f"m{number}"], CatalogTimeout)
    stage.catalog.url = fast
    assert not stage.publish(finished())


def test_a_catalog_that_never_answers_opens_the_circuit(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Timeout, "POST", 0.1)
    with raw_server(lambda connection: time.sleep(1)) as (url, _):
        stage.catalog.url = url
        for number in range(FAILURE_THRESHOLD):
            stage.publish_another(f"slow-{number}", finished(f"m{number}"))
        assert isinstance(stage.publish(finished())["done"], CircuitOpen)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://" + "a" * 64 + ".org", "https://127.0.0.1:9"])
def test_no_claim_is_left_behind_by_an_error_before_anything_was_sent(stage: Stage, url: str) -> None:
    stage.catalog.url = url
    assert isinstance(stage.publish(finished())["done"], CatalogUnavailable)
    assert stage.section()["state"] == "FAILED"
    assert stage.section()["error"]
    assert "claimedBy" not in stage.section()
    assert Outcome.CATALOG_FAILED in stage.report.outcomes


def test_the_catalog_is_asked_with_the_least_time_that_its_reserve_names(stage: Stage) -> None:
    assert not stage.publish(finished(), seconds=Reserve.NOTIFY + 0.001)
    assert stage.section()["state"] == "NOTIFIED"


def test_a_name_that_is_not_found_for_a_moment_costs_no_delivery(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that is not found for a moment is looked up again in the same invocation."""
    resolve, failures = socket.getaddrinfo, [True]

    def flaky(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "localhost" and failures:
            failures.clear()
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return resolve(host, *args, **kwargs)

    stage.catalog.url = stage.catalog.url.replace("127.0.0.1", "localhost")
    monkeypatch.setattr(socket, "getaddrinfo", flaky)
    assert not stage.publish(finished())
    assert len(stage.posts) == 1


def test_a_retry_after_that_would_eat_the_time_to_record_is_left_to_the_next_delivery(stage: Stage) -> None:
    stage.catalog.answers += [Answer(503, headers={"Retry-After": "2"})] * 2
    assert stage.publish(finished(), seconds=Reserve.NOTIFY + 0.5)
    assert len(stage.posts) == 1
    assert stage.section()["state"] == "FAILED"
    assert "claimedBy" not in stage.section()


@pytest.mark.parametrize("status", [429, 503])
def test_one_job_that_is_turned_away_does_not_keep_the_catalog_from_others(
    stage: Stage,
    status: int,
) -> None:
    stage.catalog.answers += [Answer(status)] * 3
    assert stage.publish_another("turned-away", finished("m")).failed
    assert len(stage.posts) == 3
    assert not stage.publish(finished())


def test_a_defect_while_the_catalog_is_asked_leaves_no_claim_behind(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def break_it(*args: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("handler.catalog.Catalog.notify", break_it)
    assert isinstance(stage.publish(finished())["done"], ZeroDivisionError)
    assert (stage.section()["state"], stage.section()["error"]) == ("FAILED", "a defect")
    assert "claimedBy" not in stage.section()


def test_a_message_whose_record_failed_stays_away_until_its_claim_has_ended(stage: Stage) -> None:
    stage.catalog.answers.append(
        Answer(
            200,
            before=lambda: stage.proxy.faults.extend(
                Fault("PUT", answer=(500, "InternalError")) for _ in range(3)
            ),
        )
    )
    failed = stage.publish(finished(), seconds=20)["done"]
    assert isinstance(failed, RetryLater)
    assert failed.retry_after == pytest.approx(20)


def test_a_thread_that_waited_past_the_deadline_folds_nothing(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Megabytes would be folded on in the next invocation, and keep its own jobs waiting."""

    def forbidden(*args: object) -> None:
        raise AssertionError("folded")

    monkeypatch.setattr("handler.publisher.fold", forbidden)

    def delay() -> None:
        stage.now += 19_500

    stage.proxy.faults.append(Fault("GET", before=delay))
    assert isinstance(stage.publish(finished(), seconds=20)["done"], OutOfTime)


def test_the_catalog_gets_the_uri_below_the_base_that_is_configured(stage: Stage) -> None:
    publisher = stage.publisher()
    notifier = dataclasses.replace(publisher.notifier, tiles_base="https://cdn.example.org")
    publisher = dataclasses.replace(publisher, notifier=notifier)
    assert not publisher.publish("test-job", [finished()], stage.deadline()).failed
    assert stage.posts[0]["uri"] == "https://cdn.example.org/test-job/{z}/{x}/{y}.png"

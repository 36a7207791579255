"""When the catalog is asked, and when it is not."""

import threading

import pytest

from handler.circuit_breaker import MAX_RECOVERY_TIMEOUT, RECOVERY_TIMEOUT, CircuitBreaker
from handler.outcomes import CatalogBusy, CatalogDown, CatalogTimeout


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def fail(breaker: CircuitBreaker, clock: Clock, times: int = 1, retry_after: float = 0.0) -> list[bool]:
    """Record failures; return which of them opened the circuit."""
    return [breaker.record_failure(CatalogDown("down", retry_after), clock.now) for _ in range(times)]


@pytest.fixture
def opened(breaker: CircuitBreaker, clock: Clock) -> CircuitBreaker:
    assert breaker.allow_request("first")
    assert fail(breaker, clock, 3) == [False, False, True]
    return breaker


def test_three_failures_in_a_row_open_the_circuit_and_fewer_do_not(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    assert not any(fail(breaker, clock, 2))
    breaker.record_success()
    assert not any(fail(breaker, clock, 2))
    assert breaker.allow_request("any")
    assert fail(breaker, clock) == [True]
    assert not breaker.allow_request("any")
    assert fail(breaker, clock) == [False]  # it is open already


def test_three_slow_answers_do_not_open_the_circuit_and_many_do(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(3):
        breaker.record_failure(CatalogTimeout("slow"), clock.now)
    assert breaker.allow_request("any")
    for _ in range(6):
        breaker.record_failure(CatalogTimeout("slow"), clock.now)
    assert not breaker.allow_request("any")


def test_failures_of_requests_during_which_the_catalog_answered_another_are_not_counted(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    began = clock.now
    clock.now += 1
    breaker.record_success()
    clock.now += 24
    assert not any(breaker.record_failure(CatalogTimeout("slow"), began) for _ in range(20))
    assert breaker.allow_request("any")
    # WHEN it answers nobody any more
    assert fail(breaker, clock, 3)[-1]


def test_a_failure_at_the_very_moment_of_an_answer_is_not_counted(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.record_success()
    for _ in range(3):
        breaker.record_failure(CatalogDown("down"), clock.now - 1)
    assert breaker.allow_request("any")


def test_an_answer_clears_all_that_was_counted(breaker: CircuitBreaker, clock: Clock) -> None:
    # GIVEN one point less than opens the circuit, before an answer and after it
    for _ in range(2):
        fail(breaker, clock, 2)
        breaker.record_failure(CatalogTimeout("slow"), clock.now)
        breaker.record_failure(CatalogTimeout("slow"), clock.now)
        # THEN it is closed
        assert breaker.allow_request("any")
        breaker.record_success()


def test_after_the_recovery_timeout_one_caller_at_a_time_probes(opened: CircuitBreaker, clock: Clock) -> None:
    clock.now += RECOVERY_TIMEOUT - 0.001
    assert not opened.allow_request("a")
    clock.now += 0.001
    # Of many that ask at the same moment one is let through, however often it asks.
    allowed: list[str] = []
    callers = [
        threading.Thread(
            target=lambda name=name: allowed.append(name) if opened.allow_request(name) else None
        )
        for name in "abcdefgh"
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    (probing,) = allowed
    assert opened.allow_request(probing)


def test_a_probe_that_never_reports_holds_up_no_other_for_longer_than_the_recovery_timeout(
    opened: CircuitBreaker, clock: Clock
) -> None:
    clock.now += RECOVERY_TIMEOUT
    assert opened.allow_request("hangs")
    clock.now += RECOVERY_TIMEOUT - 0.001
    assert not opened.allow_request("next")
    clock.now += 0.001
    assert opened.allow_request("next")


def test_a_failed_probe_begins_another_pause_and_an_answer_ends_it(
    opened: CircuitBreaker, clock: Clock
) -> None:
    clock.now += RECOVERY_TIMEOUT
    assert opened.allow_request("probe")
    clock.now += 10
    fail(opened, clock)
    clock.now += RECOVERY_TIMEOUT - 10
    assert not opened.allow_request("next")
    clock.now += 10
    assert opened.allow_request("next")
    opened.record_success()
    assert opened.allow_request("a")
    assert opened.allow_request("b")


@pytest.mark.parametrize(
    ("asked", "pause"), [(5, RECOVERY_TIMEOUT), (90, 90), (86_400, MAX_RECOVERY_TIMEOUT)]
)
def test_a_catalog_that_asks_for_a_longer_pause_gets_it_within_reason(
    breaker: CircuitBreaker, clock: Clock, asked: float, pause: float
) -> None:
    fail(breaker, clock, 3, asked)
    assert not breaker.allow_request("a")
    clock.now += pause - 0.001
    assert not breaker.allow_request("a")
    clock.now += 0.001
    assert breaker.allow_request("a")


def test_a_clock_that_goes_back_does_not_keep_the_circuit_open(opened: CircuitBreaker, clock: Clock) -> None:
    clock.now -= 3_600
    assert opened.allow_request("a")


def test_a_catalog_that_limits_its_rate_is_not_taken_for_one_that_is_down(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(3):
        breaker.record_failure(CatalogBusy("HTTP 429"), clock.now)
    assert breaker.allow_request("any")

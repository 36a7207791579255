"""When the catalog is asked, and when it is spared."""

import threading

import pytest

from handler.circuit_breaker import FAILURES, LONGEST_PAUSE, PAUSE, CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES):
        assert breaker.admits("first")
        breaker.failed(0)
    return breaker


def test_a_few_failures_in_a_row_open_the_circuit_and_fewer_do_not(clock: Clock) -> None:
    breaker = CircuitBreaker(clock)
    assert [breaker.failed(0) for _ in range(FAILURES - 1)] == [False] * (FAILURES - 1)
    breaker.answered()
    assert not any(breaker.failed(0) for _ in range(FAILURES - 1))
    assert breaker.admits("anybody")
    assert breaker.failed(0)
    assert not breaker.admits("anybody")


def test_after_the_pause_one_caller_at_a_time_probes(opened: CircuitBreaker, clock: Clock) -> None:
    clock.now = PAUSE - 0.001
    assert not opened.admits("a")
    clock.now = PAUSE
    # Of many that ask at the same moment one is let through, however often it asks.
    admitted: list[str] = []
    callers = [
        threading.Thread(target=lambda name=name: admitted.append(name) if opened.admits(name) else None)
        for name in "abcdefgh"
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    (probing,) = admitted
    assert opened.admits(probing)


def test_a_probe_that_never_reports_holds_up_nobody_for_longer_than_a_pause(
    opened: CircuitBreaker, clock: Clock
) -> None:
    clock.now = PAUSE
    assert opened.admits("hangs")
    clock.now = 2 * PAUSE - 0.001
    assert not opened.admits("next")
    clock.now = 2 * PAUSE
    assert opened.admits("next")


def test_a_probe_in_vain_begins_another_pause_and_an_answer_ends_it(
    opened: CircuitBreaker, clock: Clock
) -> None:
    clock.now = PAUSE
    assert opened.admits("probe")
    clock.now = PAUSE + 10
    opened.failed(0)
    clock.now = 2 * PAUSE
    assert not opened.admits("next")
    clock.now = 2 * PAUSE + 10
    assert opened.admits("next")
    opened.answered()
    assert opened.admits("a")
    assert opened.admits("b")


@pytest.mark.parametrize(("asked", "pause"), [(5, PAUSE), (90, 90), (86_400, LONGEST_PAUSE)])
def test_a_catalog_that_asks_for_a_longer_pause_gets_it_within_reason(
    clock: Clock, asked: float, pause: float
) -> None:
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES):
        breaker.failed(asked)
    clock.now = pause - 0.001
    assert not breaker.admits("a")
    clock.now = pause
    assert breaker.admits("a")

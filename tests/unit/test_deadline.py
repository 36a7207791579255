"""What each step needs of an invocation's time."""

import pytest

from handler.deadline import Deadline, Reserve, Timeout
from handler.outcomes import OutOfTime
from tests.deploy.translated import TEMPLATE


def test_a_job_is_begun_with_3_s_left_and_the_catalog_asked_with_5_and_a_timeout_of_10_s_does_all() -> None:
    assert Reserve.JOB + Reserve.RESPONSE <= 3
    assert Reserve.NOTIFY + Reserve.RESPONSE <= 5
    assert 2 * Reserve.JOB + Reserve.NOTIFY + Reserve.RESPONSE <= 10


def test_each_reserve_is_no_less_than_the_worst_case_of_the_calls_that_it_is_for() -> None:
    assert Timeout.AWS_CONNECT + Timeout.AWS_READ <= Reserve.AWS_CALL
    assert 2 * Reserve.AWS_CALL <= Reserve.JOB
    assert Reserve.AWS_CALL <= Reserve.CLAIM
    assert Reserve.JOB < Reserve.RECORD
    assert Reserve.AWS_CALL < Reserve.VISIBILITY
    assert Reserve.POST + Reserve.RECORD <= Reserve.SEND
    assert Reserve.CLAIM + Reserve.SEND <= Reserve.NOTIFY


def test_what_the_answer_needs_grows_with_the_batch_and_with_a_smaller_share_of_a_cpu() -> None:
    def work(messages: int, memory_mb: int) -> float:
        return Deadline.of_invocation(60, messages, memory_mb).remaining()

    assert 60 - work(1, 1_769) == pytest.approx(Reserve.RESPONSE, abs=0.05)
    assert work(10_000, 1_769) < work(100, 1_769) - 0.5
    assert work(10_000, 256) < work(10_000, 1_769) - 2
    assert work(10_000, 3_008) == pytest.approx(work(10_000, 1_769), abs=0.05)


def test_the_largest_batch_of_the_smallest_memory_and_timeout_leaves_time_for_its_jobs() -> None:
    parameters = TEMPLATE["Parameters"]
    deadline = Deadline.of_invocation(
        min(parameters["FunctionTimeout"]["AllowedValues"]),
        parameters["BatchSize"]["MaxValue"],
        parameters["MemorySize"]["MinValue"],
    )
    assert deadline.remaining() > Reserve.NOTIFY


def test_a_step_is_not_begun_without_its_time() -> None:
    deadline = Deadline(1_010.0, lambda: 1_000.0)
    deadline.require(10, "begin")
    with pytest.raises(OutOfTime, match="no time left to begin"):
        deadline.require(10.001, "begin")

"""How long a failed message waits, and whether it outlasts an outage."""

import random
import time
from typing import Any

from aws_lambda_powertools import Logger
from hypothesis import given
from hypothesis import strategies as st

from handler.deadline import Deadline
from handler.queue import BASE, CAP, MAX_RETRY_AFTER, Queue, backoff
from tests.deploy.translated import TEMPLATE


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(0, 1e9))
def test_a_wait_is_within_its_bounds_and_never_below_what_was_asked_for(
    receive_count: int, jitter: float, retry_after: float
) -> None:
    found = backoff(receive_count, jitter, retry_after)
    assert min(retry_after, MAX_RETRY_AFTER) <= found <= max(CAP, min(retry_after + 1, MAX_RETRY_AFTER))
    # SQS: at most 12 hours from the receipt, of which an invocation may take 15 minutes
    assert 0 <= found <= 12 * 3600 - 15 * 60


def test_the_longest_wait_doubles_with_every_receive_up_to_its_cap() -> None:
    longest = [backoff(receives, 1.0) for receives in range(1, 10)]
    assert longest == [10, 20, 40, 80, 160, 320, 640, 1_200, 1_200]
    assert (BASE, CAP) == (10, 1_200)


def test_full_jitter_spreads_from_nothing_to_the_longest() -> None:
    assert backoff(5, 0.0) == 0
    assert backoff(5, 0.5) == 80


def test_the_stacks_receives_outlast_an_outage_of_six_hours_and_end_within_minutes_of_it() -> None:
    # GIVEN 20,000 messages that fail from their first delivery on
    dice = random.Random(1)
    receives = TEMPLATE["Parameters"]["MaxReceiveCount"]["Default"]
    outlasted, late = 0, 0
    for _ in range(20_000):
        now, count = 0, 1
        while count < receives and now < 6 * 3600:
            now += backoff(count, dice.random())
            count += 1
        outlasted += now >= 6 * 3600
        late = max(late, now - 6 * 3600)
    # THEN none is a dead letter before the outage is over, and each is back within the cap
    assert outlasted == 20_000
    assert 0 <= late <= CAP


def test_no_message_is_deleted_unseen_at_the_end_of_its_retention_before_it_is_a_dead_letter() -> None:
    receives = TEMPLATE["Parameters"]["MaxReceiveCount"]["MaxValue"]
    retention = TEMPLATE["Resources"]["StatusQueue"]["Properties"]["MessageRetentionPeriod"]
    assert receives * backoff(receives, 1.0, 86_400) < retention


def test_a_response_that_names_no_failure_has_none() -> None:
    """SQS may leave an empty list out."""

    class Client:
        def change_message_visibility_batch(self, **call: Any) -> dict[str, Any]:
            return {"Successful": [{"Id": entry["Id"]} for entry in call["Entries"]]}

    make_client: Any = Client
    queue = Queue(make_client, "http://q", Logger("test"))
    assert queue.change_visibility({"receipt": 5}, Deadline(time.time() + 10)) == {"receipt"}

"""Which client a call is made with, so that it ends in time."""

import pytest
from botocore.config import Config

from handler.aws_clients import PATIENCE, SHORTEST_CALL, AwsClients
from handler.errors import OutOfTime


def test_each_clients_attempts_and_waits_fit_into_the_time_that_it_is_given_for() -> None:
    for patience in PATIENCE:
        waits = sum(2**retry for retry in range(patience.attempts - 1))
        assert patience.attempts * (patience.connect + patience.read) + waits <= patience.total


def test_a_call_is_made_with_the_most_patient_client_that_is_sure_to_end_in_time() -> None:
    made: list[Config] = []

    def make(config: Config) -> int:
        made.append(config)
        return len(made)

    clients = AwsClients(make)
    # One client for each patience, made when it is needed.
    assert [clients(60), clients(24), clients(23.9), clients(6), clients(5.9), clients(1), clients(60)] == [
        *(1, 1, 2, 2, 3, 3, 1)
    ]
    assert [config.read_timeout for config in made] == [5.0, 1.5, 0.7]  # type: ignore[attr-defined]
    for config in made:
        assert config.connect_timeout < config.read_timeout  # type: ignore[attr-defined]


@pytest.mark.parametrize("seconds", [SHORTEST_CALL - 0.001, 0, -3])
def test_a_call_that_might_not_end_in_time_is_not_begun(seconds: float) -> None:
    with pytest.raises(OutOfTime):
        AwsClients(lambda config: None)(seconds)

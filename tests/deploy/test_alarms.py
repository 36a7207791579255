"""The alarms: whether an outage rings, whether what passes by itself does not, and what guards a deployment."""

import itertools
import random
from collections.abc import Iterable
from typing import Any

import pytest

from handler.outcomes import Outcome
from handler.queue import backoff
from tests.deploy.translated import ROOT, TEMPLATE, Stack

RUNS = 2_000
LATE = 120  # seconds from a failure until CloudWatch has it, at the most: logs, metric, evaluation
WITHIN = 20 * 60
BATCHING = TEMPLATE["Parameters"]["BatchingWindow"]["Default"]

ALARM = Stack().properties("MessageFailuresAlarm")


@pytest.fixture(scope="session")
def production() -> Stack:
    return Stack(Environment="production")


def rings(failures: Iterable[float], alarm: dict[str, Any], until: int) -> list[int]:
    """Give the seconds at which an alarm rings, of failures at these.

    "For any period of one minute or longer, an alarm is evaluated every minute": at the end of minute 6, a period
    of 5 is minutes 2 to 6. So its periods slide, and begin at no round time
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html).
    """
    minutes = [0] * (until // 60 + 1)
    for second in failures:
        if second < until:
            minutes[int(second // 60)] += 1
    assert alarm["Statistic"] == "Sum"
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert alarm["TreatMissingData"] == "notBreaching"
    period, periods, threshold = alarm["Period"] // 60, alarm["EvaluationPeriods"], alarm["Threshold"]
    needed = alarm.get("DatapointsToAlarm", periods)
    # The failures until the end of each minute; none before the first.
    before = [0] * (period * periods + 1)
    total = [*before, *itertools.accumulate(minutes)]
    # Whether the period that ends with each minute has too many.
    over = [late - early > threshold for early, late in zip(total, total[period:], strict=False)]
    first = len(before) - period  # of `over`: the period that ends with minute 1
    return [
        now * 60
        for now in range(1, until // 60 + 1)
        if sum(over[first + now - 1 - period * back] for back in range(periods)) >= needed
    ]


def deliveries(dice: random.Random, takes: tuple[float, float], until: float) -> list[float]:
    """Give when a message fails that was sent at some second of the first minute, with the handler's own back-off."""
    now, receives, failures = dice.uniform(0, 60), 0, []
    while now < until:
        now, receives = now + dice.uniform(*takes), receives + 1
        failures.append(now)
        now += backoff(receives, dice.random()) + dice.uniform(0, BATCHING)
    return failures


# How long a delivery takes that fails, in seconds.
OUTAGES = {
    "S3 refuses (no bucket, no rights)": (0.05, 1.5),
    "S3 hangs: a call's attempts end": (6.0, 24.0),
    "S3 drips: the invocation's time ends": (56.0, 57.5),
    "the same with the longest FunctionTimeout": (296.0, 297.5),
}


@pytest.mark.parametrize("takes", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("messages", [1, 30])
def test_an_outage_rings_within_twenty_minutes(takes: tuple[float, float], messages: int) -> None:
    dice, in_time = random.Random(1), 0
    runs = RUNS // messages
    for _ in range(runs):
        failures = [at for _ in range(messages) for at in deliveries(dice, takes, WITHIN)]
        in_time += any(at + LATE <= WITHIN for at in rings(failures, ALARM, WITHIN))
    assert in_time >= 0.99 * runs


def test_the_alarm_of_a_single_stuck_message_goes_on_until_it_is_a_dead_letter_hours_later() -> None:
    """An OK that comes while the message is still stuck, since its deliveries are rare by then, is no OK."""
    dice, six_hours = random.Random(1), 6 * 3600
    quiet = 0
    for _ in range(200):
        rung = rings(deliveries(dice, (0.05, 1.5), six_hours), ALARM, six_hours)
        quiet += rung[-1] < six_hours - 60 or len(rung) < (rung[-1] - rung[0]) // 60 + 1
    assert quiet <= 2


@pytest.mark.parametrize("messages", [1, 1_000])
def test_what_succeeds_at_its_next_delivery_does_not_ring(messages: int) -> None:
    for second in range(60):
        assert rings([float(second)] * messages, ALARM, 2 * 3600) == []


def test_failures_of_less_than_a_minute_do_not_ring() -> None:
    for begin in range(60):
        assert rings([begin + second for second in range(60)], ALARM, 2 * 3600) == []


def test_the_alarm_is_over_an_hour_after_the_last_failure() -> None:
    assert rings([0, 60, 120], ALARM, 3 * 3600)[-1] <= 3600


def test_the_failures_alarm_watches_the_functions_count_of_all_its_versions() -> None:
    assert (ALARM["Namespace"], ALARM["MetricName"]) == ("OpenAerialMap", "MessagesFailed")
    assert {d["Name"] for d in ALARM["Dimensions"]} == {"service", "function_name"}
    assert ALARM["AlarmActions"] == ALARM["OKActions"] == ["<AlarmTopic>"]


def test_the_page_says_what_alarms_and_metrics_cost(production: Stack) -> None:
    costs = (ROOT / "docs" / "deploying.md").read_text()
    alarms = Stack().of_type("AWS::CloudWatch::Alarm")
    in_production = len(production.of_type("AWS::CloudWatch::Alarm"))
    assert f"{len(alarms)} alarms at 0.10 ({in_production} in production)" in costs
    assert f"{len({*Outcome, 'PublishLag'})} metrics of our own" in costs


# What guards a deployment


def guards(stack: Stack) -> list[dict[str, Any]]:
    """Give the alarms that roll a deployment back."""
    configuration = stack.properties("StatusPublisherDeploymentGroup").get("AlarmConfiguration", {})
    return [stack.properties(alarm["Name"].strip("<>")) for alarm in configuration.get("Alarms", [])]


def test_production_deploys_a_tenth_first_and_goes_back_if_the_new_version_fails(production: Stack) -> None:
    group = production.properties("StatusPublisherDeploymentGroup")
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert {(alarm["Namespace"], alarm["MetricName"]) for alarm in guards(production)} == {
        ("AWS/Lambda", "Errors"),
        ("OpenAerialMap", "MessagesUnexpected"),
    }
    for alarm in guards(production):
        assert rings([30.0], alarm, 600), "one failure of the new version is enough"


def test_what_guards_a_deployment_looks_at_the_new_version_alone(production: Stack) -> None:
    """A defect goes on ringing in the version before while its fix is deployed: its messages come back for hours."""
    (name,) = production.of_type("AWS::Lambda::Version")
    version = f"<{name}>.Version"
    alias = production.of_type("AWS::Lambda::Alias")["StatusPublisherAliaslive"]
    assert alias["FunctionVersion"] == version
    for alarm in guards(production):
        dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
        if alarm["Namespace"] == "AWS/Lambda":
            assert dimensions == {
                "FunctionName": "<StatusPublisher>",
                "Resource": f"<StatusPublisher>:{alias['Name']}",
                "ExecutedVersion": version,
            }
        else:
            assert dimensions["function_version"] == version


def test_a_guard_is_another_alarm_for_each_version(production: Stack) -> None:
    """CloudWatch keeps an alarm's state when it is changed: one that rang for the last version would go on ringing.

    By a new name CloudFormation makes a new alarm, which begins with INSUFFICIENT_DATA.
    """
    (version,) = production.of_type("AWS::Lambda::Version")
    named = [alarm["AlarmName"] for alarm in guards(production)]
    assert len(set(named)) == len(named) == 2
    assert all(name.startswith("oam-") and name.endswith(f"-<{version}>.Version") for name in named)
    # AND no other alarm has a name of its own: such a one could not be replaced
    others = [a for a in production.of_type("AWS::CloudWatch::Alarm").values() if a not in guards(production)]
    assert others
    assert not [alarm for alarm in others if "AlarmName" in alarm]


@pytest.mark.parametrize(
    "parameters",
    [
        {"Environment": "production", "Rollout": "AllAtOnce"},
        {"Environment": "development"},
        {"Environment": "staging"},
        {"Environment": "development", "Rollout": "AllAtOnce"},
    ],
)
def test_an_operator_can_deploy_all_at_once_and_nothing_holds_it_up(parameters: dict[str, str]) -> None:
    stack = Stack(**parameters)
    group = stack.properties("StatusPublisherDeploymentGroup")
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaAllAtOnce"
    assert guards(stack) == []
    assert "AlarmName" not in str(stack.of_type("AWS::CloudWatch::Alarm"))

"""The stack, read as CloudFormation gets it: what would hurt silently if it were lost."""

import json
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from handler.app import SERVICE
from handler.outcomes import Outcome
from handler.settings import read_settings
from tests import processes
from tests.deploy.lint import covering, findings, lint_all, pairs
from tests.deploy.translated import (
    ACCOUNT,
    ALTERNATING,
    COMBINATIONS,
    ROOT,
    SIDES,
    TEMPLATE,
    Stack,
    translate,
    translation,
    with_defaults,
)
from tests.docs.pages import PAGES

BIN = ROOT / ".venv" / "bin"


@pytest.fixture(scope="session")
def stack() -> Stack:
    return Stack()


def statements(stack: Stack) -> dict[str, dict[str, Any]]:
    (policy,) = stack.properties("StatusPublisherRole")["Policies"]
    return {statement["Sid"]: statement for statement in policy["PolicyDocument"]["Statement"]}


# As a whole


def test_sam_finds_nothing_to_complain_of_whatever_the_environment() -> None:
    # GIVEN that all environments have the same validated, and linted: so one stands for all
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for name in ("default", "staging", "production"):
        assert config[name]["validate"] == {"parameters": {"lint": True}}, name
        assert set(config[name]["global"]["parameters"]) == {"stack_name"}, name
    # WHEN
    done = processes.run(
        [BIN / "sam", "validate", "--config-env", "production"],
        cwd=ROOT,
        env=processes.environment(AWS_DEFAULT_REGION="us-east-1"),
    )
    # THEN
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid SAM Template" in done.stdout


def test_cfn_lint_finds_nothing_in_the_translated_template() -> None:
    """In one test: most of the time goes into what cfn-lint loads, in each process that lints."""
    for parameters in covering():
        assert findings(parameters) == [], parameters


def test_each_two_sides_of_parameters_and_conditions_are_together_in_a_template_that_is_linted() -> None:
    chosen = covering()
    linted = set().union(*map(pairs, chosen))
    for parameters in COMBINATIONS:
        assert pairs(parameters) <= linted
    # AND these are few, and no two the same
    assert len(chosen) == len({str(parameters) for parameters in chosen}) <= 20
    # AND among the pairs are those of conditions that look at several parameters
    assert {
        (("MakesSecret", side), ("HasKmsKey", other)) for side in (True, False) for other in (True, False)
    } <= linted


def test_cfn_lint_finds_a_mistake_behind_a_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEMPLATE["Resources"]["AlarmSubscription"]["Properties"], "Protokoll", "email")
    assert any("Protokoll" in found for found in findings(COMBINATIONS[0]))


def wrong_with_an_existing_bucket(parameters: dict[str, str]) -> list[str]:
    return ["E1: wrong"] if parameters["StatusBucketName"] else []


def test_linting_all_names_each_combination_that_is_wrong_and_counts_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = covering()
    wrong = sum(1 for parameters in chosen if parameters["StatusBucketName"])
    assert lint_all(chosen, wrong_with_an_existing_bucket) == wrong > 1
    printed = capsys.readouterr().out
    assert f"{len(chosen)} of {len(chosen)} templates linted, {wrong} wrong" in printed
    assert printed.count("E1: wrong") == printed.count("'StatusBucketName': 'an-existing-bucket'") == wrong


def test_the_translation_is_the_same_with_all_values_of_parameters_but_for_these() -> None:
    """So that Stack may put the values into one translation."""
    others = {name: f"another-{name}" for name in TEMPLATE["Parameters"]}
    for parameters in (others, *covering()):
        assert translate(parameters) == with_defaults(json.loads(translation()), parameters), parameters


def test_every_condition_is_among_the_combinations() -> None:
    assert len(COMBINATIONS) == 2 ** len(SIDES)
    looked_at = set(re.findall(r'"Ref": "(\w+)"', json.dumps(TEMPLATE["Conditions"])))
    assert looked_at == {*SIDES, *ALTERNATING}
    for name, sides in ALTERNATING.items():
        for other, others in SIDES.items():
            met = {(combination[name], combination[other]) for combination in COMBINATIONS}
            assert met == {(side, another) for side in sides for another in others}


def test_every_combination_works_out_and_leaves_nothing_dangling_public_or_plain() -> None:
    for parameters in COMBINATIONS:
        found = Stack(**parameters)
        text = json.dumps({name: found.properties(name) for name in found.resources})
        assert set(re.findall(r"<(\w+)>", text)) <= set(found.resources), parameters
        # AND nothing public, and no rights on everything but where AWS knows no resource
        for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
            for policy in found.of_type(kind).values():
                for statement in policy["PolicyDocument"]["Statement"]:
                    assert statement["Effect"] == "Deny" or "*" not in json.dumps(statement["Principal"])
        assert [sid for sid, s in statements(found).items() if s["Resource"] == "*"] == ["Traces"]
        # AND the function's settings are complete, with the token in a secret or not at all
        variables = found.properties("StatusPublisher")["Environment"]["Variables"]
        settings = read_settings(
            {
                "AWS_REGION": "us-east-1",
                **variables,
                "OAM_STATUS_BUCKET": variables["OAM_STATUS_BUCKET"].strip("<>"),
                # What a queue's !Ref gives is its URL.
                "OAM_STATUS_SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/"
                + variables["OAM_STATUS_SQS_QUEUE_URL"],
            }
        )
        assert settings.token == ""
        assert bool(settings.token_secret) is (parameters["MockCatalog"] == "false")
        for secret in found.of_type("AWS::SecretsManager::Secret").values():
            assert not {"SecretString", "GenerateSecretString"} & set(secret)


# The queue


@pytest.mark.parametrize("timeout", TEMPLATE["Parameters"]["FunctionTimeout"]["AllowedValues"])
def test_the_visibility_timeout_is_six_times_the_functions_and_the_window_at_every_end(timeout: int) -> None:
    found = Stack(FunctionTimeout=str(timeout))
    window = TEMPLATE["Parameters"]["BatchingWindow"]["MaxValue"]
    visibility = found.properties("StatusQueue")["VisibilityTimeout"]
    assert int(found.properties("StatusPublisher")["Timeout"]) == timeout
    assert visibility >= 6 * timeout + window
    assert visibility <= 12 * 3600
    (alarm,) = [a for a in found.of_type("AWS::CloudWatch::Alarm").values() if a["MetricName"] == "Duration"]
    assert alarm["Threshold"] == 0.8 * timeout * 1000


def test_a_batch_above_ten_has_its_window() -> None:
    parameters = TEMPLATE["Parameters"]
    assert parameters["BatchingWindow"]["MinValue"] >= 1
    assert parameters["MaximumConcurrency"]["MinValue"] >= 2
    assert parameters["MaxReceiveCount"]["MinValue"] >= 5


def test_the_defaults_outlast_an_outage_of_six_hours(stack: Stack) -> None:
    queue = stack.properties("StatusQueue")
    receives = int(queue["RedrivePolicy"]["maxReceiveCount"])
    assert receives * queue["VisibilityTimeout"] >= 6 * 3600
    assert receives * queue["VisibilityTimeout"] < queue["MessageRetentionPeriod"]


def test_dead_letters_are_kept_longer_than_messages(stack: Stack) -> None:
    queue, dead = stack.properties("StatusQueue"), stack.properties("StatusDeadLetterQueue")
    assert queue["MessageRetentionPeriod"] == 4 * 86_400
    assert dead["MessageRetentionPeriod"] == 14 * 86_400
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "arn:sqs:<StatusDeadLetterQueue>"


def test_only_the_status_queue_may_use_the_dead_letter_queue(stack: Stack) -> None:
    allow = stack.properties("StatusDeadLetterQueue")["RedriveAllowPolicy"]
    name = stack.properties("StatusQueue")["QueueName"]
    assert allow == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"],
    }


@pytest.mark.parametrize("name", ["StatusQueue", "StatusDeadLetterQueue"])
def test_queues_are_encrypted_and_spoken_to_over_tls_only(stack: Stack, name: str) -> None:
    assert stack.properties(name)["SqsManagedSseEnabled"] is True
    keyed = Stack(KmsKeyArn=SIDES["KmsKeyArn"][1]).properties(name)
    assert keyed["KmsMasterKeyId"] == SIDES["KmsKeyArn"][1]
    assert "SqsManagedSseEnabled" not in keyed
    denied = [
        statement
        for policy in stack.of_type("AWS::SQS::QueuePolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Resource"] == f"arn:sqs:<{name}>" and statement["Effect"] == "Deny"
    ]
    assert [s["Condition"] for s in denied] == [{"Bool": {"aws:SecureTransport": "false"}}]
    assert denied[0]["Principal"] == "*"


def test_producers_may_send_and_nothing_else() -> None:
    principals = ["210987654321", f"arn:aws:iam::{ACCOUNT}:role/tiler"]
    policy = Stack(ProducerPrincipals=",".join(principals)).properties("StatusQueuePolicy")
    (allowed,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert allowed["Principal"] == {"AWS": principals}
    assert allowed["Action"] == "sqs:SendMessage"


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("ProducerPrincipals", ["", "123456789012", f"arn:aws:iam::{ACCOUNT}:root"], ["*", "arn:aws:iam::*:root", "tiler", "arn:aws:iam::1:role/*"]),
        ("StatusPrefix", ["status", "a/b", "a-b_c.d"], ["", "/a", "a/", "a//b", "..", "a/../b", "a*"]),
        ("StatusBucketName", ["", "my-bucket", "a.b.c"], ["My-Bucket", "a", "-ab", "a/b"]),
        ("CatalogUrl", ["https://api.openaerialmap.org/v1"], ["", "http://api", "https://u@h", "https://h?q"]),
        ("TilesUrl", ["", "https://cdn.example.org"], ["cdn", "https://a b", "https://h#f"]),
        ("ApiTokenSecretArn", ["", SIDES["ApiTokenSecretArn"][1]], ["token", "arn:aws:secretsmanager:*:*:secret:*"]),
        ("Debug", ["", "oam:*", "*", "oam:publisher", "*,-oam:server", "express:router oam:*", "-a, b"], ["oam:* ", ",", "-", "oam;*", "$DEBUG", "[a-z]", "a\nb", "'*'", "true!"]),
        ("KmsKeyArn", ["", SIDES["KmsKeyArn"][1]], ["*", "alias/aws/sqs"]),
        ("AlarmEmail", ["", "a@b.org"], ["a", "a@b", "a b@c.org"]),
    ],
)  # fmt: skip
def test_parameters_take_good_values_only(parameter: str, good: list[str], bad: list[str]) -> None:
    pattern = TEMPLATE["Parameters"][parameter]["AllowedPattern"]
    assert all(re.search(pattern, value) for value in good)
    assert not any(re.search(pattern, value) for value in bad)


def test_every_parameter_is_described_grouped_and_constrained() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(TEMPLATE["Parameters"])
    for name, parameter in TEMPLATE["Parameters"].items():
        assert parameter["Description"]
        constraints = {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter)
        assert constraints, name


# The mapping


def test_the_mapping_reports_failures_one_by_one_and_is_bounded(stack: Stack) -> None:
    (mapping,) = stack.of_type("AWS::Lambda::EventSourceMapping").values()
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == 10
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (100, 1)
    assert mapping["EventSourceArn"] == "arn:sqs:<StatusQueue>"
    assert mapping["FunctionName"] == "<StatusPublisherAliaslive>"
    # Reserved concurrency: the poller does not see it, is throttled, and burns receives.
    assert "ReservedConcurrentExecutions" not in stack.properties("StatusPublisher")


# The function


def test_the_function_runs_as_it_is_built_and_tested(stack: Stack) -> None:
    function = stack.properties("StatusPublisher")
    assert (function["Handler"], function["Runtime"]) == ("handler.app.lambda_handler", "python3.13")
    assert function["Architectures"] == ["arm64"]
    assert Stack(Architecture="x86_64").properties("StatusPublisher")["Architectures"] == ["x86_64"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert stack.properties("StatusPublisherLogs")["RetentionInDays"] == 90


@pytest.mark.parametrize(("debug", "level"), [("", "INFO"), ("oam:*", "DEBUG")])
def test_lambda_keeps_what_debug_asks_for_and_no_more(debug: str, level: str) -> None:
    """INFO at least: of a line without a level, as our metrics are, Lambda says that it is INFO."""
    logging = Stack(Debug=debug).properties("StatusPublisher")["LoggingConfig"]
    assert logging["ApplicationLogLevel"] == level


def test_the_function_writes_to_the_log_group_that_it_may_write_to(stack: Stack) -> None:
    group = stack.properties("StatusPublisherLogs")["LogGroupName"]
    assert stack.properties("StatusPublisher")["LoggingConfig"]["LogGroup"] == "<StatusPublisherLogs>"
    assert statements(stack)["Logs"]["Resource"].endswith(f":log-group:{group}:*")


# The bucket


def test_the_bucket_is_private_encrypted_versioned_and_outlives_the_stack(stack: Stack) -> None:
    bucket = stack.properties("StatusBucket")
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    for name in ("StatusBucket", "StatusBucketPolicy"):
        assert stack.resources[name]["DeletionPolicy"] == "Retain"
        assert stack.resources[name]["UpdateReplacePolicy"] == "Retain"
    (statement,) = stack.properties("StatusBucketPolicy")["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_an_existing_bucket_is_used_and_none_is_made() -> None:
    found = Stack(StatusBucketName="theirs")
    assert not found.of_type("AWS::S3::Bucket")
    assert found.properties("StatusPublisher")["Environment"]["Variables"]["OAM_STATUS_BUCKET"] == "theirs"
    assert statements(found)["StatusObjects"]["Resource"] == "arn:aws:s3:::theirs/status/*"
    assert statements(found)["MissingStatusObjects"]["Resource"] == "arn:aws:s3:::theirs"


# IAM


def test_the_policy_as_a_whole(stack: Stack) -> None:
    """A change here is a change of what the function may do: one action at a time."""
    policy = {sid: (s["Action"], s["Resource"], s.get("Condition")) for sid, s in statements(stack).items()}
    assert policy == {
        "Logs": (
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/oam:*",
            None,
        ),
        "Traces": (["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*", None),
        "Queue": (
            [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ChangeMessageVisibility",
            ],
            "arn:sqs:<StatusQueue>",
            None,
        ),
        "StatusObjects": (
            ["s3:GetObject", "s3:PutObject", "s3:PutObjectAcl"],
            "arn:aws:s3:::<StatusBucket>/status/*",
            None,
        ),
        "MissingStatusObjects": (
            "s3:ListBucket",
            "arn:aws:s3:::<StatusBucket>",
            {"StringLikeIfExists": {"s3:prefix": "status/*"}},
        ),
        "ApiToken": ("secretsmanager:GetSecretValue", "<ApiToken>", None),
    }
    keyed = statements(Stack(KmsKeyArn=SIDES["KmsKeyArn"][1]))["Key"]
    assert (keyed["Action"], keyed["Resource"]) == (
        ["kms:Decrypt", "kms:GenerateDataKey"],
        SIDES["KmsKeyArn"][1],
    )


@pytest.mark.parametrize("suffix", ["", "-AbCdEf"])
def test_an_existing_secret_can_be_read_whether_its_arn_is_given_whole_or_without_its_suffix(
    suffix: str,
) -> None:
    name = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:oam"
    found = Stack(ApiTokenSecretArn=name + suffix)
    allowed = statements(found)["ApiToken"]["Resource"]
    # THEN the policy matches the secret as IAM sees it, and no other
    assert any(fnmatchcase(f"{name}-AbCdEf", pattern) for pattern in allowed)
    for other in ("oam2-AbCdEf", "oam/token-AbCdEf", "oam-token-AbCdEf", "oa-AbCdEf"):
        arn = name.removesuffix("oam") + other
        assert not any(fnmatchcase(arn, pattern) for pattern in allowed), other
    # AND the function asks for it by what was given
    variables = found.properties("StatusPublisher")["Environment"]["Variables"]
    assert variables["OAM_API_TOKEN_SECRET_ARN"] == name + suffix


def test_an_operator_with_other_kms_keys_is_told_of_the_role_that_these_have_to_allow() -> None:
    for parameter in ("StatusBucketName", "ApiTokenSecretArn"):
        assert "output StatusPublisherRoleArn" in TEMPLATE["Parameters"][parameter]["Description"]
    assert TEMPLATE["Outputs"]["StatusPublisherRoleArn"]["Value"] == {
        "Fn::GetAtt": ["StatusPublisherRole", "Arn"]
    }


def test_the_function_has_its_own_role_and_no_managed_policy(stack: Stack) -> None:
    assert stack.properties("StatusPublisher")["Role"] == "arn:other:<StatusPublisherRole>"
    assert "ManagedPolicyArns" not in stack.properties("StatusPublisherRole")
    # The only other role is SAM's own, for CodeDeploy.
    assert set(stack.of_type("AWS::IAM::Role")) == {"StatusPublisherRole", "CodeDeployServiceRole"}


# Alarms and dashboard

OURS = {outcome.value for outcome in Outcome} | {"PublishLag"}
AWS_METRICS = {
    "AWS/SQS": {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateAgeOfOldestMessage",
        "NumberOfMessagesSent",
    },
    "AWS/Lambda": {"Errors", "Throttles", "Duration", "ConcurrentExecutions"},
    "OpenAerialMap": OURS,
}
DIMENSIONS = {
    "AWS/SQS": {"QueueName"},
    "AWS/Lambda": {"FunctionName"},
    "OpenAerialMap": {"service", "function_name"},
}


def test_every_alarm_watches_a_metric_that_exists_and_tells_somebody(stack: Stack) -> None:
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    assert {(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms.values()} == {
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Throttles"),
        ("AWS/Lambda", "Duration"),
        ("OpenAerialMap", "MessagesFailed"),
        ("OpenAerialMap", "CatalogFailed"),
        ("OpenAerialMap", "MessagesInvalid"),
        ("OpenAerialMap", "MessagesUnexpected"),
    }
    for alarm in alarms.values():
        assert alarm["MetricName"] in AWS_METRICS[alarm["Namespace"]]
        values = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
        assert set(values) == DIMENSIONS[alarm["Namespace"]]
        assert values.get("service", SERVICE) == SERVICE
        assert values.get("function_name", "<StatusPublisher>") == "<StatusPublisher>"
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == ["<AlarmTopic>"]
        assert alarm["AlarmDescription"]


def test_dead_letters_are_watched_by_what_is_there_not_by_what_was_sent(stack: Stack) -> None:
    alarm = stack.properties("DeadLettersAlarm")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "<StatusDeadLetterQueue>.QueueName"}]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("ApproximateNumberOfMessagesVisible", 0)


def test_the_dashboard_shows_metrics_that_exist_and_all_of_the_functions_own(stack: Stack) -> None:
    widgets = json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]
    shown = set()
    for widget in widgets[1:]:
        row: list[Any] = []
        for metric in widget["properties"]["metrics"]:
            cells = [cell for cell in metric if isinstance(cell, str)]
            if cells == ["..."]:
                continue
            row = [row[at] if cell == "." else cell for at, cell in enumerate(cells)]
            assert row[1] in AWS_METRICS[row[0]], row
            assert set(row[2::2]) == DIMENSIONS[row[0]]
            if row[0] == "OpenAerialMap":
                assert row[2:] == ["service", SERVICE, "function_name", "<StatusPublisher>"]
                shown.add(row[1])
    assert shown == OURS
    alarms = {f"arn:other:<{name}>" for name in stack.of_type("AWS::CloudWatch::Alarm")}
    assert set(widgets[0]["properties"]["alarms"]) == alarms


# samconfig.toml


def test_samconfig_gives_parameters_that_the_template_has() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert {"default", "staging", "production"} <= set(config)
    for name in ("default", "staging", "production"):
        overrides = dict(
            pair.split("=") for pair in config[name]["deploy"]["parameters"]["parameter_overrides"].split()
        )
        assert overrides["Environment"] == {"default": "development"}.get(name, name)
        # sam takes a parameter's last value where it is not told one: all at once would stay so
        assert name != "production" or overrides["Rollout"] == TEMPLATE["Parameters"]["Rollout"]["Default"]
        for parameter, value in overrides.items():
            assert value in map(str, TEMPLATE["Parameters"][parameter]["AllowedValues"])


def test_the_stack_that_invented_jobs_are_sent_to_registers_none_of_them() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    stack = config["default"]["global"]["parameters"]["stack_name"]
    # GIVEN the stacks to which the pages send what is in events/
    pages = "\n".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"STACK=([\w-]+)", pages)) == {stack}
    # THEN their catalog is mocked, and that of none which works for people is
    mocked = {
        name
        for name in ("default", "staging", "production")
        if "MockCatalog=true" in config[name]["deploy"]["parameters"]["parameter_overrides"].split()
    }
    assert mocked == {"default"}


def test_the_artifacts_python_is_the_functions() -> None:
    text = (Path(ROOT) / "local" / "packaging" / "artifact.py").read_text()
    assert "PYTHON = (3, 13)" in text
    assert TEMPLATE["Resources"]["StatusPublisher"]["Properties"]["Runtime"] == "python3.13"

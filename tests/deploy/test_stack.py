"""The stack, deployed to moto's CloudFormation over HTTP and read back; and its policy against the calls made."""

import ast
import io
import json
import time
import uuid
import zipfile
from typing import Any

import pytest
from botocore.session import Session

import handler.app
from local.stack.catalog_server import CatalogServer
from local.stack.http_server import Answer
from tests.conftest import TOKEN, Aws
from tests.deploy.translated import Stack, translate
from tests.factories import body, record
from tests.function import context


@pytest.fixture
def deployed(aws: Aws) -> tuple[Aws, dict[str, str], str]:
    """Deploy the template as SAM translates it: moto takes an untranslated one, and makes the queues only."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("handler/app.py", "")
    s3 = aws.s3
    s3.create_bucket(Bucket="artifacts")
    s3.put_object(Bucket="artifacts", Key="publisher.zip", Body=content.getvalue())
    cloudformation = aws.client("cloudformation")
    name = f"oam-{uuid.uuid4().hex[:8]}"
    template = translate({})
    # moto looks for a Number in a map as an int, and finds no such key.
    template["Parameters"]["FunctionTimeout"] |= {"Type": "String", "Default": "60"}
    # moto's CloudFormation makes no alarms, dashboards and deployment groups, nor (it says so) policies of queues
    # and buckets, secrets and aliases; tests/deploy/test_template.py reads those.
    template["Resources"] = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"].split("::")[1] not in {"CloudWatch", "CodeDeploy"}
    }
    # Its mapping knows functions, not their aliases.
    template["Resources"]["StatusPublisherMessages"]["Properties"]["FunctionName"] = {
        "Ref": "StatusPublisher"
    }
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )
    end = time.monotonic() + 30
    while (stack := cloudformation.describe_stacks(StackName=name)["Stacks"][0])[
        "StackStatus"
    ] != "CREATE_COMPLETE":
        assert time.monotonic() < end, stack
        time.sleep(0.2)
    resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    # (For some resources, moto gives no names.)
    return (
        aws,
        {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources if "PhysicalResourceId" in r},
        name,
    )


@pytest.mark.filterwarnings("ignore:Tried to parse AWS")  # moto, of what it does not make
def test_the_deployed_stack_is_what_the_template_says(deployed: tuple[Aws, dict[str, str], str]) -> None:
    aws, resources, name = deployed
    # THEN the queues have their redrive policy, times and encryption
    sqs = aws.client("sqs")

    def attributes(queue: str) -> dict[str, str]:
        found: dict[str, str] = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return found

    queue, dead = attributes(resources["StatusQueue"]), attributes(resources["StatusDeadLetterQueue"])
    assert queue["QueueArn"].endswith(f":{name}-status")
    assert json.loads(queue["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead["QueueArn"],
        "maxReceiveCount": 60,
    }
    assert (queue["VisibilityTimeout"], queue["MessageRetentionPeriod"]) == ("420", "345600")
    assert dead["MessageRetentionPeriod"] == "1209600"
    for found in (queue, dead):
        assert found["SqsManagedSseEnabled"].lower() == "true"
    # AND the mapping has its response type and its concurrency
    (mapping,) = aws.client("lambda").list_event_source_mappings(EventSourceArn=queue["QueueArn"])[
        "EventSourceMappings"
    ]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 10}
    assert mapping["BatchSize"] == 100
    # AND the role has its policy, on this stack's own resources
    iam = aws.client("iam")
    role = resources["StatusPublisherRole"]
    (policy_name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=role, PolicyName=policy_name)["PolicyDocument"]
    statements = ast.literal_eval(policy)["Statement"]  # moto gives a policy back as Python prints it
    rights = {statement["Sid"]: statement for statement in statements if isinstance(statement, dict)}
    assert rights["Queue"]["Resource"] == queue["QueueArn"]
    assert rights["StatusObjects"]["Resource"] == f"arn:aws:s3:::{resources['StatusBucket']}/status/*"
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    # AND the function has its settings
    function = aws.client("lambda").get_function_configuration(FunctionName=resources["StatusPublisher"])
    assert function["Environment"]["Variables"]["OAM_STATUS_BUCKET"] == resources["StatusBucket"]
    assert (function["Timeout"], function["MemorySize"]) == (60, 1769)


# What each call that the function makes needs
# (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html). A GetObject of an object
# that is not there needs s3:ListBucket to be told so.
ACTIONS = {
    "s3:GetObject": {"s3:GetObject", "s3:ListBucket"},
    "s3:PutObject": {"s3:PutObject", "s3:PutObjectAcl"},
    "secretsmanager:GetSecretValue": {"secretsmanager:GetSecretValue"},
    "sqs:ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
}
# What others do with the function's role: the event source mapping, and the runtime.
OTHERS = {
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}


def test_the_policy_grants_what_the_function_calls_and_nothing_else(
    aws: Aws, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a function that writes down every call it makes to AWS
    calls: set[tuple[str, str]] = set()

    def note(model: Any, params: dict[str, Any], **_: Any) -> None:
        calls.add((f"{model.service_model.signing_name}:{model.name}", params["url_path"]))

    make = Session.create_client

    def recorded(*args: Any, **kwargs: Any) -> Any:
        client = make(*args, **kwargs)
        client.meta.events.register("before-call", note)
        return client

    secret = aws.client("secretsmanager").create_secret(Name=uuid.uuid4().hex, SecretString=TOKEN)["ARN"]
    with CatalogServer(TOKEN) as catalog:
        environment |= {
            "OAM_CATALOG_URL": catalog.url,
            "OAM_API_TOKEN_SECRET_ARN": secret,
            "MOCK_OAM_API": "false",
        }
        environment["OAM_STATUS_SQS_QUEUE_URL"] = aws.client("sqs").create_queue(QueueName="calls")[
            "QueueUrl"
        ]
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("OAM_API_TOKEN", raising=False)
        monkeypatch.setattr(Session, "create_client", recorded)
        handler.app._runner.cache_clear()
        catalog.answers.append(Answer(401))
        # WHEN it does all that it does: first messages, redeliveries, a catalog's refusal, success, poison
        records = [
            record(body("chunk", "STARTED")),
            record(body("mosaic", "FINISHED"), at=9),
            record("poison"),
        ]
        for _ in range(2):
            handler.app.lambda_handler({"Records": records}, context())
        handler.app._runner.cache_clear()
    # THEN the policy has each action, and no other
    needed = set().union(*(ACTIONS[call] for call, _ in calls))
    (policy,) = Stack().properties("StatusPublisherRole")["Policies"]
    granted: set[str] = set()
    for statement in policy["PolicyDocument"]["Statement"]:
        granted |= set([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    assert granted == needed | OTHERS
    # AND every object was below the prefix
    assert {path.split("/")[1] for call, path in calls if call.startswith("s3:")} == {"status"}

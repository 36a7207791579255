"""The embedded stack, to be found as a deployed one: `--stack NAME` and AWS's CLI work on it as they stand."""

import io
import json
import time
import zipfile
from typing import Any

import boto3
from moto.sqs.models import sqs_backends

from local.stack.embedded import ACCOUNT, QUEUE
from tests.deploy.translated import ROOT, TEMPLATE, Stack

STACK = "oam-status-publisher"  # production, in samconfig.toml
LOG_GROUP = f"/aws/lambda/{STACK}"
LOG_STREAM = "2026/11/25/[2]0123456789abcdef0123456789abcdef"
TOKEN = "the-catalogs-token"


class Deployed:
    """Makes what CloudFormation would have made beside the queues and the bucket, on moto's server.

    Args:
        url: of the server.
        queue_url: the queue.
        dead_letter_queue_url: its dead-letter queue.
        bucket: the bucket of the status objects.
        variables: the function's environment; the secret's ARN is added.
    """

    def __init__(
        self, url: str, queue_url: str, dead_letter_queue_url: str, bucket: str, variables: dict[str, str]
    ) -> None:
        self.url = url
        self._clients: dict[str, Any] = {}
        self.bucket = bucket
        attributes = self.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        self.queue_arn: str = attributes["Attributes"]["QueueArn"]
        self.secret: str = self.client("secretsmanager").create_secret(Name=STACK, SecretString=TOKEN)["ARN"]
        self.variables = variables | {"OAM_API_TOKEN_SECRET_ARN": self.secret}
        self.role = self._role()
        self._make_function()
        self.mapping: str = self.client("lambda").create_event_source_mapping(
            FunctionName=STACK, EventSourceArn=self.queue_arn, BatchSize=10, Enabled=True
        )["UUID"]
        # moto would invoke the function itself, in a container, when a message is sent.
        queue = sqs_backends[ACCOUNT]["us-east-1"].queues[QUEUE]
        queue.lambda_event_source_mappings.clear()
        self.client("logs").create_log_group(logGroupName=LOG_GROUP)
        self.client("logs").create_log_stream(logGroupName=LOG_GROUP, logStreamName=LOG_STREAM)
        outputs = {
            "StatusQueueUrl": queue_url,
            "StatusQueueArn": self.queue_arn,
            "StatusDeadLetterQueueUrl": dead_letter_queue_url,
            "StatusBucketName": bucket,
            "StatusPublisherName": STACK,
            "StatusPublisherRoleArn": self.role,
            "ApiTokenSecretArn": self.secret,
            "AlarmTopicArn": f"arn:aws:sns:us-east-1:123456789012:{STACK}",
            "DashboardUrl": "https://us-east-1.console.aws.amazon.com/cloudwatch/home",
        }
        assert set(outputs) == set(TEMPLATE["Outputs"])
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        self.client("cloudformation").create_stack(StackName=STACK, TemplateBody=json.dumps(template))

    def client(self, service: str) -> Any:
        """Give a client; making one takes longer than what is asked of it."""
        if service not in self._clients:
            self._clients[service] = self._make_client(service)
        return self._clients[service]

    def _make_client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload] # the stubs want the name as a literal
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    def _role(self) -> str:
        role: str = self.client("iam").create_role(RoleName=STACK, AssumeRolePolicyDocument="{}")["Role"][
            "Arn"
        ]
        return role

    def _make_function(self) -> None:
        """Make the function's two versions; the alias has the second."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("handler/app.py", "")
        function = self.client("lambda")
        function.create_function(
            FunctionName=STACK,
            Role=self.role,
            Runtime="python3.13",
            Handler="handler.app.lambda_handler",
            Code={"ZipFile": content.getvalue()},
            Timeout=60,
            Environment={"Variables": self.variables},
            Publish=True,
        )
        second = function.publish_version(FunctionName=STACK)["Version"]
        function.create_alias(FunctionName=STACK, Name="live", FunctionVersion=second)

    def is_polled(self) -> bool:
        """Tell whether the mapping is on."""
        found: str = self.client("lambda").get_event_source_mapping(UUID=self.mapping)["State"]
        return found == "Enabled"

    def live_version(self) -> str:
        """Give the version that has the traffic."""
        found: str = self.client("lambda").get_alias(FunctionName=STACK, Name="live")["FunctionVersion"]
        return found

    def set_variables(self, variables: dict[str, str]) -> None:
        """Change the function's environment."""
        self.client("lambda").update_function_configuration(
            FunctionName=STACK, Environment={"Variables": variables}
        )

    def log(self, lines: list[str]) -> None:
        """Put lines into the function's log."""
        now = time.time_ns() // 1_000_000
        self.client("logs").put_log_events(
            logGroupName=LOG_GROUP,
            logStreamName=LOG_STREAM,
            logEvents=[{"timestamp": now, "message": line} for line in lines],
        )

    def ring(self, alarm: str) -> str:
        """Make an alarm ring as CloudFormation makes it, of the template; give its description."""
        description: str = Stack().properties(alarm)["AlarmDescription"]
        cloudwatch = self.client("cloudwatch")
        name = f"{STACK}-{alarm}-0123456789AB"
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            AlarmDescription=description,
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            MetricName="none",
            Namespace="none",
            Period=60,
            Statistic="Sum",
            Threshold=0,
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="in a test")
        return description


assert f'stack_name = "{STACK}"\n' in (ROOT / "samconfig.toml").read_text()

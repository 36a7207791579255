"""A deployed stack in moto's CloudFormation, with the template's outputs and little else: the tools' `--stack`."""

import json
import uuid
from typing import Any

import boto3
from botocore.config import Config

from tests.conftest import REGION, Aws

OUTPUTS = {
    "StatusQueueUrl": {"Ref": "Queue"},
    "StatusDeadLetterQueueUrl": {"Ref": "DeadLetters"},
    "StatusBucketName": {"Ref": "Bucket"},
    "StatusPublisherName": {"Ref": "Function"},
}


def deploy(aws: Aws, *, timeout: int = 60, visibility: int = 420, **variables: str) -> str:
    """Deploy a stack; return its name.

    Args:
        aws: where.
        timeout: the function's, in seconds.
        visibility: the queue's visibility timeout, in seconds.
        **variables: of the function, beside its queue, bucket and prefix.
    """
    name = f"oam-{uuid.uuid4().hex[:8]}"
    template = {
        "Resources": _resources(name, timeout, visibility, variables),
        "Outputs": {key: {"Value": value} for key, value in OUTPUTS.items()},
    }
    # moto takes seconds to import what its CloudFormation may have to make.
    cloudformation = boto3.client(
        "cloudformation",
        region_name=REGION,
        endpoint_url=aws.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(read_timeout=60, retries={"total_max_attempts": 1}),
    )
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )
    return name


def _resources(name: str, timeout: int, visibility: int, variables: dict[str, str]) -> dict[str, Any]:
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}, "maxReceiveCount": 60}
    own = {
        "OAM_STATUS_BUCKET": {"Ref": "Bucket"},
        "OAM_STATUS_PREFIX": "status",
        "OAM_STATUS_SQS_QUEUE_URL": {"Ref": "Queue"},
    }
    return {
        "DeadLetters": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"{name}-dead"}},
        "Queue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": f"{name}-status",
                "VisibilityTimeout": visibility,
                "RedrivePolicy": redrive,
            },
        },
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": f"{name}-status"}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": name,
                "Code": {"ZipFile": "pass"},
                "Handler": "index.handler",
                "Runtime": "python3.13",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Timeout": timeout,
                "Environment": {"Variables": own | variables},
            },
        },
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
                "FunctionName": {"Ref": "Function"},
                "MaximumBatchingWindowInSeconds": 1,
            },
        },
    }

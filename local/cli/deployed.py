"""A deployed stack, found by its name: nothing is copied by hand."""

from collections.abc import Mapping

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.cli.target import ConfigurationError, Target
from local.stack.embedded import CONNECTIONS

CONFIG = Config(max_pool_connections=CONNECTIONS, retries={"mode": "standard"})  # of clients of AWS


def find_deployed(name: str, region_name: str | None) -> Target:
    """Read what a CloudFormation stack's outputs and its function say.

    Args:
        name: the stack's name, as `sam deploy` was told it.
        region_name: its region; None for the one that boto3 finds.

    Raises:
        ConfigurationError: when there is no such stack, it is not this project's, or AWS can't be used.
    """
    try:
        outputs = _outputs(name, region_name)
        function_name = outputs["StatusPublisherName"]
        function = boto3.client("lambda", region_name=region_name, config=CONFIG)
        found = function.get_function_configuration(FunctionName=function_name)
        variables = dict(found.get("Environment", {}).get("Variables", {}))
        prefix = variables["OAM_STATUS_PREFIX"]
        return Target(
            is_embedded=False,
            url="",
            queue_url=outputs["StatusQueueUrl"],
            bucket=outputs["StatusBucketName"],
            prefix=prefix,
            sqs=boto3.client("sqs", region_name=region_name, config=CONFIG),
            s3=boto3.client("s3", region_name=region_name, config=CONFIG),
            description=f"Stack: {name}, as CloudFormation and its function describe it\n"
            f"  queue   {outputs['StatusQueueUrl']}\n"
            f"  bucket  s3://{outputs['StatusBucketName']}/{prefix}",
            variables=variables,
            function_name=function_name,
            function_timeout=found.get("Timeout"),
        )
    except KeyError as error:
        raise ConfigurationError(
            f"The stack {name} is not one of this project: it has no {error}."
        ) from error
    except (BotoCoreError, ClientError, ValueError) as error:
        raise ConfigurationError(f"The stack {name} can't be read: {error}") from error


def _outputs(name: str, region_name: str | None) -> Mapping[str, str]:
    client = boto3.client("cloudformation", region_name=region_name, config=CONFIG)
    stack = client.describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

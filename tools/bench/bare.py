"""The least that a function of this kind loads: the floor for a cold start and for memory."""

from typing import Any

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics

logger = Logger(service="bare")
metrics = Metrics(namespace="Bare", service="bare")
s3 = boto3.client("s3")
session = requests.Session()


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"batchItemFailures": []}

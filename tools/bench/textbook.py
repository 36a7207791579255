"""What the guides show: Powertools' batch processor, and for each message a get, a put and a post.

No conditional write, no claim, no order of events: the last one to write wins.
"""

import asyncio
import json
import os
from typing import Any

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    async_process_partial_response,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

logger = Logger(service="textbook")
metrics = Metrics(namespace="Textbook", service="textbook")
s3 = boto3.client("s3")


def record_handler(record: SQSRecord) -> None:
    message = json.loads(record.body)
    bucket = os.environ["OAM_STATUS_BUCKET"]
    key = f"{os.environ['OAM_STATUS_PREFIX']}/{message['jobId']}-status.json"
    try:
        status = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        status = {"history": []}
    status |= message
    status["history"].append({"messageId": record.message_id, **message})
    finished = (message["stage"], message["status"]) == ("mosaic", "FINISHED")
    if finished:
        uri = f"https://tiles.s3.amazonaws.com/{message['jobId']}/{{z}}/{{x}}/{{y}}.png"
        status |= {"stage": "COMPLETE", "status": "SUCCESS", "tileJson": {"tiles": [uri]}}
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(status).encode(), ContentType="application/json")
    if finished:
        answer = requests.post(
            f"{os.environ['OAM_CATALOG_URL']}/tms",
            json={"uri": uri, "images": [{"uuid": image} for image in message["images"]]},
            headers={"Authorization": f"Bearer {os.environ['OAM_API_TOKEN']}"},
            timeout=10,
        )
        answer.raise_for_status()
    logger.info("Message processed", extra={"jobId": message["jobId"]})
    metrics.add_metric("Processed", MetricUnit.Count, 1)


async def async_record_handler(record: SQSRecord) -> None:
    await asyncio.to_thread(record_handler, record)


@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event, record_handler, BatchProcessor(EventType.SQS), context)


@metrics.log_metrics
def async_lambda_handler(event: dict[str, Any], context: Any) -> Any:
    return async_process_partial_response(
        event, async_record_handler, AsyncBatchProcessor(EventType.SQS), context
    )

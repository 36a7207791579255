"""The embedded stack: an S3 bucket, a queue with its dead-letter queue, and a catalog, all on 127.0.0.1."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from local.stack.catalog_server import CatalogServer
from local.stack.http_server import HOST

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

PORT = 4577  # of S3 and SQS, where others are to find them: `make start`, `make send`, `make show`

FUNCTION_TIMEOUT = 60  # seconds, as in template.yaml unless another is given
# A queue's visibility timeout is to be so many times the function's, says AWS:
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_PER_TIMEOUT = 6

BUCKET = "oam-status"
PREFIX = "status"
QUEUE = "oam-status"
DEAD_LETTER_QUEUE = "oam-status-dead-letters"
ACCOUNT = "123456789012"  # moto's

_REGION = "us-east-1"
_KEY = "embedded"  # moto takes any credentials
_TOKEN = "embedded-token"  # noqa: S105 (of the embedded catalog)

CONNECTIONS = 64  # of a client: as many objects as the tools read at once

# A server on this machine answers at once or is not there; no proxy stands before it.
_CONFIG = Config(
    connect_timeout=2,
    max_pool_connections=CONNECTIONS,
    proxies={},
    retries={"total_max_attempts": 1},
)

# What would lead boto3 or the function away from the embedded stack.
_FOREIGN_PREFIXES = ("AWS_", "OAM_")
_FOREIGN_NAMES = frozenset({"MOCK_OAM_API"})


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack.

    Attributes:
        url: of S3 and SQS.
        catalog: the catalog.
        s3: a client of the bucket.
        sqs: a client of the queues.
        queue_url: the queue.
        dead_letter_queue_url: where messages end that failed too often.
    """

    url: str
    catalog: CatalogServer
    s3: "S3Client"
    sqs: "SQSClient"
    queue_url: str
    dead_letter_queue_url: str

    def enter_environment(self) -> None:
        """Make this stack what boto3 and the function find in this process's environment."""
        leave_aws()
        os.environ |= function_variables(self.url, self.catalog.url)


def function_variables(url: str, catalog_url: str) -> dict[str, str]:
    """Return the function's environment, but for what `leave_aws` sets.

    Args:
        url: of S3 and SQS.
        catalog_url: of the catalog.
    """
    return {
        "AWS_ENDPOINT_URL": url,
        "OAM_STATUS_SQS_QUEUE_URL": f"{url}/{ACCOUNT}/{QUEUE}",
        "OAM_STATUS_BUCKET": BUCKET,
        "OAM_STATUS_PREFIX": PREFIX,
        "OAM_CATALOG_URL": catalog_url,
        "OAM_API_TOKEN": _TOKEN,
    }


def catalog_port(port: int) -> int:
    """Return the catalog's port: the one after that of S3 and SQS, where other processes find it.

    Args:
        port: of S3 and SQS; 0 for any free one, and then the catalog has any, too.
    """
    return port + 1 if port else 0


def leave_aws() -> None:
    """Remove from this process's environment what leads boto3 or the function away from this machine.

    To be called before boto3 is used: its default session keeps what it finds then.
    """
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name in _FOREIGN_NAMES:
            del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _KEY,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": HOST,
        "no_proxy": HOST,
    }


@contextmanager
def embedded_stack(
    port: int = 0,
    *,
    host: str = HOST,
    visibility_timeout: int = VISIBILITY_PER_TIMEOUT * FUNCTION_TIMEOUT,
    max_receive_count: int = 5,
    not_yet_indexed: Iterable[str] = (),
) -> Iterator[Stack]:
    """Run a stack until the context ends; nothing of it outlives the process.

    Args:
        port: the TCP port of S3 and SQS; 0 for any free one. The catalog's is the next one.
        host: an address for S3 and SQS beside 127.0.0.1.
        visibility_timeout: the seconds until an undeleted message comes back.
        max_receive_count: how often a message is delivered before it is a dead letter.
        not_yet_indexed: as in `local.stack.catalog_server.CatalogServer`.

    Yields:
        The stack.

    Raises:
        OSError: when one of the ports is taken, or this machine has no such address.
    """
    # Most tools look for a stack that runs elsewhere.
    from local.stack.aws_server import aws_server  # noqa: PLC0415 (late: it takes half a second)

    catalog_server = CatalogServer(_TOKEN, port=catalog_port(port), not_yet_indexed=not_yet_indexed)
    with aws_server(port, host) as url, catalog_server as catalog:
        s3, sqs = s3_client(url), sqs_client(url)
        s3.create_bucket(Bucket=BUCKET)
        dead_letter_queue_url = sqs.create_queue(QueueName=DEAD_LETTER_QUEUE)["QueueUrl"]
        dead_letter_queue_arn = sqs.get_queue_attributes(
            QueueUrl=dead_letter_queue_url, AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        queue_url = sqs.create_queue(
            QueueName=QUEUE,
            Attributes={
                "VisibilityTimeout": str(visibility_timeout),
                "RedrivePolicy": json.dumps(
                    {"deadLetterTargetArn": dead_letter_queue_arn, "maxReceiveCount": max_receive_count}
                ),
            },
        )["QueueUrl"]
        yield Stack(url, catalog, s3, sqs, queue_url, dead_letter_queue_url)


def s3_client(url: str) -> "S3Client":
    """Make a client of an embedded S3; `url` is the server's."""
    return boto3.client(
        "s3",
        region_name=_REGION,
        endpoint_url=url,
        aws_access_key_id=_KEY,
        aws_secret_access_key=_KEY,
        config=_CONFIG.merge(Config(s3={"addressing_style": "path"})),
    )


def sqs_client(url: str) -> "SQSClient":
    """Make a client of an embedded SQS; `url` is the server's."""
    return boto3.client(
        "sqs",
        region_name=_REGION,
        endpoint_url=url,
        aws_access_key_id=_KEY,
        aws_secret_access_key=_KEY,
        config=_CONFIG,
    )

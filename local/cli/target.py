"""The stack that a tool works with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import TYPE_CHECKING

import click
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

MISCONFIGURED = 2  # the exit code


class ConfigurationError(click.ClickException):
    """Raised when it is not clear which stack is meant; its text is for the person who asked."""

    exit_code = MISCONFIGURED


class AwsFailed(click.ClickException):
    """Raised when AWS does not do what a tool needs; its text says what that was."""


class Part(Flag):
    """What of a stack a tool works with."""

    QUEUE = auto()
    BUCKET = auto()
    FUNCTION = auto()  # it runs the function, which needs all its settings


@dataclass(frozen=True, slots=True)
class Target:
    """The stack that a tool works with.

    Attributes:
        is_embedded: whether it is the embedded one, where nothing can be harmed.
        url: of the embedded one; empty for another.
        queue_url: the queue; empty where it is neither needed nor known.
        bucket: the bucket of the status objects; as the queue.
        prefix: what their keys begin with; as the queue.
        sqs: the queue's client.
        s3: the bucket's client.
        description: what it is, for the person who asked.
        variables: the function's environment, as far as it is known.
        function_name: of the deployed function; empty where `--stack` does not name one.
        function_timeout: of the deployed function, in seconds; None where it is not known.
    """

    is_embedded: bool
    url: str
    queue_url: str
    bucket: str
    prefix: str
    sqs: "SQSClient"
    s3: "S3Client"
    description: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    function_name: str = ""
    function_timeout: int | None = None

    def explain(self, error: Exception) -> str:
        """Say why something failed, and what to do where that is clear."""
        if self.is_embedded and isinstance(error, EndpointConnectionError):
            return f"Nothing listens at {self.url}. `make start` in another terminal starts it."
        return str(error)

    @contextmanager
    def explaining(self, what: str) -> Iterator[None]:
        """Say of whatever AWS does not do in this context what it was, and why.

        Args:
            what: a sentence without its end, for instance "Reading the bucket failed".

        Raises:
            AwsFailed: when a call failed.
        """
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise AwsFailed(f"{what}: {self.explain(error)}") from error

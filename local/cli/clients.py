"""AWS clients that do not wait long, for checks."""

from typing import Any

import boto3
from botocore.config import Config

from local.cli.target import Target

_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})


def quick_client(target: Target, service: str) -> Any:
    """Make a client of a stack's service: one attempt a call, five seconds at the most.

    In a session of its own, for none is for several threads.
    """
    config: Any = target.s3.meta.config if service == "s3" else Config()  # with its addressing style
    client = boto3.session.Session().client(
        service,  # type: ignore[call-overload] # the stubs want the name as a literal
        region_name=target.sqs.meta.region_name,
        endpoint_url=target.url or None,
        config=config.merge(_CONFIG),
    )
    if service == "s3":
        client.meta.events.register_last("before-call.s3", _remove_expect_header)
    return client


def _remove_expect_header(params: dict[str, Any], **_: object) -> None:
    """Remove a request's Expect header, as the function does: some servers do not answer it."""
    params["headers"].pop("Expect", None)

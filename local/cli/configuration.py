"""Which stack is meant: decided here, for every tool.

With any of the project's variables set, in the environment or in `.env`, it is the one that they name; all
that a tool needs has to be there, and half of it is an error. With none set, it is `make start`'s embedded
stack.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, EndpointConnectionError
from botocore.session import Session

from handler.settings import SettingsError, read_settings
from local.cli.env_file import EnvFileError, parse_env_file, quoted
from local.stack.aws_server import HOST
from local.stack.embedded import ACCOUNT, BUCKET, PREFIX, QUEUE, leave_aws, s3_client, sqs_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

MISCONFIGURED = 2  # the exit code

ENV_FILE = Path(".env")  # in the working directory

# DEBUG and AWS's own variables are not ours: who has them set may still want the embedded stack.
_OURS = (
    "OAM_STATUS_SQS_QUEUE_URL",
    "OAM_STATUS_BUCKET",
    "OAM_STATUS_PREFIX",
    "OAM_CATALOG_URL",
    "OAM_API_TOKEN",
    "OAM_API_TOKEN_SECRET_ARN",
    "OAM_TILES_URL",
    "MOCK_OAM_API",
)


class ConfigurationError(Exception):
    """Raised when it is not clear which stack is meant; its text is for the person who asked."""


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
    """

    is_embedded: bool
    url: str
    queue_url: str
    bucket: str
    prefix: str
    sqs: "SQSClient"
    s3: "S3Client"
    description: str

    def explain(self, error: Exception) -> str:
        """Say why something failed, and what to do where that is clear."""
        if self.is_embedded and isinstance(error, EndpointConnectionError):
            return f"Nothing listens at {self.url}. `make start` in another terminal starts it."
        return str(error)


def find_stack(needs: Part, port: int) -> Target:
    """Decide which stack is meant, and say it on stderr.

    The environment of this process becomes what boto3 and the function need to work with that stack.

    Args:
        needs: what of it the tool works with.
        port: of the embedded stack.

    Raises:
        ConfigurationError: when half a stack is named, or what is named can't be used.
    """
    load_env_file(ENV_FILE)
    target = _named(needs, os.environ) if configured(os.environ) else _embedded(port)
    print(target.description, file=sys.stderr, flush=True)
    return target


def load_env_file(path: Path) -> None:
    """Take the variables of an env file, if it is there; what is set already stands.

    Raises:
        ConfigurationError: when it can't be read.
    """
    if not path.is_file():
        return
    try:
        variables = parse_env_file(path.read_bytes())
    except EnvFileError as error:
        raise ConfigurationError(f"{path}: {error}.") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if names := quoted(variables):
        print(f"{path}: the quotes are part of the value of {', '.join(names)}.", file=sys.stderr)
    os.environ |= {name: value for name, value in variables.items() if name not in os.environ}


def region(environ: Mapping[str, str]) -> str | None:
    """Give the AWS region, which boto3 itself reads from AWS_DEFAULT_REGION or a profile only.

    Args:
        environ: the environment's variables.
    """
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None


def configured(environ: Mapping[str, str]) -> list[str]:
    """Give the variables of this project that are set; none means the embedded stack.

    Args:
        environ: the environment's variables. One set to nothing counts as not set.
    """
    return [name for name in _OURS if environ.get(name, "").strip()]


def problems(environ: Mapping[str, str], needs: Part) -> list[str]:
    """Give all that keeps a tool from working with the stack that is named.

    Args:
        environ: the environment's variables.
        needs: what of the stack the tool works with.

    Returns:
        One line for each; none if all is well.
    """
    found = []
    queue_url = environ.get("OAM_STATUS_SQS_QUEUE_URL", "").strip()
    if Part.QUEUE in needs and not queue_url:
        found.append("OAM_STATUS_SQS_QUEUE_URL is not set.")
    elif Part.QUEUE in needs and not _is_http_url(queue_url):
        found.append("OAM_STATUS_SQS_QUEUE_URL is not an http(s):// URL.")
    if Part.FUNCTION in needs:
        try:
            read_settings(environ)
        except SettingsError as error:
            found.append(str(error))
    else:
        names = ("OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX") if Part.BUCKET in needs else ()
        found += [f"{name} is not set." for name in names if not environ.get(name, "").strip()]
    try:
        session = Session()
        if not region(environ) and not session.get_config_variable("region") and Part.FUNCTION not in needs:
            found.append("AWS_DEFAULT_REGION is not set.")
        if session.get_credentials() is None:
            found.append(
                "There are no AWS credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set."
            )
    except BotoCoreError as error:
        found.append(f"The AWS credentials are incomplete: {error}")
    return found


def _named(needs: Part, environ: Mapping[str, str]) -> Target:
    """Give the stack that the variables name."""
    wrong = problems(environ, needs)
    if wrong:
        lines = "\n".join(f"  - {problem}" for problem in wrong)
        raise ConfigurationError(
            f"Set is {', '.join(configured(environ))}, and that is not all that this needs:\n{lines}\n"
            "sample.env lists all variables. With none of the project's set, the embedded stack is meant."
        )
    try:
        config = Config(retries={"mode": "standard"})
        sqs = boto3.client("sqs", region_name=region(environ), config=config)
        s3 = boto3.client("s3", region_name=region(environ), config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"AWS can't be used as it is configured: {error}") from error
    for url in (sqs.meta.endpoint_url, s3.meta.endpoint_url):
        if not _is_http_url(url):
            raise ConfigurationError(
                f"AWS can't be used as it is configured: {url} is not an http(s):// URL."
            )
    queue_url, bucket, prefix = (
        environ.get(name, "").strip()
        for name in ("OAM_STATUS_SQS_QUEUE_URL", "OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX")
    )
    lines = f"Stack: as the environment and .env name it, account {_account(queue_url)}"
    if Part.QUEUE in needs:
        lines += f"\n  queue   {queue_url}\n          at {sqs.meta.endpoint_url}"
    if Part.BUCKET in needs:
        lines += f"\n  bucket  s3://{bucket}/{prefix}\n          at {s3.meta.endpoint_url}"
    return Target(
        is_embedded=False,
        url="",
        queue_url=queue_url,
        bucket=bucket,
        prefix=prefix,
        sqs=sqs,
        s3=s3,
        description=lines,
    )


def _embedded(port: int) -> Target:
    leave_aws()
    url = f"http://{HOST}:{port}"
    return Target(
        is_embedded=True,
        url=url,
        queue_url=f"{url}/{ACCOUNT}/{QUEUE}",
        bucket=BUCKET,
        prefix=PREFIX,
        sqs=sqs_client(url),
        s3=s3_client(url),
        description=f"Stack: embedded, at {url}",
    )


def _account(queue_url: str) -> str:
    """Give the account, as far as it can be told without asking AWS."""
    if found := re.search(r"/(\d{12})/[^/]+$", queue_url):
        return found[1]
    credentials = Session().get_credentials()
    return getattr(credentials, "account_id", None) or "not known"


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and parts.scheme in {"http", "https"}

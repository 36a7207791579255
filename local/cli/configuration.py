"""Which stack is meant: decided here, for every tool.

`--stack` names a deployed one. Without it, with any of the project's variables set, in the environment or in
`.env`, it is the one that they name; all that a tool needs has to be there, and half of it is an error. With
none set, it is `make start`'s embedded stack.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from click.core import ParameterSource

from handler.settings import SettingsError, read_settings
from local.cli.deployed import CONFIG, find_deployed
from local.cli.env_file import EnvFileError, parse_env_file, quoted
from local.cli.target import ConfigurationError, Part, Target
from local.cli.urls import is_http_url
from local.stack.embedded import (
    ACCOUNT,
    BUCKET,
    PREFIX,
    QUEUE,
    catalog_port,
    function_variables,
    leave_aws,
    s3_client,
    sqs_client,
)
from local.stack.http_server import HOST

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


def find_stack(needs: Part, port: int, stack: str | None = None) -> Target:
    """Decide which stack is meant, and say it on stderr.

    The environment of this process becomes what boto3 and the function need to work with that stack.

    Args:
        needs: what of it the tool works with, which has to be named; `doctor` takes whatever there is.
        port: of the embedded stack.
        stack: the name of a deployed one, for which `.env` gives AWS's credentials and region alone.

    Raises:
        ConfigurationError: when half a stack is named, or what is named can't be used.
        click.UsageError: when the command line has --port, and another stack than the embedded one is meant.
    """
    load_env_file(ENV_FILE)
    _check_port(stack)
    if stack:
        target = find_deployed(stack, region(os.environ))
    else:
        target = _named(needs, os.environ) if configured(os.environ) else _embedded(port)
    print(target.description, file=sys.stderr, flush=True)
    return target


def _check_port(stack: str | None) -> None:
    """Raise UsageError where --port was given, which is the embedded stack's, and another one is named."""
    context = click.get_current_context(silent=True)
    if not context or context.get_parameter_source("port") is not ParameterSource.COMMANDLINE:
        return
    if stack:
        raise click.UsageError(f"--stack means {stack}, --port the embedded stack: give one of them.")
    if names := configured(os.environ):
        raise click.UsageError(
            f"--port means the embedded stack, but {_are_set(names)}, in the environment or .env, "
            "and another one is meant: leave --port out, or unset them."
        )


def _are_set(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} set"


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
    """Give the AWS region, which boto3 itself reads from AWS_DEFAULT_REGION or a profile only."""
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None


def endpoint_url(environ: Mapping[str, str]) -> str | None:
    """Return the URL of the S3 store that stands in the place of AWS's, as the environment names it.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html

    Args:
        environ: the environment's variables.
    """
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None


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
    if not needs:
        return []
    found = []
    queue_url = environ.get("OAM_STATUS_SQS_QUEUE_URL", "").strip()
    if Part.QUEUE in needs and not queue_url:
        found.append("OAM_STATUS_SQS_QUEUE_URL is not set.")
    elif Part.QUEUE in needs and not is_http_url(queue_url):
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
            f"{_are_set(configured(environ))}, but this needs more:\n{lines}\n"
            "sample.env lists all variables. With none of the project's set, the embedded stack is meant."
        )
    try:
        # Away from AWS a bucket has no host name of its own.
        style: Any = {"addressing_style": "path" if endpoint_url(environ) else "auto"}
        config = CONFIG.merge(Config(s3=style))
        sqs = boto3.client("sqs", region_name=region(environ), config=config)
        s3 = boto3.client("s3", region_name=region(environ), config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"AWS can't be used as it is configured: {error}") from error
    for url in (sqs.meta.endpoint_url, s3.meta.endpoint_url):
        if not is_http_url(url):
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
        variables=environ,
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
        variables=os.environ | function_variables(url, f"http://{HOST}:{catalog_port(port)}"),
    )


def _account(queue_url: str) -> str:
    """Give the account, as far as it can be told without asking AWS."""
    if found := re.search(r"/(\d{12})/[^/]+$", queue_url):
        return found[1]
    credentials = Session().get_credentials()
    return getattr(credentials, "account_id", None) or "not known"

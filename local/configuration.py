"""Which stack is meant: the real one that .env or the environment names, or the embedded one."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError
from botocore.session import Session
from dotenv import load_dotenv

from handler.settings import SettingsError, read_settings

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


def load_env_file() -> None:
    """Take the variables of `.env` in the working directory, if it is there; what is set already stands."""
    path = Path(".env")
    if path.is_file():
        load_dotenv(path)


def region(environ: Mapping[str, str]) -> str | None:
    """Give the AWS region, which boto3 itself reads from AWS_DEFAULT_REGION only.

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


def problems(environ: Mapping[str, str]) -> list[str]:
    """Give all that keeps us from working with the real stack.

    Args:
        environ: the environment's variables.

    Returns:
        One line for each; none if all is well.
    """
    found = []
    queue_url = environ.get("OAM_STATUS_SQS_QUEUE_URL", "").strip()
    if not queue_url:
        found.append("OAM_STATUS_SQS_QUEUE_URL is not set.")
    elif not (urlsplit(queue_url).hostname and urlsplit(queue_url).scheme in {"http", "https"}):
        found.append("OAM_STATUS_SQS_QUEUE_URL is not an http(s):// URL.")
    try:
        read_settings(environ)
    except SettingsError as error:
        found.append(str(error))
    try:
        if Session().get_credentials() is None:
            found.append(
                "There are no AWS credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set."
            )
    except BotoCoreError as error:
        found.append(f"The AWS credentials are incomplete: {error}")
    return found

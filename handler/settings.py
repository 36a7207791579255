"""What the function is told by its environment: read once, validated together."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from handler.tokens import SENDABLE

DEFAULT_CATALOG_URL = "https://api.openaerialmap.org"
DEBUG_NAMESPACE = "oam:publisher"

_BUCKET = re.compile(r"|[A-Za-z0-9._-]{3,255}|arn:aws[a-z-]*:s3\S*")  # empty is "not set"


class SettingsError(Exception):
    """Raised when variables are missing or wrong; its text names all of them, and no value of a secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The function's settings."""

    region: str  # the AWS region
    endpoint_url: str | None  # a server to use in place of AWS, if any
    bucket: str  # the bucket of the status objects
    prefix: str  # what their keys begin with
    catalog_url: str  # the base URL of the OAM catalog
    token: str = field(repr=False)  # the catalog's bearer token, if it is given as it is
    queue_url: str | None  # the queue that the messages come from, for their back-off
    token_secret: str | None  # else the ARN of the secret that holds it
    mock_catalog: bool  # whether to send nothing to the catalog
    tiles_base: str | None  # what replaces scheme, host and bucket of an S3 target, if anything
    debug: bool  # whether to log at DEBUG


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Args:
        environ: the environment's variables.

    Returns:
        The settings.

    Raises:
        SettingsError: when anything is missing or wrong.
    """
    values = defaultdict(str, {name: value.strip() for name, value in environ.items()})
    settings = Settings(
        region=values["AWS_REGION"] or values["AWS_DEFAULT_REGION"],
        endpoint_url=values["AWS_ENDPOINT_URL_S3"] or values["AWS_ENDPOINT_URL"] or None,
        bucket=values["OAM_STATUS_BUCKET"],
        prefix=values["OAM_STATUS_PREFIX"],
        catalog_url=values["OAM_CATALOG_URL"].rstrip("/") or DEFAULT_CATALOG_URL,
        token=values["OAM_API_TOKEN"],
        queue_url=values["OAM_STATUS_SQS_QUEUE_URL"] or None,
        token_secret=values["OAM_API_TOKEN_SECRET_ARN"] or None,
        mock_catalog=values["MOCK_OAM_API"].lower() == "true",
        tiles_base=values["OAM_TILES_URL"].rstrip("/") or None,
        debug=_is_debugged(values["DEBUG"]),
    )
    wrong = {
        "AWS_DEFAULT_REGION is not set": not settings.region,
        "OAM_STATUS_BUCKET is not set": not settings.bucket,
        "OAM_STATUS_BUCKET is not a bucket's name": not _BUCKET.fullmatch(settings.bucket),
        "OAM_STATUS_PREFIX is not set": not settings.prefix,
        "OAM_STATUS_PREFIX has '.' or '..' between slashes, or an unprintable character": (
            not settings.prefix.isprintable() or bool({".", ".."} & set(settings.prefix.split("/")))
        ),
        "OAM_CATALOG_URL is not an http(s):// URL without user, query and fragment": (
            not _is_base_url(settings.catalog_url)
        ),
        "OAM_TILES_URL is not an http(s):// URL without user, query and fragment": (
            settings.tiles_base is not None and not _is_base_url(settings.tiles_base)
        ),
        "OAM_API_TOKEN is not set, nor OAM_API_TOKEN_SECRET_ARN (MOCK_OAM_API=true does without)": not (
            settings.token or settings.token_secret or settings.mock_catalog
        ),
        "OAM_API_TOKEN has a character that can't stand in an HTTP header": (
            bool(settings.token) and not SENDABLE.fullmatch(settings.token)
        ),
        "MOCK_OAM_API is neither true nor false": (
            values["MOCK_OAM_API"].lower() not in {"", "true", "false"}
        ),
    }
    problems = [problem for problem, holds in wrong.items() if holds]
    if problems:
        raise SettingsError("The settings are incomplete or wrong: " + "; ".join(problems) + ".")
    return settings


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (raises on a port that is none)
    except ValueError:
        return False
    # A user in the URL would take the token's place in the Authorization header.
    return (
        url.isprintable()
        and " " not in url
        and parts.scheme.lower() in {"http", "https"}
        and bool(parts.hostname)
        and not {"@", "?", "#"} & set(url)
    )


def _is_debugged(patterns: str) -> bool:
    """Read DEBUG as the older system's `debug` package did: a list of patterns, a leading - excludes."""
    debugged = False
    for pattern in re.split(r"[\s,]+", patterns):
        if re.fullmatch(re.escape(pattern.removeprefix("-")).replace(r"\*", ".*"), DEBUG_NAMESPACE):
            if pattern.startswith("-"):
                return False
            debugged = True
    return debugged

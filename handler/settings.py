"""The function's settings, read from its environment once and validated together."""

import ipaddress
import re
import ssl
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from handler.tokens import SENDABLE

DEFAULT_CATALOG_URL = "https://api.openaerialmap.org"
DEBUG_NAMESPACE = "oam:publisher"

_BUCKET = re.compile(r"|[A-Za-z0-9._-]{3,255}|arn:aws[a-z-]*:s3\S*")  # empty: not set
# One part of a host's name. botocore takes no underscore; DNS, requests and Docker's networks do.
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_AWS_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")


class SettingsError(Exception):
    """Raised when variables are missing or wrong; its text names all of them, and no value of a secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The function's settings."""

    region: str  # the AWS region
    path_style: bool  # whether S3 is not AWS's: there a bucket has no host name of its own
    bucket: str  # the bucket of the status objects
    prefix: str  # the beginning of their keys
    catalog_url: str  # the base URL of the OAM catalog
    token: str = field(repr=False)  # the catalog's bearer token; empty if it is not set
    queue_url: str | None  # the queue that the messages come from, for their back-off
    token_secret: str  # the ARN of the secret that holds the token; empty if it is not set
    mock_catalog: bool  # whether to send nothing to the catalog
    tiles_base: str | None  # replaces scheme, host and bucket of an S3 target
    debug: bool  # whether to log at DEBUG


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings that the environment's variables give.

    Raises:
        SettingsError: when anything is missing or wrong.
    """
    values = defaultdict(str, {name: value.strip() for name, value in environ.items()})
    endpoints = _endpoints(environ)
    settings = Settings(
        region=values["AWS_REGION"] or values["AWS_DEFAULT_REGION"],
        path_style=bool({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"} & endpoints.keys()),
        bucket=values["OAM_STATUS_BUCKET"],
        prefix=values["OAM_STATUS_PREFIX"],
        catalog_url=values["OAM_CATALOG_URL"].rstrip("/") or DEFAULT_CATALOG_URL,
        token=values["OAM_API_TOKEN"],
        queue_url=values["OAM_STATUS_SQS_QUEUE_URL"] or None,
        token_secret=values["OAM_API_TOKEN_SECRET_ARN"],
        mock_catalog=values["MOCK_OAM_API"].lower() == "true",
        tiles_base=values["OAM_TILES_URL"].rstrip("/") or None,
        debug=_is_debug(values["DEBUG"]),
    )
    problems = _own_problems(settings, values["MOCK_OAM_API"]) + _library_problems(environ, endpoints)
    if problems:
        raise SettingsError("The settings are incomplete or wrong: " + "; ".join(problems) + ".")
    return settings


def _own_problems(settings: Settings, mocking: str) -> list[str]:
    """Return what is wrong with the project's own variables and the region."""
    wrong = {
        "AWS_DEFAULT_REGION is not set": not settings.region,
        "OAM_STATUS_BUCKET is not set": not settings.bucket,
        "OAM_STATUS_BUCKET is not a bucket's name": not _BUCKET.fullmatch(settings.bucket),
        "OAM_STATUS_PREFIX is not set": not settings.prefix,
        "OAM_STATUS_PREFIX has '.' or '..' between slashes, or an unprintable character": (
            not settings.prefix.isprintable() or bool({".", ".."} & set(settings.prefix.split("/")))
        ),
        "OAM_STATUS_SQS_QUEUE_URL is not a queue's http(s):// URL (its ARN or name is not enough)": (
            settings.queue_url is not None
            and not (_is_base_url(settings.queue_url) and urlsplit(settings.queue_url).path.strip("/"))
        ),
        "OAM_CATALOG_URL is not an http(s):// URL of a possible host, without user, query and fragment": (
            not _is_base_url(settings.catalog_url)
        ),
        "OAM_TILES_URL is not an http(s):// URL of a possible host, without user, query and fragment": (
            settings.tiles_base is not None and not _is_base_url(settings.tiles_base)
        ),
        "OAM_API_TOKEN is not set, nor OAM_API_TOKEN_SECRET_ARN (MOCK_OAM_API=true does without)": not (
            settings.token or settings.token_secret or settings.mock_catalog
        ),
        "OAM_API_TOKEN has a character that can't stand in an HTTP header": (
            bool(settings.token) and not SENDABLE.fullmatch(settings.token)
        ),
        "MOCK_OAM_API is neither true nor false": mocking.lower() not in {"", "true", "false"},
    }
    return [problem for problem, holds in wrong.items() if holds]


def _library_problems(environ: Mapping[str, str], endpoints: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the variables that botocore and requests read themselves.

    They use them unchanged, white space included, and raise, if at all, when they first need them.
    """
    problems = [
        f"{name} is not an http(s):// URL without user, query and fragment"
        for name, value in endpoints.items()
        if not (value.isascii() and _is_base_url(value, _AWS_LABEL))
    ]
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() not in {"", "true", "false"}:
        problems.append("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is neither true nor false")
    of_botocore = "AWS_CA_BUNDLE" if "AWS_CA_BUNDLE" in environ else "REQUESTS_CA_BUNDLE"
    for name in (name for name in _BUNDLES if name in environ):
        path = environ[name]
        # botocore takes no directory, and takes "" for a path; requests ignores "".
        if not _is_ca_bundle(path) and (name == of_botocore or (path and not Path(path).is_dir())):
            problems.append(f"{name} is not a readable bundle of CA certificates")
    return problems


def _endpoints(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the endpoints that botocore reads: of all services, for it makes a client of its own.

    That one gets the credentials of a role from STS.
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return {}
    return {name: value for name, value in environ.items() if name.startswith("AWS_ENDPOINT_URL") and value}


def _is_ca_bundle(path: str) -> bool:
    """Return whether a file's certificates can be loaded: the only check outside the environment."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ValueError):  # no such file, no certificate in it; a NUL in the path
        return False
    return True


def _is_base_url(url: str, label: re.Pattern[str] = _LABEL) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (raises on a port that is none)
        host = _ascii_host(url)
    except ValueError:
        return False
    # A user in the URL would take the token's place in the Authorization header. No host's name has an @, but
    # the zone of an IPv6 address may (RFC 4007, 11.2): https://[fe80::1%u]:p@[::1] is one to ipaddress.
    return (
        url.isprintable()
        and " " not in url
        and parts.scheme.lower() in {"http", "https"}
        and "@" not in parts.netloc
        and _is_host(host, label)
        and not {"?", "#"} & set(url)
    )


def _ascii_host(url: str) -> str:
    """Return a URL's host without its port, as DNS is asked for it."""
    if not url.isascii():
        # requests itself, for it has rules of its own (IDNA 2008).
        from requests import Request  # noqa: PLC0415 (late: it is a tenth of a cold start)

        url = str(Request(url=url).prepare().url)
    return re.sub(r":[0-9]*$", "", urlsplit(url).netloc)


def _is_host(host: str, label: re.Pattern[str]) -> bool:
    """Return whether a host is an address, or a name by the rules of DNS (RFC 1035, 2.3.4)."""
    if host.startswith("["):
        return host.endswith("]") and _is_address(host[1:-1], 6)
    name = host.removesuffix(".")
    labels = name.split(".")
    if labels[-1].isdigit():  # no top-level domain is a number
        return _is_address(name, 4)
    return len(name) <= 253 and all(label.fullmatch(part) for part in labels)


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _is_debug(patterns: str) -> bool:
    """Return what DEBUG says, read as the legacy system's `debug` package did.

    It is a list of patterns; one with a leading - excludes.
    """
    is_debug = False
    for pattern in re.split(r"[\s,]+", patterns):
        if re.fullmatch(re.escape(pattern.removeprefix("-")).replace(r"\*", ".*"), DEBUG_NAMESPACE):
            if pattern.startswith("-"):
                return False
            is_debug = True
    return is_debug

"""The environment: all that is wrong with it is said at once, and no secret with it."""

from pathlib import Path

import certifi
import pytest
import requests
from botocore.config import Config
from botocore.session import Session

from handler.settings import Settings, SettingsError, read_settings

GOOD = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "OAM_STATUS_BUCKET": "status-bucket",
    "OAM_STATUS_PREFIX": "status",
    "OAM_API_TOKEN": "s3cret-token",
}


def read(**changes: str | None) -> Settings:
    """Read good settings with changes; None takes a variable away."""
    return read_settings({name: value for name, value in {**GOOD, **changes}.items() if value is not None})


def problem(**changes: str | None) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**changes)
    return str(caught.value)


def test_good_settings_are_read_with_their_defaults() -> None:
    assert read() == Settings(
        region="us-east-1",
        path_style=False,
        bucket="status-bucket",
        prefix="status",
        catalog_url="https://api.openaerialmap.org",
        token="s3cret-token",
        queue_url=None,
        token_secret="",
        mock_catalog=False,
        tiles_base=None,
        debug=False,
    )


def test_all_that_is_missing_or_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"OAM_CATALOG_URL": "x", "OAM_TILES_URL": "y", "MOCK_OAM_API": "maybe"})
    for name in (
        "AWS_DEFAULT_REGION is not set",
        "OAM_STATUS_BUCKET is not set",
        "OAM_STATUS_PREFIX is not set",
        "OAM_API_TOKEN is not set",
        "OAM_CATALOG_URL is not",
        "OAM_TILES_URL is not",
        "MOCK_OAM_API is neither",
    ):
        assert name in str(caught.value)
    assert "not a bucket's name" not in str(caught.value)


def test_lambdas_own_region_comes_first() -> None:
    assert read(AWS_REGION="eu-west-1").region == "eu-west-1"
    assert read(AWS_REGION="eu-west-1", AWS_DEFAULT_REGION=None).region == "eu-west-1"


def test_white_space_around_a_value_does_not_matter_and_nothing_else_counts_as_not_set() -> None:
    assert read(OAM_API_TOKEN=" s3cret-token\n") == read()
    assert "OAM_STATUS_BUCKET is not set" in problem(OAM_STATUS_BUCKET="  ")


@pytest.mark.parametrize("bucket", ["a b", "ab", "b/ucket", "s3://bucket", "x" * 256])
def test_what_is_no_bucket_is_refused(bucket: str) -> None:
    assert "OAM_STATUS_BUCKET is not a bucket's name" in problem(OAM_STATUS_BUCKET=bucket)


def test_an_access_point_is_a_bucket() -> None:
    arn = "arn:aws:s3:us-east-1:123456789012:accesspoint/status"
    assert read(OAM_STATUS_BUCKET=arn).bucket == arn


@pytest.mark.parametrize("prefix", ["..", "a/../b", "./a", "a\x00b"])
def test_a_prefix_that_could_be_taken_for_a_path_is_refused(prefix: str) -> None:
    assert "OAM_STATUS_PREFIX has" in problem(OAM_STATUS_PREFIX=prefix)


@pytest.mark.parametrize("token", ["two\nlines", "two words", "tokén", "a\x00b"])
def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_shown(token: str) -> None:
    said = problem(OAM_API_TOKEN=token)
    assert "OAM_API_TOKEN has a character" in said
    assert token not in said


def test_the_token_is_in_no_representation() -> None:
    assert "s3cret-token" not in repr(read())
    assert "s3cret-token" not in problem(OAM_STATUS_BUCKET=None)


def test_a_token_is_not_needed_where_it_is_in_a_secret_or_nothing_is_sent() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:oam"
    assert read(OAM_API_TOKEN=None, OAM_API_TOKEN_SECRET_ARN=arn).token_secret == arn
    assert read(OAM_API_TOKEN=None, MOCK_OAM_API="true").mock_catalog
    assert "OAM_API_TOKEN is not set" in problem(OAM_API_TOKEN=None, MOCK_OAM_API="false")


@pytest.mark.parametrize(("value", "mocks"), [("true", True), ("TRUE", True), ("false", False), ("", False)])
def test_mocking_is_asked_for_by_true(value: str, mocks: bool) -> None:
    assert read(MOCK_OAM_API=value).mock_catalog is mocks


@pytest.mark.parametrize("value", ["1", "yes", "treu"])
def test_a_half_hearted_wish_for_mocking_does_not_send(value: str) -> None:
    assert "MOCK_OAM_API is neither true nor false" in problem(MOCK_OAM_API=value)


@pytest.mark.parametrize(
    "url", ["catalog", "ftp://host", "http://", "https://u:p@host", "https://u@h\u00f6st", "https://@h\u00f6st", "https://[fe80::1%u]:p@[::1]", "https://[::1%25a@b]", "https://host?q", "https://host#f", "https://host:x", "https://a b", "https://h/\n"]
)  # fmt: skip
@pytest.mark.parametrize("name", ["OAM_CATALOG_URL", "OAM_TILES_URL"])
def test_what_is_no_base_url_is_refused(name: str, url: str) -> None:
    if url.strip() != url:
        url += "x"
    assert f"{name} is not an http(s):// URL" in problem(**{name: url})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "https://api.example.org/v1/", "https://[::1]:8080/X", "https://a/@b"]
)
def test_base_urls_lose_their_trailing_slash(url: str) -> None:
    assert read(OAM_CATALOG_URL=url).catalog_url == url.rstrip("/")
    assert read(OAM_TILES_URL=url).tiles_base == url.rstrip("/")


@pytest.mark.parametrize(
    ("patterns", "debug"),
    [
        ("oam:*", True),
        ("*", True),
        ("oam:publisher", True),
        ("express:*,oam:publisher", True),
        ("express:* oam:pub*", True),
        ("*,-oam:publisher", False),
        ("*,-oam:*", False),
        ("-express,*", True),
        ("oam", False),
        ("oam:api", False),
        ("oam:publisher:more", False),
        ("oam.publisher", False),
        ("1", False),
        ("", False),
    ],
)
def test_debug_is_a_list_of_patterns(patterns: str, debug: bool) -> None:
    assert read(DEBUG=patterns).debug is debug


@pytest.mark.parametrize(("service", "path_style"), [("", True), ("_S3", True), ("_SQS", False)])
def test_where_s3_is_not_awss_a_bucket_has_no_host_name_of_its_own(service: str, path_style: bool) -> None:
    assert read(**{f"AWS_ENDPOINT_URL{service}": "http://a"}).path_style is path_style


# Endpoints

NO_ENDPOINTS = [
    "localhost:4566", "//host", "host", "ftp://host", "http://", "https:///path", "http:host", "http:/host",
    " ", "\n", " http://host", "http://host\n", "http://a b", "http://a\tb", "http://host?q", "http://host#f",
    "http://u:p@host", "http://host:port", "http://host:65536", "http://a..b", "http://.a", "http://-a", "http://a-",
    "http://" + "a" * 64, "http://a_b", "http://h\u00e9", "http://1.2.3", "http://1.2.3.256", "http://[::1", "http://[x]",
    "http://[::1]x", "http://[::1x", "arn:aws:s3:us-east-1:123456789012:accesspoint/a",
]  # fmt: skip
ENDPOINTS = [
    "http://localhost:4566", "http://127.0.0.1:4577", "https://[::1]:8080", "http://[1:2:3:4:5:6:7:8]", "http://host.docker.internal:4577/",
    "https://vpce-0a.s3.us-east-1.vpce.amazonaws.com", "HTTPS://HOST", "http://host.", "http://host/path",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_ENDPOINTS)
@pytest.mark.parametrize("service", ["", "_S3", "_SQS", "_SECRETS_MANAGER", "_STS"])
def test_an_endpoint_that_is_no_url_is_refused_by_its_name(service: str, value: str) -> None:
    """Else botocore raises for some, and takes others for an endpoint that no request ever reaches."""
    said = problem(**{f"AWS_ENDPOINT_URL{service}": value})
    assert f"AWS_ENDPOINT_URL{service} is not an http(s):// URL" in said


@pytest.fixture(scope="session")
def session() -> Session:
    return Session()  # reads a service's description once


@pytest.mark.parametrize("value", ENDPOINTS)
def test_an_endpoint_that_is_taken_is_one_that_botocore_makes_a_client_of(
    value: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", value)
    assert read(AWS_ENDPOINT_URL=value).path_style
    for service in ("s3", "sqs", "secretsmanager"):
        made = session.create_client(service, region_name="us-east-1", config=Config())
        assert made.meta.endpoint_url == value


def test_all_bad_endpoints_are_named_at_once_with_the_others() -> None:
    names = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS", "OAM_CATALOG_URL"]
    said = problem(**dict.fromkeys(names, "localhost:4566"), OAM_STATUS_BUCKET=None)
    assert all(f"{name} is not an http(s):// URL" in said for name in names)
    assert "OAM_STATUS_BUCKET is not set" in said


def test_an_endpoint_set_to_nothing_is_none() -> None:
    assert read(AWS_ENDPOINT_URL="", AWS_ENDPOINT_URL_S3="", AWS_ENDPOINT_URL_SQS="").path_style is False


@pytest.mark.parametrize("ignoring", ["true", "TRUE"])
def test_endpoints_that_botocore_ignores_are_neither_taken_nor_refused(ignoring: str) -> None:
    found = read(AWS_ENDPOINT_URL="localhost:1", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=ignoring)
    assert not found.path_style
    found = read(AWS_ENDPOINT_URL_S3="http://a", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=ignoring)
    assert not found.path_style
    assert read(AWS_ENDPOINT_URL="http://a", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="false").path_style


@pytest.mark.parametrize("ignoring", ["1", "yes", " true"])
def test_a_wish_to_ignore_endpoints_that_botocore_takes_for_none_is_refused(ignoring: str) -> None:
    said = problem(AWS_ENDPOINT_URL="http://a", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=ignoring)
    assert "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is neither true nor false" in said


# The queue


@pytest.mark.parametrize(
    "url",
    [
        "arn:aws:sqs:us-east-1:123456789012:oam-status", "arn:aws-cn:sqs:cn-north-1:123456789012:oam-status", "oam-status",
        "oam-status.fifo", "123456789012/oam-status", "/123456789012/oam-status", "//sqs.us-east-1.amazonaws.com/1/q",
        "sqs.us-east-1.amazonaws.com/123456789012/oam-status", "https://sqs.us-east-1.amazonaws.com",
        "https://sqs.us-east-1.amazonaws.com/", "https://sqs..amazonaws.com/1/q", "sqs://host/1/q",
        "https://us-east-1.console.aws.amazon.com/sqs/v3/home?region=us-east-1#/queues/https%3A%2F%2Fsqs.us-east-1.amazonaws.com%2F1%2Fq",
    ],
)  # fmt: skip
def test_a_queue_that_is_no_url_is_refused_at_the_start(url: str) -> None:
    assert "OAM_STATUS_SQS_QUEUE_URL is not a queue's http(s):// URL" in problem(OAM_STATUS_SQS_QUEUE_URL=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://sqs.us-east-1.amazonaws.com/123456789012/oam-status", "https://queue.amazonaws.com/123456789012/q.fifo",
        "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "http://127.0.0.1:4577/123456789012/oam-status",
        "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q", "http://elastic_mq:9324/q", "https://sqs.us-east-1.amazonaws.com/X",
    ],
)  # fmt: skip
def test_the_urls_of_queues_are_taken(url: str) -> None:
    assert read(OAM_STATUS_SQS_QUEUE_URL=url).queue_url == url


# Hosts


@pytest.mark.parametrize(
    "host",
    [
        "api..openaerialmap.org", ".openaerialmap.org", "openaerialmap.org..", ".", "..", "a" * 64, "api." + "a" * 64 + ".org",
        ".".join(["a" * 49] * 5) + ".org1", "-api.org", "api-.org", "api.-org", "api.org-", "a%20b", "a%2fb", "a,b", "a;b",
        "a'b", "a*b", "*.org", "a\\b", "a|b", "(a)", "a~b", "a:b:80", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.04", "api.1",
        "[::1", "::1", "[::g]", "[1.2.3.4]", "[v1.a]", "[::1]x", "x[::1]", "[]", "\u00e9..org", "\u00e9" * 64 + ".org", "\u2603.net", "a\u3002\u3002b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["OAM_CATALOG_URL", "OAM_TILES_URL"])
def test_a_host_that_can_be_none_is_refused(name: str, host: str) -> None:
    """Else it is a ConnectionError, or an error of a library of its own, in each finished job."""
    for url in (f"https://{host}", f"http://{host}/v1"):
        assert f"{name} is not an http(s):// URL" in problem(**{name: url})


@pytest.mark.parametrize(
    "host",
    [
        "api.openaerialmap.org", "API.ORG", "localhost", "a", "1a", "a.b.c.d.e", "a--b", "a_b", "_a.b", "xn--80aajzhsz.example",
        "a" * 63 + ".org", ".".join(["a" * 49] * 5) + ".org", ".".join(["a" * 49] * 5) + ".org.", "api.org.", "1.2.3.4", "[::1]",
        "[2001:db8::1]", "host.docker.internal", "api.org:8080", "[::1]:8080", "3.org", "a.xn--p1ai",
        "\u043a\u0430\u0442\u0430\u043b\u043e\u0433.example", "stra\u00dfe.de",
    ],
)  # fmt: skip
def test_a_host_is_taken_as_requests_takes_it(host: str) -> None:
    url = f"https://{host}"
    assert requests.Request("POST", url).prepare().url
    assert read(OAM_CATALOG_URL=url).catalog_url == url
    assert read(OAM_TILES_URL=url).tiles_base == url


# CA bundles

BUNDLES = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_ca_bundle_that_is_not_there_or_none_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    """Else each call of AWS, and each of the catalog, fails with an error of its own, much later."""
    (tmp_path / "empty").touch()
    (tmp_path / "key").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    for value in ("missing", "empty", "key", "missing/ca.pem", "a\x00b", " " + certifi.where()):
        path = value if value.strip() != value else str(tmp_path / value)
        assert f"{name} is not a readable bundle of CA certificates" in problem(**{name: path})


@pytest.mark.parametrize("name", BUNDLES)
def test_a_ca_bundle_is_taken(name: str) -> None:
    assert read(**{name: certifi.where()}) == read()


def test_all_bad_bundles_are_named_at_once() -> None:
    said = problem(**dict.fromkeys(BUNDLES, "/missing"))
    assert all(f"{name} is not a readable bundle of CA certificates" in said for name in BUNDLES)
    assert "/missing" not in said


def test_a_directory_is_a_bundle_to_requests_and_none_to_botocore(tmp_path: Path) -> None:
    path, file = str(tmp_path), certifi.where()
    assert read(CURL_CA_BUNDLE=path) == read()
    assert "AWS_CA_BUNDLE is not" in problem(AWS_CA_BUNDLE=path)
    # botocore reads this one, too, unless it has its own
    assert "REQUESTS_CA_BUNDLE is not" in problem(REQUESTS_CA_BUNDLE=path)
    assert read(REQUESTS_CA_BUNDLE=path, AWS_CA_BUNDLE=file) == read()


@pytest.mark.parametrize("value", ["", " "])
def test_a_bundle_set_to_nothing_is_refused_where_botocore_refuses_it(value: str) -> None:
    assert "AWS_CA_BUNDLE is not" in problem(AWS_CA_BUNDLE=value)
    assert "REQUESTS_CA_BUNDLE is not" in problem(REQUESTS_CA_BUNDLE=value)
    assert read(REQUESTS_CA_BUNDLE="", AWS_CA_BUNDLE=certifi.where(), CURL_CA_BUNDLE="") == read()


def problems(**variables: str | None) -> list[str]:
    """Return what is said of each variable."""
    said = problem(**variables)
    assert said.startswith("The settings are incomplete or wrong: ")
    assert said.endswith(".")
    return said.removeprefix("The settings are incomplete or wrong: ").removesuffix(".").split("; ")


def test_each_problem_is_said_by_itself_and_all_at_once() -> None:
    needed = ["AWS_DEFAULT_REGION", "OAM_STATUS_BUCKET", "OAM_STATUS_PREFIX", "OAM_API_TOKEN"]
    assert problems(**dict.fromkeys(needed)) == [
        "AWS_DEFAULT_REGION is not set",
        "OAM_STATUS_BUCKET is not set",
        "OAM_STATUS_PREFIX is not set",
        "OAM_API_TOKEN is not set, nor OAM_API_TOKEN_SECRET_ARN (MOCK_OAM_API=true does without)",
    ]
    assert problems(
        OAM_STATUS_BUCKET="A b",
        OAM_STATUS_PREFIX="a/../b",
        OAM_STATUS_SQS_QUEUE_URL="name",
        OAM_CATALOG_URL="x",
        OAM_TILES_URL="x",
        OAM_API_TOKEN="a\nb",
        MOCK_OAM_API="x",
        AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="x",
    ) == [
        "OAM_STATUS_BUCKET is not a bucket's name",
        "OAM_STATUS_PREFIX has '.' or '..' between slashes, or an unprintable character",
        "OAM_STATUS_SQS_QUEUE_URL is not a queue's http(s):// URL (its ARN or name is not enough)",
        "OAM_CATALOG_URL is not an http(s):// URL of a possible host, without user, query and fragment",
        "OAM_TILES_URL is not an http(s):// URL of a possible host, without user, query and fragment",
        "OAM_API_TOKEN has a character that can't stand in an HTTP header",
        "MOCK_OAM_API is neither true nor false",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is neither true nor false",
    ]

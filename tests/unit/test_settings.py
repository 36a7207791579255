"""The environment: all that is wrong with it is said at once, and no secret with it."""

import pytest

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
        endpoint_url=None,
        bucket="status-bucket",
        prefix="status",
        catalog_url="https://api.openaerialmap.org",
        token="s3cret-token",
        queue_url=None,
        token_secret=None,
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
    "url", ["catalog", "ftp://host", "http://", "https://u:p@host", "https://host?q", "https://host#f", "https://host:x", "https://a b", "https://h/\n"]
)  # fmt: skip
@pytest.mark.parametrize("name", ["OAM_CATALOG_URL", "OAM_TILES_URL"])
def test_what_is_no_base_url_is_refused(name: str, url: str) -> None:
    if url.strip() != url:
        url += "x"
    assert f"{name} is not an http(s):// URL" in problem(**{name: url})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "https://api.example.org/v1/", "https://[::1]:8080/x"]
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


def test_an_endpoint_for_s3_alone_comes_before_the_one_for_all() -> None:
    assert read(AWS_ENDPOINT_URL="http://a", AWS_ENDPOINT_URL_S3="http://b").endpoint_url == "http://b"
    assert read(AWS_ENDPOINT_URL="http://a").endpoint_url == "http://a"

"""Where tiles are: every sentence of the rule."""

import pytest

from handler.tiles import MAX_TARGET_BYTES, tile_json, tiles_url


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("s3://oam-tiles/test-job", "https://oam-tiles.s3.amazonaws.com/test-job"),
        ("s3n://oam-tiles/test-job", "https://oam-tiles.s3.amazonaws.com/test-job"),
        ("s3a://oam-tiles/test-job", "https://oam-tiles.s3.amazonaws.com/test-job"),
        ("S3A://oam-tiles/test-job", "https://oam-tiles.s3.amazonaws.com/test-job"),
        # dots are not covered by the wildcard certificate
        ("s3://tiles.example.org/a/b", "https://s3.amazonaws.com/tiles.example.org/a/b"),
        ("s3://tiles.example.org", "https://s3.amazonaws.com/tiles.example.org"),
        # slashes
        ("s3://oam-tiles/test-job///", "https://oam-tiles.s3.amazonaws.com/test-job"),
        ("s3://oam-tiles/", "https://oam-tiles.s3.amazonaws.com"),
        ("s3://oam-tiles", "https://oam-tiles.s3.amazonaws.com"),
        # a key is not a URL
        ("s3://buk/a b?c#d%20é", "https://buk.s3.amazonaws.com/a%20b%3Fc%23d%2520%C3%A9"),
        ("s3://buk/{z}/{x}", "https://buk.s3.amazonaws.com/%7Bz%7D/%7Bx%7D"),
        # used as it is
        ("http://tiles.example.org/a", "http://tiles.example.org/a"),
        ("https://Tiles.example.org:8080/A?v=1", "https://Tiles.example.org:8080/A?v=1"),
        ("https://tiles.example.org/a/", "https://tiles.example.org/a"),
        # a slash at the end goes, and nothing else
        ("s3://oam/TEX/", "https://oam.s3.amazonaws.com/TEX"),
    ],
)
def test_a_target_is_served_at(target: str, url: str) -> None:
    assert tiles_url(target) == url


@pytest.mark.parametrize(
    "bucket",
    ["Oam-Tiles", "oam-tileS", "oam_tiles", "_oam", "oam-tiles-", "-oam-tiles", "oam.tiles", "oam-tiles.", ".oam", "192.168.5.4",
     "o" * 64, "o" * 255, "oa", "o", "OAM_Tiles.-"],
)  # fmt: skip
def test_a_bucket_whose_name_is_no_host_name_is_not_made_one(bucket: str) -> None:
    """DNS knows no case: what is OAM-Tiles in a host name is the bucket oam-tiles, perhaps another owner's."""
    assert tiles_url(f"s3://{bucket}/Up") == f"https://s3.amazonaws.com/{bucket}/Up"
    assert tiles_url(f"s3a://{bucket}") == f"https://s3.amazonaws.com/{bucket}"


@pytest.mark.parametrize("bucket", ["oam", "oam-tiles", "0--0", "o" * 63, "xn--oam"])
def test_a_bucket_whose_name_is_a_lower_case_dns_label_is_a_host_name(bucket: str) -> None:
    assert tiles_url(f"s3://{bucket}/Up") == f"https://{bucket}.s3.amazonaws.com/Up"


@pytest.mark.parametrize(
    "target",
    [None, 3, [], "", "/mnt/tiles", "tiles", "file:///mnt", "ftp://host/a", "s3:/b/k", "s3://", "s3:///k", "s3x://b/k",
     "s3://key:secret@bucket/k", "s3://../k", "s3://./k", "http://", "https:///a", "http://a b/", "http://a/b c", "s3://b/a\nb",
     "s3://b/\ud800", "s3://b/" + "k" * 1_100, "s3://b/" + "é" * 600],
)  # fmt: skip
def test_nobody_could_fetch_tiles_from(target: object) -> None:
    assert tiles_url(target) is None


def test_a_target_may_have_its_greatest_length_and_no_byte_more() -> None:
    longest = "https://t.example.org/".ljust(MAX_TARGET_BYTES, "k")
    assert tiles_url(longest) == longest
    assert tiles_url(longest + "k") is None


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("s3://oam-tiles/a/b/", "https://cdn.example.org/a/b"),
        ("s3n://dotted.bucket/a", "https://cdn.example.org/a"),
        ("s3://oam-tiles", "https://cdn.example.org"),
        ("http://elsewhere/a", "http://elsewhere/a"),
    ],
)
def test_a_cdn_replaces_scheme_host_and_bucket_of_an_s3_target(target: str, url: str) -> None:
    assert tiles_url(target, "https://cdn.example.org") == url


def test_a_tilejson_is_what_map_pages_and_the_api_expect() -> None:
    assert tile_json("j", "https://b.s3.amazonaws.com/k") == {
        "tilejson": "2.1.0",
        "name": "OAM Server Mosaic j",
        "attribution": "<a href='http://github.com/openimagerynetwork/'>OIN contributors</a>",
        "scheme": "xyz",
        "tiles": ["https://b.s3.amazonaws.com/k/{z}/{x}/{y}.png"],
    }

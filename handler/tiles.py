"""Where a job's tiles are: from the tiler's target to a tile URL and a TileJSON (pure)."""

import re
from typing import Any
from urllib.parse import quote

# An S3 key has at most 1,024 bytes and a bucket name 63
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html); the rest is for the scheme.
MAX_TARGET_BYTES = 1_100

# Spark writes s3n:// and s3a:// for s3://. All that follows the bucket is the key, with `?` and `#`: S3 takes
# them for ordinary characters.
_S3_TARGET = re.compile(
    r"s3[na]?://(?P<bucket>(?!\.+(?:/|$))[A-Za-z0-9._-]+)(?:/(?P<key>.*))?", re.IGNORECASE
)

# The bucket names that can be part of a host name, by botocore's rule (`check_dns_name`): a label has no
# other characters, DNS ignores case, and the certificate of *.s3.amazonaws.com covers one label only. Old
# buckets of us-east-1 have other names
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html).
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_HTTP_TARGET = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)


def tiles_url(target: object, tiles_base: str | None = None) -> str | None:
    """Return the URL below which a job's tiles are served; None if no tiles can be fetched from its target.

    The tiler wrote to the target, for instance `s3://oam-tiles/test-job`. `tiles_base`, without a trailing
    slash as the result, replaces scheme, host and bucket of an S3 target (a CDN).
    """
    if not isinstance(target, str) or not target.isprintable() or len(target.encode()) > MAX_TARGET_BYTES:
        return None
    target = target.rstrip("/")
    if _HTTP_TARGET.fullmatch(target):
        return target
    match = _S3_TARGET.fullmatch(target)
    if not match:
        return None
    bucket, key = match["bucket"], match["key"]
    if tiles_base is not None:
        base = tiles_base
    elif _HOST_LABEL.fullmatch(bucket):
        base = f"https://{bucket}.s3.amazonaws.com"
    else:
        base = f"https://s3.amazonaws.com/{bucket}"
    return f"{base}/{quote(key)}" if key else base


def tiles_template(url: str) -> str:
    """Return the URI by which the catalog knows a job, a tile's URL with its place left open.

    `url` is what `tiles_url` returns.
    """
    return f"{url}/{{z}}/{{x}}/{{y}}.png"


def tile_json(job_id: str, url: str) -> dict[str, Any]:
    """Return a finished job's TileJSON (https://github.com/mapbox/tilejson-spec/tree/master/2.1.0).

    `url` is what `tiles_url` returns.
    """
    return {
        "tilejson": "2.1.0",
        "name": f"OAM Server Mosaic {job_id}",
        "attribution": "<a href='http://github.com/openimagerynetwork/'>OIN contributors</a>",
        "scheme": "xyz",
        "tiles": [tiles_template(url)],
    }

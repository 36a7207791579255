"""Where a job's tiles are: from the tiler's target to a tile URL and a TileJSON (pure)."""

import re
from typing import Any
from urllib.parse import quote

# An S3 key has at most 1,024 bytes and a bucket name 63
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html); the rest is for the scheme.
MAX_TARGET_BYTES = 1_100

# Spark writes s3n:// and s3a:// for what everybody else calls s3://. The key is all that follows,
# `?` and `#` included: to S3 they are ordinary characters.
_S3_TARGET = re.compile(
    r"s3[na]?://(?P<bucket>(?!\.+(?:/|$))[A-Za-z0-9._-]+)(?:/(?P<key>.*))?", re.IGNORECASE
)

# The bucket names that can be part of a host name, as botocore has it (`check_dns_name`): its labels have no
# other characters, DNS knows no case, and the certificate of *.s3.amazonaws.com covers one label only. Old
# buckets of us-east-1 have other names
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html).
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_HTTP_TARGET = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)


def tiles_url(target: object, tiles_base: str | None = None) -> str | None:
    """Give the URL below which a job's tiles are served.

    Args:
        target: what the tiler says it wrote to, for instance `s3://oam-tiles/test-job`.
        tiles_base: what to put in place of scheme, host and bucket of an S3 target (a CDN), without a
            trailing slash.

    Returns:
        The URL without a trailing slash, or None if nobody could fetch tiles from this target.
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


def tile_json(job_id: str, url: str) -> dict[str, Any]:
    """Describe a finished job's tiles (https://github.com/mapbox/tilejson-spec/tree/master/2.1.0).

    Args:
        job_id: the job.
        url: where its tiles are, as `tiles_url` gives it.

    Returns:
        A TileJSON 2.1.0 object; its only `tiles` entry is the URI under which the catalog knows the job.
    """
    return {
        "tilejson": "2.1.0",
        "name": f"OAM Server Mosaic {job_id}",
        "attribution": "<a href='http://github.com/openimagerynetwork/'>OIN contributors</a>",
        "scheme": "xyz",
        "tiles": [f"{url}/{{z}}/{{x}}/{{y}}.png"],
    }

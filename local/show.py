"""`make show`: prints all jobs of the status bucket, or one job's status object (`make show JOB=test-job`).

Of the bucket that .env or the environment names; else of `make start`'s embedded stack.
"""

import argparse
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from local.aws_server import HOST
from local.configuration import load_env_file, region
from local.embedded import BUCKET, PORT, PREFIX, leave_aws, s3_client
from local.jobs import read_jobs

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def main() -> int:
    """Print.

    Returns:
        The exit code: 0 if there was something to print, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m local.show", description=__doc__)
    parser.add_argument("job", nargs="?", help="the jobId; without it: all jobs, a line each")
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded stack (default: %(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make show | head` is no error
    load_env_file()
    try:
        s3, bucket, prefix = find_bucket(arguments.port)
        jobs = read_jobs(s3, bucket, prefix)
    except EndpointConnectionError as error:
        print(f"{error} `make start` in another terminal starts the embedded stack.", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError, ValueError) as error:
        print(f"Reading the bucket failed: {error}", file=sys.stderr)
        return 1
    if arguments.job:
        jobs = {job_id: status for job_id, status in jobs.items() if job_id == arguments.job}
    if not jobs:
        print(f"No status object in s3://{bucket}/{prefix}", file=sys.stderr)
        return 1
    for job_id, status in jobs.items():
        print(json.dumps(status, indent=2, ensure_ascii=False) if arguments.job else _line(job_id, status))
    return 0


def _line(job_id: str, status: dict[str, Any]) -> str:
    catalog = status.get("catalog", {}).get("state", "-")
    attempt = status.get("attempt", "-")
    return f"{job_id:<24} {status['stage']:<8} {status['status']:<8} attempt {attempt}  catalog {catalog}"


def find_bucket(port: int) -> tuple["S3Client", str, str]:
    """Give the status bucket that the environment names, else the embedded stack's: client, name and prefix.

    Args:
        port: of the embedded stack.
    """
    if os.environ.get("OAM_STATUS_BUCKET", "").strip():
        s3 = boto3.client("s3", region_name=region(os.environ))
        return s3, os.environ["OAM_STATUS_BUCKET"].strip(), os.environ.get("OAM_STATUS_PREFIX", "").strip()
    leave_aws()
    return s3_client(f"http://{HOST}:{port}"), BUCKET, PREFIX


if __name__ == "__main__":
    sys.exit(main())

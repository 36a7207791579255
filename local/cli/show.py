"""`make show`: prints all jobs of the status bucket, or one job's status object (`make show JOB=test-job`).

Of the bucket that .env or the environment names (it needs OAM_STATUS_BUCKET and OAM_STATUS_PREFIX); else of
`make start`'s embedded stack. An object that is no status object is a line with its key and what is wrong.
"""

import argparse
import json
import signal
import sys

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.configuration import find_stack
from local.cli.jobs import Found, find_job, find_jobs
from local.cli.target import MISCONFIGURED, ConfigurationError, Part, Target
from local.cli.text import printable
from local.stack.embedded import PORT


def main() -> int:
    """Print.

    Returns:
        The exit code: 0 if there was something to print, else 1; 2 if it is not clear which stack is meant.
    """
    parser = argparse.ArgumentParser(prog="python -m local.cli.show", description=__doc__)
    parser.add_argument("job", nargs="?", help="the jobId; without it: all jobs, a line each")
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded stack (default: %(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make show | head` is no error
    try:
        target = find_stack(Part.BUCKET, arguments.port)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    try:
        return _show_one(target, arguments.job) if arguments.job else _show_all(target)
    except (BotoCoreError, ClientError) as error:
        print(f"Reading the bucket failed: {target.explain(error)}", file=sys.stderr)
        return 1


def _show_one(target: Target, job_id: str) -> int:
    found = find_job(target.s3, target.bucket, target.prefix, job_id)
    if found.problem:
        print(f"s3://{target.bucket}/{printable(found.key, 1100)}: {found.problem}", file=sys.stderr)
    if found.status is None:
        return 1
    print(_as_json(found.status))
    return 0


def _as_json(status: dict[str, object]) -> str:
    text = json.dumps(status, indent=2, ensure_ascii=False)
    # Half a surrogate pair can't be encoded, and stands as its escape.
    return text.encode(errors="backslashreplace").decode()


def _show_all(target: Target) -> int:
    number = 0
    for found in find_jobs(target.s3, target.bucket, target.prefix):
        number += 1
        if found.status is not None:
            print(_line(found))
        if found.problem:
            print(f"{printable(found.key, 1100)}: {printable(found.problem, 300)}")
    if not number:
        print(f"No status object in s3://{target.bucket}/{target.prefix}", file=sys.stderr)
    return 0 if number else 1


def _line(found: Found) -> str:
    status = found.status or {}
    catalog, attempt = status.get("catalog"), status.get("attempt")
    state = catalog.get("state", "-") if isinstance(catalog, dict) else "-"
    shown = attempt if isinstance(attempt, int) else "-"
    stage, name = printable(status["stage"], 8), printable(status["status"], 8)
    job = f"{printable(found.job_id, 256):<24} {stage:<8} {name:<8} attempt {shown}"
    return f"{job}  catalog {printable(str(state), 20)}"


if __name__ == "__main__":
    sys.exit(main())

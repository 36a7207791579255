"""`make send EVENT=events/x.json`: puts an event file's messages on the queue.

On the queue that .env or the environment names; else on that of `make start`'s embedded stack. In the order
of their SentTimestamps, because SQS gives them new ones and these are the only clock.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.configuration import load_env_file
from local.embedded import PORT
from local.queues import NoQueue, find_queue


class SendError(Exception):
    """Raised when the messages can't be sent; its text is for the person who asked."""


def main() -> int:
    """Send.

    Returns:
        The exit code: 0 if all messages were sent, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m local.send", description=__doc__)
    parser.add_argument("event", type=Path, help="file of an SQS event, for instance events/full-job.json")
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded stack (default: %(default)s)")
    parser.add_argument(
        "--bodies",
        action="store_true",
        help="only print the messages' bodies, each ended by a NUL (xargs -0)",
    )
    arguments = parser.parse_args()
    load_env_file()
    try:
        bodies = read_bodies(arguments.event)
        if arguments.bodies:
            print(*bodies, sep="\0", end="\0")
            return 0
        sqs, queue_url = find_queue(arguments.port)
        for body in bodies:
            answer = sqs.send_message(QueueUrl=queue_url, MessageBody=body)
            print(f"sent {answer['MessageId']}  {body if len(body) <= 100 else body[:99] + '…'}")
    except (NoQueue, SendError) as error:
        print(error, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError, ValueError) as error:
        print(f"Sending failed: {error}", file=sys.stderr)
        return 1
    return 0


def read_bodies(path: Path) -> list[str]:
    """Read the bodies of an event file's messages.

    Args:
        path: the file.

    Returns:
        The bodies in the order of their SentTimestamps.

    Raises:
        SendError: when there is no such file, or it is no SQS event.
    """
    try:
        event = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SendError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SendError(f"{path} is not JSON: {error}") from error
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list) or not all(_is_record(record) for record in records):
        raise SendError(f"{path} is not an SQS event: it has no list of Records from aws:sqs with bodies")
    return [record["body"] for record in sorted(records, key=_sent)]


def _is_record(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and record.get("eventSource") == "aws:sqs"
        and isinstance(record.get("body"), str)
        and isinstance(record.get("attributes"), dict)
        and str(record["attributes"].get("SentTimestamp", "")).isdecimal()
    )


def _sent(record: dict[str, Any]) -> int:
    return int(record["attributes"]["SentTimestamp"])


if __name__ == "__main__":
    sys.exit(main())

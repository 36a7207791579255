"""`make redrive`: sends what is in the dead-letter queue back to the queue, and shows how far it is.

For the queue that .env or the environment names; else for `make start`'s embedded stack. With SQS's own
StartMessageMoveTask; on a server without that call (moto) message by message from here. What comes back has
new messageIds and new times; the function is made for that. Ctrl-C ends it; what has moved has moved.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from local.configuration import load_env_file
from local.embedded import PORT
from local.queues import NoQueue, attribute, find_dead_letter_queue, find_queue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

FASTEST = 500  # messages a second: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html

Progress = Callable[[int, int], None]  # told how many have moved, of how many


class RedriveFailed(Exception):
    """Raised when SQS ended the move before all messages had moved."""


def main() -> int:
    """Redrive.

    Returns:
        The exit code: 0 if all that was there has moved, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m local.redrive", description=__doc__)
    parser.add_argument(
        "--rate", type=_rate, help=f"messages a second, up to {FASTEST} (default: as fast as SQS likes)"
    )
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded stack (default: %(default)s)")
    arguments = parser.parse_args()
    load_env_file()
    try:
        sqs, queue_url = find_queue(arguments.port)
        moved = redrive(sqs, queue_url, arguments.rate, show_progress)
    except KeyboardInterrupt:
        print("Stopped. `make redrive` goes on with what is left.", file=sys.stderr)
        return 1
    except (NoQueue, RedriveFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(f"The redrive failed: {error}", file=sys.stderr)
        return 1
    print(f"Moved {moved} messages back to {queue_url}" if moved else "The dead-letter queue is empty.")
    return 0


def show_progress(moved: int, total: int) -> None:
    """Print a line."""
    print(f"    moved {moved} of {total}", flush=True)


def redrive(
    sqs: "SQSClient", queue_url: str, rate: int | None, progress: Progress, interval: float = 1.0
) -> int:
    """Move all dead letters back to their queue.

    Args:
        sqs: the queue's client.
        queue_url: the queue that they came from.
        rate: messages a second at the most; None as fast as it goes.
        progress: told whenever some have moved.
        interval: the seconds from one look to the next.

    Returns:
        How many have moved.

    Raises:
        NoQueue: when the queue has no dead-letter queue.
        RedriveFailed: when SQS gave up.
    """
    dead_letter_url, arn = find_dead_letter_queue(sqs, queue_url)
    count = int(attribute(sqs, dead_letter_url, "ApproximateNumberOfMessages"))
    if not count:
        return 0
    try:
        limit = {"MaxNumberOfMessagesPerSecond": rate} if rate else {}
        task = sqs.start_message_move_task(SourceArn=arn, **limit)["TaskHandle"]  # type: ignore[arg-type]
    except ClientError:
        if _is_aws(sqs):
            raise
        return _move(sqs, dead_letter_url, queue_url, rate, progress)
    try:
        return _watch(sqs, arn, count, progress, interval)
    except KeyboardInterrupt:
        sqs.cancel_message_move_task(TaskHandle=task)
        raise


def _is_aws(sqs: "SQSClient") -> bool:
    return (urlsplit(sqs.meta.endpoint_url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _watch(sqs: "SQSClient", arn: str, count: int, progress: Progress, interval: float) -> int:
    """Follow the newest move to its end."""
    before = -1
    while True:
        task = sqs.list_message_move_tasks(SourceArn=arn, MaxResults=1)["Results"][0]
        moved = task.get("ApproximateNumberOfMessagesMoved", 0)
        if moved != before:
            progress(moved, max(task.get("ApproximateNumberOfMessagesToMove", count), moved))
            before = moved
        if task["Status"] == "COMPLETED":
            return moved
        if task["Status"] in {"FAILED", "CANCELLED"}:
            why = task.get("FailureReason", "")
            raise RedriveFailed(f"The move ended as {task['Status']} after {moved} messages. {why}".rstrip())
        time.sleep(interval)


def _move(sqs: "SQSClient", source: str, target: str, rate: int | None, progress: Progress) -> int:
    """Move messages one by one: sent before it is deleted, a message may come twice but is never lost.

    As many as there are now and no more: poison is back in the dead-letter queue within milliseconds.
    """
    total = int(attribute(sqs, source, "ApproximateNumberOfMessages"))
    began, moved = time.monotonic(), 0
    for body, receipt in islice(_receive(sqs, source), total):
        sqs.send_message(QueueUrl=target, MessageBody=body)
        sqs.delete_message(QueueUrl=source, ReceiptHandle=receipt)
        moved += 1
        if moved % 10 == 0:
            progress(moved, total)
        if rate:
            time.sleep(max(0.0, began + moved / rate - time.monotonic()))
    if moved % 10:
        progress(moved, total)
    return moved


def _receive(sqs: "SQSClient", source: str) -> Iterator[tuple[str, str]]:
    while messages := sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
        "Messages"
    ):
        for message in messages:
            yield message["Body"], message["ReceiptHandle"]


def _rate(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {FASTEST}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

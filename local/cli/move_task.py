"""SQS's own move of all dead letters: started, followed to its end by its handle, and stopped.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

FASTEST = 500  # messages a second
LISTED = 10  # moves that SQS lists at the most: those of late
LONGEST_UNLISTED = 30  # looks at the list without the move in it

# A server's ways to say that it does not know a call: AWS's own, by JSON and by the older protocol, moto's
# and LocalStack's (501), and ElasticMQ's before 1.6 (404, and no code in it). A denied call is none of them.
_UNKNOWN_CODES = frozenset({"UnknownOperationException", "UnknownOperation", "InvalidAction", "404"})
_UNKNOWN_STATUS = 501

# What SQS answers to the cancelling of a move that has ended.
_HAS_ENDED = frozenset({"ResourceNotFoundException", "UnsupportedOperation"})

Progress = Callable[[int, int], None]  # told how many have moved, of how many


class MoveFailed(click.ClickException):
    """Raised when a move ended before all was moved, or can't be followed or stopped."""


class UnknownCall(Exception):
    """Raised when the server does not know SQS's own move."""


@dataclass(frozen=True, slots=True)
class _Move:
    """A move that was started.

    Attributes:
        handle: its TaskHandle.
        earlier: when those moves were started that were listed before it.
    """

    handle: str
    earlier: frozenset[object]


def move_all(
    sqs: "SQSClient", source_arn: str, count: int, rate: int | None, progress: Progress, interval: float = 1.0
) -> int:
    """Have SQS move all messages of a dead-letter queue to where they came from.

    It is stopped when as many were moved as there were at the start: what fails at once comes back at once,
    and would be moved for ever.

    Args:
        sqs: the queue's client.
        source_arn: the dead-letter queue.
        count: how many messages are there.
        rate: messages a second at the most; None as fast as SQS likes.
        progress: told whenever some have moved.
        interval: the seconds from one look to the next.

    Returns:
        How many have moved.

    Raises:
        UnknownCall: when the server does not know the call.
        MoveFailed: when the move ended before its time.
        ClientError: when SQS refuses it.
    """
    move = _start(sqs, source_arn, rate)
    try:
        return _follow(sqs, source_arn, move, count, progress, interval)
    except (KeyboardInterrupt, BotoCoreError, ClientError):
        _stop(sqs, move)
        raise


def _start(sqs: "SQSClient", source_arn: str, rate: int | None) -> _Move:
    limit: Any = {"MaxNumberOfMessagesPerSecond": rate} if rate else {}
    try:
        earlier = frozenset(task.get("StartedTimestamp") for task in _listed(sqs, source_arn))
        return _Move(sqs.start_message_move_task(SourceArn=source_arn, **limit)["TaskHandle"], earlier)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == _UNKNOWN_STATUS or error.response.get("Error", {}).get("Code") in _UNKNOWN_CODES:
            raise UnknownCall(str(error)) from error
        raise


def _follow(
    sqs: "SQSClient", source_arn: str, move: _Move, count: int, progress: Progress, interval: float
) -> int:
    shown, unlisted, started = -1, 0, None
    while unlisted < LONGEST_UNLISTED:
        task = _find(_listed(sqs, source_arn), move, started)
        if task is None:
            unlisted += 1
            time.sleep(interval)
            continue
        started = task.get("StartedTimestamp")
        moved: int = task.get("ApproximateNumberOfMessagesMoved", 0)
        if moved != shown:
            progress(moved, max(count, moved))
            shown = moved
        if task["Status"] == "COMPLETED":
            return moved
        if task["Status"] in {"FAILED", "CANCELLED"}:
            why = task.get("FailureReason", "")
            raise MoveFailed(f"The move ended as {task['Status']} after {moved} messages. {why}".rstrip())
        if moved >= count:
            _stop(sqs, move)
            return moved
        time.sleep(interval)
    _stop(sqs, move)
    raise MoveFailed(f"SQS does not list the move that it started, and it was stopped: {move.handle}")


def _listed(sqs: "SQSClient", source_arn: str) -> list[dict[str, Any]]:
    answer = sqs.list_message_move_tasks(SourceArn=source_arn, MaxResults=LISTED)
    return [dict(task) for task in answer.get("Results", [])]


def _find(tasks: list[dict[str, Any]], move: _Move, started: object) -> dict[str, Any] | None:
    """Find a move among those that SQS lists.

    Only a running one is listed with its handle ("it is only populated for tasks that are in RUNNING status":
    API_ListMessageMoveTasksResultEntry). One that has ended is known by when it was started, which was seen
    while it ran; or, if it ended before it was seen, as the first that was not listed before.
    """
    for task in tasks:
        if task.get("TaskHandle") == move.handle:
            return task
    ended = [task for task in tasks if not task.get("TaskHandle")]
    if started is not None:
        return next((task for task in ended if task.get("StartedTimestamp") == started), None)
    new = [task for task in ended if task.get("StartedTimestamp") not in move.earlier]
    return min(new, key=lambda task: task.get("StartedTimestamp", 0), default=None)


def _stop(sqs: "SQSClient", move: _Move) -> None:
    try:
        sqs.cancel_message_move_task(TaskHandle=move.handle)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code", "").rpartition(".")[2] not in _HAS_ENDED:
            raise MoveFailed(f"SQS goes on with the move, which could not be stopped: {error}") from error
    except BotoCoreError as error:
        raise MoveFailed(f"SQS goes on with the move, which could not be stopped: {error}") from error

"""The messages that failed, in the log: a line for each job and reason."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from aws_lambda_powertools import Logger

from handler.messages import InvalidMessage
from handler.outcomes import CircuitOpen, RetryLater

MAX_ID_CHARACTERS = 200_000  # of all ids in a line: more would not fit into a line of the log


class Failure(NamedTuple):
    """A message that failed."""

    message_id: str
    job_id: str | None  # None where it was not understood
    error: Exception
    receive_count: int  # this time included
    retry_in: int | None  # seconds until it comes back; None: the queue did not take that


def log_failures(logger: Logger, failures: Iterable[Failure]) -> None:
    """Log each reason once for each job, with all messages that failed by it.

    What an open circuit holds back is one line for all jobs: they are many, and none of them is the reason.
    """
    alike: defaultdict[tuple[str | None, str, str], list[Failure]] = defaultdict(list)
    for failure in failures:
        job_id = None if isinstance(failure.error, CircuitOpen) else failure.job_id
        alike[job_id, type(failure.error).__name__, str(failure.error)].append(failure)
    for group in alike.values():
        for part in _parts(group):
            _log(logger, part)


def _parts(failures: Iterable[Failure]) -> Iterator[Sequence[Failure]]:
    """Yield failures in groups of as many as a line has room for."""
    part: list[Failure] = []
    room = MAX_ID_CHARACTERS
    for failure in failures:
        length = len(failure.message_id) + len(failure.job_id or "")
        if length > room:
            yield part
            part, room = [], MAX_ID_CHARACTERS
        part.append(failure)
        room -= length
    yield part


def _log(logger: Logger, failures: Sequence[Failure]) -> None:
    error = failures[0].error
    fields: dict[str, Any] = {
        "message_id": [failure.message_id for failure in failures],
        "receive_count": max(failure.receive_count for failure in failures),
        "error": type(error).__name__,
        "reason": str(error),
    }
    waits = [failure.retry_in for failure in failures if failure.retry_in is not None]
    if waits:
        fields["retry_in"] = min(waits)  # the first that comes back
    if isinstance(error, CircuitOpen):
        fields |= {"jobs": len(failures), "job_ids": [failure.job_id for failure in failures]}
    elif failures[0].job_id is not None:
        fields["job_id"] = failures[0].job_id
    if isinstance(error, InvalidMessage):
        logger.warning("Message refused", **fields)
    elif isinstance(error, RetryLater):
        logger.warning("Message failed", **fields)
    else:
        logger.error("Message failed unexpectedly", **fields, exc_info=error)

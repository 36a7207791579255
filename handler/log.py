"""The log: one JSON object a line, in ASCII, and no line longer than CloudWatch takes."""

import json
import logging
from bisect import bisect_right
from typing import Any

from aws_lambda_powertools import Logger

# In bytes. PutLogEvents takes 1 MB an event, and took 256 KB until April 2025 (in China it still does), with
# 26 bytes of its own: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
LONGEST_LINE = 256_000


def make_logger(service: str) -> Logger:
    """Make our own logger, and keep all others to warnings and errors.

    Lambda sets the root logger to its own level (AWS_LAMBDA_LOG_LEVEL), and at DEBUG botocore writes what it
    sends and gets: the catalog's token, the role's session token, every message. Powertools puts that level,
    and some variables, above what is asked of it; so our own level is set where Powertools gets it from, in
    Python's logger of the same name.

    Args:
        service: the logger's name.

    Returns:
        The logger, at INFO.
    """
    root = logging.getLogger()
    root.setLevel(max(root.level, logging.WARNING))
    for handler in root.handlers:  # for a logger that has a level of its own
        handler.setLevel(max(handler.level, logging.WARNING))
    # POWERTOOLS_DEBUG gives it a level and a handler of its own.
    logging.getLogger("aws_lambda_powertools").setLevel(logging.WARNING)
    # The warnings of urllib3 quote what a server sent, and the catalog may send the token back.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logger = Logger(
        service=service,
        level="CRITICAL",  # of a level below Lambda's it would warn; ours is set below
        sampling_rate=0,  # POWERTOOLS_LOGGER_SAMPLE_RATE would set the level anew at every invocation
        # Else Lambda takes every line for INFO, and drops our warnings where it keeps these alone:
        # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
        use_rfc3339=True,
        json_serializer=to_line,
    )
    logger.remove_keys(["sampling_rate"])
    logging.getLogger(service).propagate = False  # the root logger's handler would write each line again
    set_debug(logger, debug=False)
    return logger


def set_debug(logger: Logger, *, debug: bool) -> None:
    """Set a logger's level to DEBUG or INFO, whatever the environment says."""
    logging.getLogger(logger.name).setLevel(logging.DEBUG if debug else logging.INFO)


def to_line(entry: dict[str, Any]) -> str:
    """Write a log entry as one line of ASCII: what it quotes may hold what a terminal obeys, or no UTF-8.

    Args:
        entry: the entry's keys and values.

    Returns:
        The line. Where it would be too long, the longest values are cut, and become text if they are none.
    """
    line = _encode(entry)
    if len(line) <= LONGEST_LINE:
        return line
    sizes = {key: len(_encode(value)) for key, value in entry.items()}
    room = LONGEST_LINE - len(_encode(dict.fromkeys(entry, 0)))
    fitting = dict(entry)
    # What the shorter ones leave is the longer ones'.
    for done, key in enumerate(sorted(sizes, key=lambda key: sizes[key])):
        share = room // (len(sizes) - done)
        if sizes[key] > share:
            fitting[key] = _cut(entry[key], share)
        room -= min(sizes[key], share)
    return _encode(fitting)


def _cut(value: object, size: int) -> str:
    """Give the start of a value, of at most a number of bytes where it is written, and how long it was."""
    text = value if isinstance(value, str) else _encode(value)
    end = f"... ({len(text):,} characters)"
    text = text[:size]
    room = size - len(end)
    length = bisect_right(range(len(text)), room, key=lambda length: len(_encode(text[:length]))) - 1
    return text[: max(0, length)] + end


def _encode(value: object) -> str:
    return json.dumps(value, default=str, separators=(",", ":"))

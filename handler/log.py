"""The log: one JSON object a line, in ASCII, no line longer than CloudWatch takes."""

import json
import logging
from bisect import bisect_right
from typing import Any

from aws_lambda_powertools import Logger

# PutLogEvents takes 1 MB an event (256 KB until April 2025, and in China still), 26 bytes of it for itself:
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
MAX_LINE_BYTES = 256_000


def make_logger(service: str) -> Logger:
    """Make the function's logger, at INFO.

    Side effects, on the whole process: every other logger is limited to warnings, and urllib3's to errors;
    Python's logger of the same name gets its level set, and hands nothing on to the root logger.

    Lambda sets the root logger to its own level (AWS_LAMBDA_LOG_LEVEL), and at DEBUG botocore writes what it
    sends and gets: the catalog's token, the role's session token, every message. Powertools prefers that
    level, and some variables, to its arguments; so the level is set where Powertools gets it from.
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
        level="CRITICAL",  # it warns of a level below Lambda's; the real one is set below
        sampling_rate=0,  # POWERTOOLS_LOGGER_SAMPLE_RATE would set the level again at every invocation
        # Else Lambda takes every line for INFO, and drops the warnings where it keeps only these:
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
    """Return a log entry as one line of ASCII: what it quotes may control a terminal, or be no UTF-8.

    Lists and objects come last: CloudWatch Logs Insights finds 200 fields of a line, and each item is one
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html).
    Where the line would be too long, the longest values are truncated, and become text if they are none.
    """
    entry = dict(sorted(entry.items(), key=lambda field: isinstance(field[1], list | dict)))
    line = _encode(entry)
    if len(line) <= MAX_LINE_BYTES:
        return line
    sizes = {key: len(_encode(value)) for key, value in entry.items()}
    room = MAX_LINE_BYTES - len(_encode(dict.fromkeys(entry, 0)))
    fitting = dict(entry)
    # The longer values share what the shorter ones leave.
    for done, key in enumerate(sorted(sizes, key=lambda key: sizes[key])):
        share = room // (len(sizes) - done)
        if sizes[key] > share:
            fitting[key] = _truncated(entry[key], share)
        room -= min(sizes[key], share)
    return _encode(fitting)


def _truncated(value: object, size: int) -> str:
    """Return the start of a value and its length: at most `size` bytes when it is written."""
    text = value if isinstance(value, str) else _encode(value)
    end = f"... ({len(text):,} characters)"
    text = text[:size]
    room = size - len(end)
    length = bisect_right(range(len(text)), room, key=lambda length: len(_encode(text[:length]))) - 1
    return text[: max(0, length)] + end


def _encode(value: object) -> str:
    return json.dumps(value, default=str, separators=(",", ":"))

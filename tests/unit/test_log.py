"""The log's set-up and its lines."""

import json
import logging
import re
import sys
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from handler.log import MAX_LINE_BYTES, make_logger, set_debug, to_line
from tests.function import context

IDS = [str(uuid.UUID(int=number)) for number in range(10_000)]


class Kept(logging.Handler):
    """Keeps what it is given, as Lambda's handler at the root logger writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lambdas() -> Iterator[Kept]:
    """Set the root logger up as Lambda's runtime does at AWS_LAMBDA_LOG_LEVEL=DEBUG."""
    root, kept = logging.getLogger(), Kept()
    level, levels = root.level, {handler: handler.level for handler in root.handlers}
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(kept)
    root.setLevel(level)
    for handler, level in levels.items():
        handler.setLevel(level)


@pytest.fixture
def service() -> str:
    return f"log-{uuid.uuid4()}"  # Python keeps a logger for good


@pytest.mark.parametrize("own", [logging.NOTSET, logging.DEBUG])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "",
        "botocore.x",
        "boto3.x",
        "urllib3.x",
        "requests.x",
        "s3transfer.x",
        "aws_lambda_powertools.x",
        "py.x",
    ],
)
def test_no_other_logger_writes_below_warning(
    lambdas: Kept, service: str, name: str, own: int, later: bool
) -> None:
    name = name and f"{name}.{uuid.uuid4()}"

    def other() -> logging.Logger:
        logger = logging.getLogger(name)
        if name:
            logger.setLevel(own)
        return logger

    if not later:
        other()
    make_logger(service)
    logger = other()
    logger.debug("the token")
    logger.info("the token")
    assert lambdas.records == []
    logger.error("a fault")
    expected = [] if name.startswith("aws_lambda") else ["a fault"]  # Powertools keeps its own to itself
    assert [record.msg for record in lambdas.records] == expected


def test_a_handler_that_is_added_later_gets_nothing_below_warning(lambdas: Kept, service: str) -> None:
    make_logger(service)
    later = Kept()
    logging.getLogger().addHandler(later)
    logging.getLogger(f"botocore.{uuid.uuid4()}").info("the token")
    logging.getLogger().removeHandler(later)
    assert later.records == []


def test_a_stricter_level_of_lambdas_is_kept_for_others(lambdas: Kept, service: str) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    make_logger(service)
    logging.getLogger(f"other.{uuid.uuid4()}").warning("not asked for")
    assert lambdas.records == []


@pytest.mark.parametrize("name", ["AWS_LAMBDA_LOG_LEVEL", "POWERTOOLS_LOG_LEVEL", "LOG_LEVEL"])
@pytest.mark.parametrize(
    "value", ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "CRITICAL", "verbose", ""]
)
def test_our_level_is_ours_whatever_the_environment_says_and_nothing_warns_of_it(
    monkeypatch: pytest.MonkeyPatch, lambdas: Kept, service: str, name: str, value: str
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")
    monkeypatch.setenv("POWERTOOLS_LOGGER_SAMPLE_RATE", "1")
    monkeypatch.setenv(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logger = make_logger(service)
    assert logger.log_level == logging.INFO
    set_debug(logger, debug=True)
    assert logger.log_level == logging.DEBUG
    set_debug(logger, debug=False)
    assert logger.log_level == logging.INFO


def test_libraries_with_levels_of_their_own_are_limited_whatever_these_were(
    monkeypatch: pytest.MonkeyPatch, lambdas: Kept, service: str
) -> None:
    """At warnings urllib3 quotes what a server sent, the token among it; POWERTOOLS_DEBUG sets Powertools' own."""
    limits = {"urllib3": logging.ERROR, "aws_lambda_powertools": logging.WARNING}
    for name in limits:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    make_logger(service)
    assert {name: logging.getLogger(name).level for name in limits} == limits
    assert logging.getLogger().level == logging.WARNING


def test_no_invocation_is_sampled_for_debug(
    monkeypatch: pytest.MonkeyPatch, lambdas: Kept, service: str
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOGGER_SAMPLE_RATE", "1")
    logger = make_logger(service)

    @logger.inject_lambda_context
    def handle(event: dict[str, Any], context: Any) -> int:
        return logger.log_level

    # Powertools draws anew at each invocation but an instance's first.
    assert [handle({}, context()) for _ in range(3)] == [logging.INFO] * 3


def test_a_line_is_written_once_with_its_level_and_a_time_that_lambda_understands(
    monkeypatch: pytest.MonkeyPatch, lambdas: Kept, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lambda takes a line whose time is not RFC 3339 for INFO, and would drop a warning with the INFOs."""
    monkeypatch.setenv("POWERTOOLS_LOG_DEDUPLICATION_DISABLED", "true")
    make_logger(service).warning("said", job_id="j")
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert lambdas.records == []
    assert {name: found[name] for name in ("level", "message", "job_id")} == {
        "level": "WARNING",
        "message": "said",
        "job_id": "j",
    }
    assert "sampling_rate" not in found
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", found["timestamp"])


def test_what_holds_many_values_comes_last_for_insights_finds_200_fields_of_a_line() -> None:
    line = to_line({"message_id": ["a"] * 300, "reason": "why", "stack_trace": {"frames": []}, "lag_ms": 1})
    assert list(json.loads(line)) == ["reason", "lag_ms", "message_id", "stack_trace"]


def test_a_short_line_is_as_it_was_said() -> None:
    entry = {"message": "é\ud800\u2028\x1b", "ids": ["a"], "payload": {"b": None}, "error": KeyError("k")}
    assert json.loads(to_line(entry)) == entry | {"error": "'k'"}


HEAD = {"level": "INFO", "message": "Job status published", "timestamp": "now", "job_id": "j"}


@pytest.mark.parametrize(
    "long",
    [
        {"body": "x" * 1_048_576},
        {"body": "\n" * 1_048_576},
        {"body": '"\\' * 524_288},
        {"body": "é" * 524_288},
        {"body": "\U0001f30d" * 262_144},
        {"body": "\ud800" * 349_525},
        {"body": "a\U0001f30d\n\\é" * 100_000},
        {"message_id": IDS},
        {"payload": {"images": [{"uuid": f"http://images.example.org/{one}.tif"} for one in IDS]}},
        {"reason": "x" * 300_000, "exception": "y" * 300_000},
        {"a": "x" * 200_000, "b": "y" * 50_000, "c": IDS},
        {"x" * 100 + str(number): "é" * 1_000 for number in range(100)},
        {"exception": ValueError("z" * 1_000_000)},
    ],
    ids=[
        *("letters", "line breaks", "quotes", "two bytes", "four bytes", "half of a pair", "all kinds"),
        *("a list", "a list below", "two of them", "three of them", "many of them", "an error"),
    ],
)
def test_no_line_is_longer_than_cloudwatch_takes_and_most_of_it_is_there(long: dict[str, Any]) -> None:
    line = to_line(HEAD | long)
    assert line.isascii()
    assert MAX_LINE_BYTES * 0.95 < len(line) <= MAX_LINE_BYTES < 262_144 - 26 - len("\n")
    found = json.loads(line)
    assert list(found) == list(HEAD | long)
    assert {name: found[name] for name in HEAD} == HEAD
    for name, value in long.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str, separators=(",", ":"))
        if found[name] != value:
            start, _, count = found[name].rpartition("... (")
            assert text.startswith(start)
            assert count == f"{len(text):,} characters)"


def test_a_line_that_just_fits_is_whole_and_a_longer_one_is_as_long_as_can_be() -> None:
    room = MAX_LINE_BYTES - len('{"a":""}')
    assert to_line({"a": "x" * room}) == '{"a":"' + "x" * room + '"}'
    assert len(to_line({"a": "x" * (room + 1)})) == MAX_LINE_BYTES - 1


def test_a_value_of_just_its_share_is_whole() -> None:
    share = (MAX_LINE_BYTES - len('{"a":0,"b":0}')) // 2
    entry = {"a": "x" * (share - len('""')), "b": "y" * MAX_LINE_BYTES}
    assert json.loads(to_line(entry))["a"] == entry["a"]


def test_what_is_short_is_whole_beside_what_is_long() -> None:
    found = json.loads(to_line(HEAD | {"reason": "y" * 100_000, "body": "x" * 1_048_576}))
    assert found["reason"] == "y" * 100_000
    assert len(found["body"]) > 150_000


def test_a_traceback_without_an_end_is_a_line_that_cloudwatch_takes(
    service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def deeper(number: int, text: str) -> None:
        if number == 0:
            raise RecursionError(text)
        other(number - 1, text)

    def other(number: int, text: str) -> None:  # two in turn: Python writes repeated lines once
        deeper(number, text)

    try:
        deeper(sys.getrecursionlimit() // 3, "x" * 300_000)
    except RecursionError as error:
        make_logger(service).error("Message failed unexpectedly", exc_info=error)
    (line,) = capsys.readouterr().out.splitlines()
    assert len(line) <= MAX_LINE_BYTES
    assert json.loads(line)["message"] == "Message failed unexpectedly"

"""The lines that say why messages failed."""

import json
import uuid
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from handler.failures import MAX_ID_CHARACTERS, Failure, log_failures
from handler.log import MAX_LINE_BYTES
from handler.messages import InvalidMessage
from handler.outcomes import CatalogError, CircuitOpen, StatusConflict

HELD_BACK = "the catalog was down a moment ago"


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    def log(*failures: Failure) -> list[dict[str, Any]]:
        """Log failures; give the lines without what each line of the log has."""
        log_failures(Logger(service=uuid.uuid4().hex), failures)
        output = capsys.readouterr().out
        assert all(len(line) <= MAX_LINE_BYTES for line in output.splitlines())
        found = [json.loads(line) for line in output.splitlines()]
        common = {"timestamp", "service", "location"}
        return [{name: line[name] for name in line.keys() - common} for line in found]

    return log


def test_a_failed_message_is_a_line_with_its_job_its_receives_its_return_and_its_reason(lines: Any) -> None:
    assert lines(Failure("m", "j", CatalogError("HTTP 400: no"), receive_count=3, retry_in=17)) == [
        {
            "level": "WARNING",
            "message": "Message failed",
            "job_id": "j",
            "message_id": ["m"],
            "receive_count": 3,
            "retry_in": 17,
            "error": "CatalogError",
            "reason": "HTTP 400: no",
        }
    ]


def test_messages_of_a_job_that_failed_for_one_reason_share_a_line(lines: Any) -> None:
    error = CatalogError("no")
    (line,) = lines(
        Failure("m1", "j", error, 2, 40), Failure("m2", "j", error, 5, 8), Failure("m3", "j", error, 1, None)
    )
    assert line["message_id"] == ["m1", "m2", "m3"]
    assert line["receive_count"] == 5  # the one that is nearest to the dead letters
    assert line["retry_in"] == 8  # the one that comes back first


def test_jobs_and_reasons_have_lines_of_their_own(lines: Any) -> None:
    found = lines(
        Failure("m1", "a", CatalogError("no"), 1, 0),
        Failure("m2", "b", CatalogError("no"), 1, 0),
        Failure("m3", "b", CatalogError("never"), 1, 0),
        Failure("m4", "b", StatusConflict("never"), 1, 0),
    )
    assert [(line["job_id"], line["error"], line["reason"]) for line in found] == [
        ("a", "CatalogError", "no"),
        ("b", "CatalogError", "no"),
        ("b", "CatalogError", "never"),
        ("b", "StatusConflict", "never"),
    ]


def test_an_unknown_return_and_an_unknown_job_are_left_out(lines: Any) -> None:
    (line,) = lines(Failure("m", None, InvalidMessage("the record has no body"), 1, None))
    assert line == {
        "level": "WARNING",
        "message": "Message refused",
        "message_id": ["m"],
        "receive_count": 1,
        "error": "InvalidMessage",
        "reason": "the record has no body",
    }


def test_a_defect_is_a_line_with_its_reason_and_its_traceback(lines: Any) -> None:
    (line,) = lines(Failure("m", "j", ZeroDivisionError("a defect"), 1, 9))
    assert (line["level"], line["message"]) == ("ERROR", "Message failed unexpectedly")
    assert (line["job_id"], line["retry_in"], line["reason"]) == ("j", 9, "a defect")
    assert line["exception_name"] == "ZeroDivisionError"


def test_jobs_that_an_open_circuit_holds_back_are_one_line_with_their_number(lines: Any) -> None:
    held = [Failure(f"m{n}", f"job-{n}", CircuitOpen(HELD_BACK), 1, 10 + n) for n in range(400)]
    (other, line) = lines(Failure("m", "job-x", CatalogError("no"), 1, 3), *held)
    assert other["job_id"] == "job-x"
    assert line == {
        "level": "WARNING",
        "message": "Message failed",
        "jobs": 400,
        "job_ids": [f"job-{n}" for n in range(400)],
        "message_id": [f"m{n}" for n in range(400)],
        "receive_count": 1,
        "retry_in": 10,
        "error": "CircuitOpen",
        "reason": HELD_BACK,
    }


@pytest.mark.parametrize("characters", [36, 256])
def test_no_id_is_lost_where_a_line_has_no_room_for_all(lines: Any, characters: int) -> None:
    """As many messages as Lambda takes in a batch, each of a job of its own, with the longest ids."""
    failures = [
        Failure(str(uuid.UUID(int=n)), f"{n:0{characters}}", CircuitOpen(HELD_BACK), 1, 1)
        for n in range(10_000)
    ]
    found = lines(*failures)
    assert [name for line in found for name in line["message_id"]] == [f.message_id for f in failures]
    assert [job for line in found for job in line["job_ids"]] == [f.job_id for f in failures]
    assert sum(line["jobs"] for line in found) == 10_000


def test_ids_that_just_fit_into_a_line_are_not_divided(lines: Any) -> None:
    error = CatalogError("no")
    half = "m" * (MAX_ID_CHARACTERS // 2 - 1)
    assert len(lines(Failure(half, "j", error, 1, 1), Failure(half, "j", error, 1, 1))) == 1
    assert len(lines(Failure(half, "j", error, 1, 1), Failure(half + "m", "j", error, 1, 1))) == 2

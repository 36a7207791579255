"""Which jobs are asked for, what the listing rules out, and how a list of them is laid out."""

import json
from typing import Any

import click
import pytest

from local.cli.durations import Duration, in_words
from local.cli.job_lines import header, lines, totals
from local.cli.jobs import Found, Listed
from local.cli.rows import Kind, Listing, Row, Totals, Wanted

NOW = 1_000_000.0
HOUR = 3_600


def listed(name: str = "job", age: float = 0) -> Listed:
    return Listed(f"status/{name}-status.json", name, NOW - age, '"etag"')


def row(stage: str = "chunk", status: str = "STARTED", name: str = "job", age: float = 0, **more: Any) -> Row:
    """Make a row of an object that this function wrote, if not said otherwise."""
    content = {"stage": stage, "status": status, "history": [], "attempt": 1} | more
    return Row.of(listed(name, age), Found("key", name, content))


DONE: dict[str, Any] = {"stage": "COMPLETE", "status": "SUCCESS"}
OLDER = Row.of(listed(), Found("key", "job", DONE))
FOREIGN = Row.of(listed("bad"), Found("key", "bad", None, "not UTF-8"))
ROWS = {
    "started": row(),
    "pending": row("PENDING", "PENDING"),
    "chunks are done": row("chunk", "FINISHED"),
    "failed": row("mosaic", "FAILED"),
    "told": row(**DONE, catalog={"state": "NOTIFIED"}),
    "mocked": row(**DONE, catalog={"state": "MOCKED"}),
    "refused": row(**DONE, catalog={"state": "FAILED"}),
    "claimed": row(**DONE, catalog={"state": "PENDING"}),
    "no section": row(**DONE),
    "the older system's": OLDER,
    "foreign": FOREIGN,
}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (None, set(ROWS)),
        (Kind.FAILED, {"failed", "foreign"}),
        (Kind.STUCK, {"started", "pending", "chunks are done", "foreign"}),
        (Kind.NOT_NOTIFIED, {"mocked", "refused", "claimed", "no section", "foreign"}),
    ],
)
def test_a_kind_is_all_of_its_jobs_and_what_may_be_one(kind: Kind | None, names: set[str]) -> None:
    assert {name for name, found in ROWS.items() if Wanted(NOW, kind).holds(found)} == names


def test_what_the_listing_rules_out_is_not_read() -> None:
    # GIVEN objects of several ages
    objects = [listed("minute", 60), listed("day", 24 * HOUR), listed("hour", HOUR), listed("now")]

    def read(wanted: Wanted, limit: int | None = None) -> list[str]:
        found = Listing.of(objects, wanted, limit)
        assert found.objects == 4
        return [one.job_id for one in found.to_read]

    # THEN those that are too old, or were not silent, are not read, and the newest come first
    assert read(Wanted(NOW)) == ["now", "minute", "hour", "day"]
    assert read(Wanted(NOW, since=HOUR)) == ["now", "minute", "hour"]
    assert read(Wanted(NOW, Kind.STUCK, silent=HOUR)) == ["hour", "day"]
    # AND only as many as are shown, where no content decides
    assert read(Wanted(NOW), 2) == ["now", "minute"]
    assert read(Wanted(NOW, Kind.FAILED), 2) == ["now", "minute", "hour", "day"]


def texts(found: Row, width: int = 80) -> list[str]:
    return [line.plain for line in lines(found, NOW, width)]


def test_a_row_is_a_line_below_its_header_and_one_for_the_error() -> None:
    uuid = "5a0e3b1c-2f1d-4b7e-9c1a-000000000004"
    done = row(**DONE, name=uuid, age=2 * HOUR, catalog={"state": "FAILED", "error": "HTTP 400: " + "x" * 99})
    assert [header().plain, *texts(done)] == [
        "job                                    stage and status  attempt  age   catalog",
        "5a0e3b1c-2f1d-4b7e-9c1a-000000000004   COMPLETE SUCCESS  1        2h    FAILED",
        "  catalog: HTTP 400: " + "x" * 58 + "…",
    ]
    assert texts(row(age=90)) == ["job                                    chunk STARTED     1        90s   -"]


def test_an_id_longer_than_its_column_stands_whole_on_a_line_of_its_own() -> None:
    name = "j" * 256
    assert texts(row(name=name)) == [name, " " * 39 + "chunk STARTED     1        0s    -"]


def test_what_is_no_status_object_is_a_line_with_its_key() -> None:
    assert texts(FOREIGN) == ["status/bad-status.json: not UTF-8"]
    long = Row.of(listed("bad"), Found("key", "bad", None, "x" * 200))
    assert [len(line) for line in texts(long)] == [80]


WEIRD = [
    {"catalog": "x"},
    {"catalog": {"state": ["NOTIFIED", "\x1b[31m"], "error": {"\x1b[31m": 1}}},
    {"catalog": None, "attempt": "many"},
    {"attempt": 10**300},
    {"attempt": True},
    {"stage": "\x1b]0;owned\x07\nchunk"},
    {"status": "\u202eSTARTED\u009b31m"},
    {"error": "\x1b[31m\nred"},
    {"error": ["\x1b[31m"]},
]


@pytest.mark.parametrize("content", WEIRD, ids=str)
def test_whatever_an_object_says_its_lines_fit_and_hold_no_control_characters(
    content: dict[str, Any],
) -> None:
    odd = {"stage": "chunk", "status": "STARTED", "name": "odd\x1b[2J"} | content
    found = texts(row(**odd))
    assert all(line.isprintable() and len(line) <= 80 for line in found)
    assert len(found) <= 2


def test_totals_say_of_how_many_they_are() -> None:
    # GIVEN all sorts of jobs, read without a limit and with one
    found = Totals()
    for one in ROWS.values():
        found.count(one)
    listing = Listing(objects=2_000, candidates=11)
    # THEN
    assert totals(listing, found, Wanted(NOW, since=1), 11) == [
        "11 of 2,000 objects.",
        "6 SUCCESS, 1 FAILED, 1 FINISHED, 1 PENDING, 1 STARTED; "
        "catalog: 1 FAILED, 1 MOCKED, 1 NOTIFIED, 1 PENDING; no status object: 1.",
    ]
    shown = totals(Listing(2_000, 2_000), found, Wanted(NOW), 11)
    assert shown[0] == "2,000 objects, the newest 11 shown (--all shows all)."
    assert shown[1].startswith("Shown: 6 SUCCESS")
    failed = Totals()
    failed.count(ROWS["failed"])
    assert totals(listing, failed, Wanted(NOW, Kind.FAILED), 1) == [
        "1 failed, of 2,000 objects.",
        "1 FAILED.",
    ]
    assert totals(listing, Totals(), Wanted(NOW, Kind.STUCK), 0) == ["0 stuck, of 2,000 objects."]
    assert totals(Listing(1, 1), Totals(), Wanted(NOW), 1) == ["1 object."]


def test_a_row_for_machines_holds_what_it_shows() -> None:
    history = [{"sentAt": "2026-01-02T03:04:05.678Z"}, {"sentAt": "by hand"}, None]
    history += [{"sentAt": "2026-01-02T04:04:05.678Z"}]
    written = row("chunk", "FAILED", age=HOUR, error="\x1b[31m", history=history)
    found = json.loads(json.dumps(written.as_json()))
    assert found == {
        "jobId": "job",
        "key": "status/job-status.json",
        "stage": "chunk",
        "status": "FAILED",
        "attempt": 1,
        "firstSentAt": "2026-01-02T03:04:05.678Z",
        "lastSentAt": "2026-01-02T04:04:05.678Z",
        "lastModified": "1970-01-12T12:46:40.000Z",
        "catalog": None,
        "error": "\x1b[31m",
        "problem": None,
    }
    assert FOREIGN.as_json()["problem"] == "not UTF-8"
    assert FOREIGN.as_json()["stage"] is None
    assert OLDER.as_json()["firstSentAt"] is None
    assert row(error={"a": [None]}).as_json()["error"] == '{"a": [null]}'


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7_200), ("1d", 86_400)])
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert Duration().convert(text, None, None) == seconds
    assert in_words(seconds) == {"1d": "24h"}.get(text, text)


@pytest.mark.parametrize(
    "text", ["", "2", "h", "2w", "-2h", "0s", "1.5h", "2 h", "2H", "1234567s", "²h", "٢h"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="such as 90s or 2h"):
        Duration().convert(text, None, None)


def test_an_age_is_in_the_largest_unit_of_which_there_are_two() -> None:
    ages = [-5, 0.9, 119, 120, 2 * HOUR - 1, 2 * HOUR, 48 * HOUR - 1, 48 * HOUR]
    assert [in_words(age) for age in ages] == ["0s", "0s", "119s", "2m", "119m", "2h", "47h", "2d"]

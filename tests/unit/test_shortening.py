"""What is left out of a status object that is too large: in which order, and no further than needed."""

from typing import Any

import pytest

from handler.events import Event
from handler.job_status import JobStatus, fold
from handler.shortening import MAX_FIELDS_BYTES, MAX_OBJECT_BYTES, MAX_STRING_CHARACTERS, shortened
from handler.strict_json import decode_object, encode
from tests.factories import MIB, event

# Each loses 1,998 bytes when its text is truncated ("…" has three), and then all of the text.
LONG = "x" * (MAX_STRING_CHARACTERS + 2_000)


def failed(message_id: str, sent_at: int, text: str = LONG) -> Event:
    return event("chunk", "FAILED", sent_at, message_id, error=text)


def after(*older: Event) -> JobStatus:
    """Return a job whose deciding event, the last, says nothing that could be left out."""
    return fold(JobStatus(), [*older, event("mosaic", "STARTED", 1_000, "last")])


def texts(entries: list[Event]) -> list[Any]:
    return [entry.fields.get("error") for entry in entries]


TRUNCATED = LONG[: MAX_STRING_CHARACTERS - 1] + "…"


def test_an_object_that_is_one_byte_too_large_loses_the_end_of_the_oldest_text_alone() -> None:
    status = after(failed("a", 1), failed("b", 2))
    # GIVEN the least size that is none: an object stays under the limit
    assert texts(shortened(status, MAX_OBJECT_BYTES)) == [TRUNCATED, LONG, None]
    assert texts(shortened(status, MAX_OBJECT_BYTES - 1)) == [LONG, LONG, None]


@pytest.mark.parametrize("character", ["x", "\U0001f6f0"])  # of one byte, and of four: more than "…" has
def test_a_text_of_the_greatest_length_stays_whole_and_one_above_it_loses_no_more_than_needed(
    character: str,
) -> None:
    whole = character * MAX_STRING_CHARACTERS
    # One that is longer by three gets shorter by one byte.
    status = after(failed("a", 1, whole), failed("b", 2, whole + "yyy"))
    assert texts(shortened(status, MAX_OBJECT_BYTES)) == [whole, whole[:-1] + "…", None]


def test_texts_inside_a_message_are_truncated_with_their_names_kept() -> None:
    nested = event("chunk", "FAILED", 1, "a", error="e", more={"list": [LONG, 3], "short": "s"})
    (entry, _) = shortened(after(nested), MAX_OBJECT_BYTES)
    assert entry.fields["more"] == {"list": [TRUNCATED, 3], "short": "s"}


def test_when_truncated_texts_are_still_too_much_they_go_one_by_one() -> None:
    status = after(failed("a", 1), failed("b", 2))
    truncating = len(LONG) - len(TRUNCATED.encode())
    leaving_out = len(encode({"error": TRUNCATED})) - 1  # with a comma in place of the braces
    # GIVEN one byte more than truncating both, and leaving out the first, makes room for
    size = MAX_OBJECT_BYTES + 2 * truncating + leaving_out
    assert texts(shortened(status, size)) == [None, None, None]
    assert texts(shortened(status, size - 1)) == [None, TRUNCATED, None]


def test_an_entry_that_can_not_get_smaller_is_left_as_it_is() -> None:
    status = after(failed("a", 1, "short"))
    entries = shortened(status, MAX_OBJECT_BYTES * 2)
    assert texts(entries) == [None, None]
    # AND no copy is made of what has no more than it needs
    assert entries[1] is status.history[1]


def test_of_the_deciding_entry_what_identifies_it_stays() -> None:
    fields = {"target": "s3://tiles/a", "images": ["http://i/1.tif"]}
    status = fold(JobStatus(), [failed("a", 1), event("mosaic", "FINISHED", 2, "b", **fields, note=LONG)])
    # GIVEN so much that the other entry alone is not enough
    (other, deciding) = shortened(status, MAX_OBJECT_BYTES + len(LONG) * 2)
    assert other.fields == {"stage": "chunk", "status": "FAILED"}
    assert deciding.fields == {"stage": "mosaic", "status": "FINISHED"} | fields
    # AND the deciding one stays whole where it is
    assert shortened(status, MAX_OBJECT_BYTES + 2_500)[1].fields["note"] == LONG


@pytest.mark.parametrize(
    "written",
    ["9e15", "-9e15", "1E4", "1e22", "1e-4", "1.0", "[]", "{}", '""', '{"":9e15}', r'"\u001f"', r'"\ud800"', '"\x7f"'],
)  # fmt: skip
def test_no_value_grows_so_much_when_written_that_the_largest_message_would_not_fit(written: str) -> None:
    text = '{"x":[' + ",".join([written] * 1_000) + "]}"
    assert len(encode(decode_object(text))) <= MAX_FIELDS_BYTES / MIB * len(text.encode())

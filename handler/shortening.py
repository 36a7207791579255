"""The size of a status object: what fits into it, and what is left out of one that is too large (pure)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from handler.events import Event, Step
from handler.job_status import JobStatus, deciding_event, originals
from handler.strict_json import encode

MAX_OBJECT_BYTES = 4 * 1024 * 1024  # a status object stays under it
# That has room for any message that SQS takes (1 MiB): written again, it is at most 3.8 times as large
# (`9e15,` becomes `9000000000000000.0,`). The rest is for what the status object adds.
MAX_FIELDS_BYTES = MAX_OBJECT_BYTES - 128 * 1024
MAX_STRING_CHARACTERS = 1_000  # of a string in an entry that is shortened


def fits(event: Event, length: int) -> bool:
    """Return whether a status object can hold an event that was read from `length` characters.

    The object holds it whole at the top, and at least its identifying fields in the history.
    """
    # A character becomes at most six bytes, or four bytes twice: a shorter text need not be measured.
    return length <= MAX_FIELDS_BYTES // 8 or (
        len(encode(event.fields)) + len(encode(identifying_fields(event))) <= MAX_FIELDS_BYTES
    )


def identifying_fields(event: Event) -> dict[str, Any]:
    """Return the least that an entry must say: its step, and of a mosaic FINISHED also target and images."""
    names = ["stage", "status"] + ["target", "images"] * (event.step is Step.MOSAIC_FINISHED)
    return {name: value for name, value in event.fields.items() if name in names}


def step_fields(event: Event) -> dict[str, Any]:
    """Return the fields that name an event's step."""
    return {name: event.fields[name] for name in ("stage", "status")}


def shortened(status: JobStatus, size: int) -> list[Event]:
    """Return a job's history, shortened until its object, now of `size` bytes, is small enough.

    In this order, the oldest entry first, and no further than needed:

    1. of all entries but the deciding one, strings are truncated to 1,000 characters;
    2. of these, only the identifying fields stay;
    3. of these, only the step stays: first of repeats, for they would count by their own time if their
       originals lost what identifies them;
    4. of the deciding entry, only the identifying fields stay: it stands whole at the object's top.

    No entry is left out, and so the status does not change.
    """
    entries, deciding = list(status.history), deciding_event(status)
    firsts = {event.message_id for event in originals(entries)}
    others = [index for index, event in enumerate(entries) if event is not deciding]
    last = [index for index, event in enumerate(entries) if event is deciding]
    repeats = [index for index in others if entries[index].message_id not in firsts]
    sizes = [len(encode(event.fields)) for event in entries]
    for shorten, indices in (
        (_truncated, others),
        (identifying_fields, others),
        (step_fields, repeats),
        (step_fields, others),
        (identifying_fields, last),
    ):
        for index in indices:
            if size < MAX_OBJECT_BYTES:
                return entries
            fields = shorten(entries[index])
            gain = sizes[index] - len(encode(fields))
            if gain > 0:  # else a copy would take memory for nothing
                entries[index] = replace(entries[index], fields=fields)
                size, sizes[index] = size - gain, sizes[index] - gain
    return entries


def _truncated(event: Event) -> Mapping[str, Any]:
    return {name: _truncate(value) for name, value in event.fields.items()} | identifying_fields(event)


def _truncate(value: Any) -> Any:
    """Return a JSON value whose longer strings are truncated to 1,000 characters, with their ends marked."""
    if isinstance(value, str):
        return value if len(value) <= MAX_STRING_CHARACTERS else value[: MAX_STRING_CHARACTERS - 1] + "…"
    if isinstance(value, list):
        return [_truncate(item) for item in value]
    if isinstance(value, dict):
        return {key: _truncate(item) for key, item in value.items()}
    return value

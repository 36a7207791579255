"""The status object: a job's status as it is stored in S3, read and written (pure).

The history is the truth, and the rest of the object a view of it; `catalog` alone is written for its own sake
(`handler.catalog_entry`). Three kinds of objects are read: this function's, the API's PENDING, and the legacy
system's, which have no history.

Known limits:

- An object that would reach 4 MiB loses text of its oldest entries for good (`handler.shortening`).
- Another writer's overwrite takes the history with it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from json import detect_encoding
from typing import Any, Final

from handler.events import STEPS, Event, Step, step_of
from handler.job_status import LEGACY_MESSAGE_ID, JobStatus, Progress, deciding_event, in_order
from handler.shortening import MAX_OBJECT_BYTES, fits, identifying_fields, shortened, step_fields
from handler.strict_json import MAX_DEPTH, decode_object, encode
from handler.tiles import tile_json, tiles_url

# What a status object adds; a message's own fields of these names are dropped.
RESERVED_FIELDS = frozenset(
    {
        "jobId",
        "messageId",
        "sentAt",
        "droppedBefore",
        "tileJson",
        "attempt",
        "updatedAt",
        "history",
        "catalog",
    }
)

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

_NAMES: Final = {step: f"{stage} {status}" for (stage, status), step in STEPS.items()}
_STEPS_BY_NAME: Final = {name: step for step, name in _NAMES.items()}
_SUCCESS: Final = {"stage": "COMPLETE", "status": "SUCCESS"}  # what a mosaic FINISHED is at the top


class UnreadableStatus(Exception):
    """Raised when a stored object is none of the three kinds of status objects."""


def without_reserved(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without the reserved ones."""
    return {name: value for name, value in fields.items() if name not in RESERVED_FIELDS}


def to_iso(milliseconds: int) -> str:
    """Return a time (milliseconds since the epoch) in ISO 8601: UTC, with milliseconds."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment.isoformat()[:19]}.{milliseconds % 1000:03d}Z"


def from_iso(text: object) -> int | None:
    """Return a time that `to_iso` wrote, in milliseconds since the epoch; None if it is not one."""
    if not isinstance(text, str) or not _ISO.fullmatch(text):
        return None
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def read(body: bytes, last_modified: int) -> JobStatus:
    """Return what a stored object says of its job; the API's PENDING says nothing.

    `last_modified`, in milliseconds since the epoch, is the only time that is known of an object of the
    legacy system.

    Raises:
        UnreadableStatus: when it is no status object.
    """
    try:
        # An editor may have saved it with a byte order mark. A message's fields are nested in the object's.
        stored = decode_object(body.decode(detect_encoding(body)), 2 * MAX_DEPTH)
    except ValueError as error:
        raise UnreadableStatus(str(error)) from error
    if isinstance(stored.get("history"), list):
        status = _read_history(stored)
        # The deciding entry is shortened only if it, twice, would take nearly all of an object's room, and so
        # its object takes nearly half of it; a third, for an editor may have written it shorter. In a smaller
        # object the entry is whole, and a field that was added to the top by hand is ignored.
        return _completed(status, without_reserved(stored)) if len(body) > MAX_OBJECT_BYTES // 3 else status
    if stored.get("status") == "PENDING":
        return JobStatus()
    step = _step_of_entry(stored)
    if step is None:
        raise UnreadableStatus("its stage and status are none of the known ones")
    event = Event(LEGACY_MESSAGE_ID, last_modified, step, _fields_of_entry(LEGACY_MESSAGE_ID, stored))
    if not fits(event, len(body)):
        raise UnreadableStatus("too large for a status object, and for SQS")
    return JobStatus((event,))


def _read_history(stored: Mapping[str, Any]) -> JobStatus:
    """Return what an object of this function says; an entry that was broken by hand is left out."""
    pinned: list[Event] = []
    events: list[Event] = []
    dropped = None
    for entry in stored["history"]:
        if not isinstance(entry, dict):
            continue
        message_id, sent_at = entry.get("messageId"), from_iso(entry.get("sentAt"))
        step = _step_of_entry(entry)
        if not isinstance(message_id, str) or sent_at is None or step is None:
            continue
        if dropped is None and (dropped := _read_dropped(entry.get("droppedBefore"))):
            pinned, events = events, []
        events.append(Event(message_id, sent_at, step, _fields_of_entry(message_id, entry)))
    catalog = stored.get("catalog")
    return JobStatus(
        in_order(events), in_order(pinned), dropped, catalog if isinstance(catalog, dict) else {}
    )


def _read_dropped(value: object) -> Progress | None:
    if not isinstance(value, dict):
        return None
    attempt, names = value.get("attempt"), value.get("steps")
    if not isinstance(attempt, int) or not isinstance(names, list):
        return None
    known = [name for name in names if isinstance(name, str) and name in _STEPS_BY_NAME]
    return Progress(attempt, {_STEPS_BY_NAME[name]: None for name in known})


def _step_of_entry(entry: Mapping[str, Any]) -> Step | None:
    """Return an entry's step; the legacy system's last one has a name of its own."""
    return Step.MOSAIC_FINISHED if _SUCCESS.items() <= entry.items() else step_of(entry)


def _fields_of_entry(message_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry's fields without the reserved ones; the legacy system's TileJSON is kept."""
    kept = {"tileJson"} & entry.keys() if message_id == LEGACY_MESSAGE_ID else set()
    return without_reserved(entry) | {name: entry[name] for name in kept}


def _completed(status: JobStatus, top: dict[str, Any]) -> JobStatus:
    """Return a status whose deciding event is whole, where there was room for that at the top only."""
    if not status.history:
        return status
    deciding = deciding_event(status)
    whole = replace(deciding, fields=top | step_fields(deciding))
    if deciding.fields != identifying_fields(whole):
        return status
    return replace(
        status,
        events=tuple(whole if event is deciding else event for event in status.events),
        pinned=tuple(whole if event is deciding else event for event in status.pinned),
    )


def to_json(job_id: str, status: JobStatus, tiles_base: str | None = None) -> bytes:
    """Return the object to store, in UTF-8: under 4 MiB, and the same bytes for the same status.

    The status has at least one event; `tiles_base` is as in `handler.tiles.tiles_url`.
    """
    body = encode(_view(job_id, status, status.history, tiles_base))
    if len(body) < MAX_OBJECT_BYTES:
        return body
    return encode(_view(job_id, status, shortened(status, len(body)), tiles_base))


def _view(job_id: str, status: JobStatus, entries: Iterable[Event], tiles_base: str | None) -> dict[str, Any]:
    deciding = deciding_event(status)
    top = dict(deciding.fields)  # with the legacy system's own TileJSON
    if deciding.step is Step.MOSAIC_FINISHED:
        top |= _SUCCESS
        if url := tiles_url(deciding.fields.get("target"), tiles_base):
            top["tileJson"] = tile_json(job_id, url)
    view = {
        "jobId": job_id,
        **top,
        "attempt": status.progress.attempt,
        "updatedAt": to_iso(max(event.sent_at for event in status.history)),
        "history": [
            {"messageId": event.message_id, "sentAt": to_iso(event.sent_at), **event.fields}
            for event in entries
        ],
    }
    if status.dropped and status.events:
        view["history"][len(status.pinned)]["droppedBefore"] = {
            "attempt": status.dropped.attempt,
            "steps": [_NAMES[step] for step in sorted(status.dropped.steps)],
        }
    if status.catalog:
        view["catalog"] = dict(status.catalog)
    return view

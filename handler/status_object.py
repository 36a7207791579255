"""The status object: a job's status as it is stored in S3, read and written (pure).

The history is the truth, and the rest of the object a view of it; `catalog` alone is written for its own sake
(`handler.catalog_entry`). Three kinds of objects are read: this function's, the API's PENDING, and the legacy
system's, which have no history.

Known limits:

- An object that would reach 4 MiB loses text of its oldest entries (`to_json`), and does not get it back.
- Another writer's overwrite takes the history with it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from json import detect_encoding
from typing import Any, Final

from handler.job_status import (
    LEGACY_MESSAGE_ID,
    JobStatus,
    Progress,
    deciding,
    in_order,
    originals,
)
from handler.messages import (
    MAX_OBJECT_BYTES,
    STEPS,
    Event,
    InvalidMessage,
    Step,
    check_size,
    identifying_fields,
    step_of,
    without_reserved,
)
from handler.strict_json import MAX_DEPTH, decode_object, encode
from handler.tiles import tile_json, tiles_url

MAX_STRING_CHARACTERS = 1_000  # of a string in an entry that is shortened

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

_NAMES: Final = {step: f"{stage} {status}" for (stage, status), step in STEPS.items()}
_STEPS_BY_NAME: Final = {name: step for step, name in _NAMES.items()}
_SUCCESS: Final = {"stage": "COMPLETE", "status": "SUCCESS"}  # what a mosaic FINISHED is at the top


class UnreadableStatus(Exception):
    """Raised when a stored object is none of the three kinds of status objects."""


def iso(milliseconds: int) -> str:
    """Return a time (milliseconds since the epoch) in ISO 8601: UTC, with milliseconds."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment.isoformat()[:19]}.{milliseconds % 1000:03d}Z"


def from_iso(text: object) -> int | None:
    """Return a time that `iso` wrote, in milliseconds since the epoch; None if it is not one."""
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
        # A smaller object has what decides whole in its history; a field added to its top by hand is ignored.
        return _completed(status, without_reserved(stored)) if len(body) > MAX_OBJECT_BYTES // 3 else status
    if stored.get("status") == "PENDING":
        return JobStatus()
    step = _step_of_entry(stored)
    if step is None:
        raise UnreadableStatus("its stage and status are none of the known ones")
    event = Event(LEGACY_MESSAGE_ID, last_modified, step, _fields_of_entry(LEGACY_MESSAGE_ID, stored))
    try:
        check_size(event, len(body))
    except InvalidMessage as error:
        raise UnreadableStatus(str(error)) from error
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
    decides = deciding(status)
    whole = replace(decides, fields=top | _step_fields(decides))
    if decides.fields != identifying_fields(whole):
        return status
    return replace(
        status,
        events=tuple(whole if event is decides else event for event in status.events),
        pinned=tuple(whole if event is decides else event for event in status.pinned),
    )


def to_json(job_id: str, status: JobStatus, tiles_base: str | None = None) -> bytes:
    """Return the object to store, in UTF-8: under 4 MiB, and the same bytes for the same status.

    Where it would be larger, entries that do not decide are shortened, the oldest first, and no more than
    needed: strings are truncated to 1,000 characters; if that is not enough, only their identifying fields
    stay; then only their step, of repeats first. What decides stands whole at the top, and, where nothing
    else is left to shorten, with its identifying fields alone in the history. Which steps are known, and so
    the status, does not change.

    Args:
        job_id: the job.
        status: of at least one event.
        tiles_base: as in `handler.tiles.tiles_url`.
    """
    body = encode(_view(job_id, status, status.history, tiles_base))
    if len(body) < MAX_OBJECT_BYTES:
        return body
    return encode(_view(job_id, status, _shortened(status, len(body)), tiles_base))


def _view(job_id: str, status: JobStatus, entries: Iterable[Event], tiles_base: str | None) -> dict[str, Any]:
    decides = deciding(status)
    top = dict(decides.fields)  # with the legacy system's own TileJSON
    if decides.step is Step.MOSAIC_FINISHED:
        top |= _SUCCESS
        if url := tiles_url(decides.fields.get("target"), tiles_base):
            top["tileJson"] = tile_json(job_id, url)
    view = {
        "jobId": job_id,
        **top,
        "attempt": status.progress.attempt,
        "updatedAt": iso(max(event.sent_at for event in status.history)),
        "history": [
            {"messageId": event.message_id, "sentAt": iso(event.sent_at), **event.fields} for event in entries
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


def _shortened(status: JobStatus, size: int) -> list[Event]:
    """Return a history's events, shortened until an object of `size` bytes is small enough."""
    entries, decides = list(status.history), deciding(status)
    firsts = {event.message_id for event in originals(entries)}
    others = [index for index, event in enumerate(entries) if event is not decides]
    last = [index for index, event in enumerate(entries) if event is decides]
    repeats = [index for index in others if entries[index].message_id not in firsts]
    sizes = [len(encode(event.fields)) for event in entries]
    for shorten, indices in (
        (_truncated, others),
        (identifying_fields, others),
        (_step_fields, repeats),  # before their originals: without these they would count by their own time
        (_step_fields, others),
        (identifying_fields, last),  # it stands whole at the top
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


def _step_fields(event: Event) -> dict[str, Any]:
    return {name: event.fields[name] for name in ("stage", "status")}


def _truncated(event: Event) -> dict[str, Any]:
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

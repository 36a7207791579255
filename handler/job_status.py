"""A job's status: from the set of its events to one object (pure).

The rule: **the status depends only on the set of messages seen, never on their arrival order, their number
of deliveries or their batching.** SQS delivers at least once and in any order, and a redrive from the
dead-letter queue gives old messages new messageIds and new SentTimestamps; so

- events are deduplicated by messageId and sorted by (sentAt, step, messageId);
- walking them, a STARTED whose step the current attempt already has begins the next attempt, which keeps
  only the steps before that stage's STARTED; every event adds its step to the current attempt;
- the status is the furthest step of the current attempt (its newest event decides), so that a late message
  fills its gap and never takes a job backwards;
- SUCCESS is final: once a mosaic FINISHED has been seen, the newest of them decides, whatever comes after.

The history is the truth and the rest of the object a view of it; `catalog` alone has a life of its own
(`handler.notification`).

Known limits:

- Of more than 256 events the oldest are gone, all but the deciding one. What they amounted to stays, in
  `droppedBefore` of the oldest entry that is left; an event from before that moment is too late to count,
  unless it is a mosaic FINISHED.
- An object that would reach 1 MiB loses text of its oldest entries (`to_json`), and does not get it back.
- Another writer's overwrite takes the history with it.
- A STARTED that is redriven counts as a restart where it was counted already (its invocation was killed
  between writing and answering, time after time), or where a later one was.
- An object of the older system is one event of the time it was last modified, which is after that of the
  message that it tells of. So a mosaic FINISHED outranks the older system's SUCCESS, whichever is newer: the
  message is still to be told to the catalog.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from handler.messages import (
    MAX_DEPTH,
    STEPS,
    Event,
    InvalidMessage,
    Step,
    cut_long_strings,
    decode_object,
    encode,
    fit,
    step_of,
)
from handler.tiles import tile_json, tiles_url

HISTORY_LIMIT = 256  # entries
SIZE_LIMIT = 1024 * 1024  # bytes; the object stays under it

OLDER_SYSTEM = "older-system"  # stands for the messageId of an object that the older system wrote

# Where a message's field has the name of one of ours, ours stands.
_OURS_IN_AN_ENTRY = frozenset({"messageId", "sentAt", "droppedBefore"})
_OURS = _OURS_IN_AN_ENTRY | {"tileJson", "attempt", "updatedAt", "history", "catalog"}

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

_NAMES: Final = {step: f"{stage} {status}" for (stage, status), step in STEPS.items()}
_STEPS_BY_NAME: Final = {name: step for step, name in _NAMES.items()}
_STARTED = frozenset({Step.CHUNK_STARTED, Step.MOSAIC_STARTED})


class UnreadableStatus(Exception):
    """Raised when a stored object is no status object of ours, of the API's or of the older system's."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a walk over a job's events has come."""

    attempt: int  # the number of the current attempt; the first is 1
    steps: Mapping[Step, Event | None]  # those of the current attempt, each with its newest event if known


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What is known of a job."""

    events: tuple[Event, ...] = ()  # its newest events, in order
    pinned: Event | None = None  # the deciding event, where it is older than all of these
    dropped: Progress | None = None  # what the events before these amounted to
    catalog: Mapping[str, Any] = field(default_factory=dict)  # the object's section; empty before SUCCESS

    @property
    def history(self) -> tuple[Event, ...]:
        """All events that are still known, in order."""
        return self.events if self.pinned is None else (self.pinned, *self.events)


def read(body: bytes, last_modified: int) -> JobStatus:
    """Understand a stored object, whoever wrote it.

    Args:
        body: the object.
        last_modified: when it was written, in milliseconds since the epoch: for an object of the older
            system the only time known.

    Returns:
        What it says of the job. The API's PENDING says nothing.

    Raises:
        UnreadableStatus: when it is nobody's status object.
    """
    try:
        stored = decode_object(body.decode(), 2 * MAX_DEPTH)  # a message's fields stand inside our object
    except ValueError as error:
        raise UnreadableStatus(str(error)) from error
    if isinstance(stored.get("history"), list):
        return _read_ours(stored)
    if stored.get("status") == "PENDING":
        return JobStatus()
    step = _step_of_entry(stored)
    if step is None:
        raise UnreadableStatus("its stage and status are none of the known ones")
    fields = {name: value for name, value in stored.items() if name != "jobId"}
    try:
        return JobStatus((Event(OLDER_SYSTEM, last_modified, step, fit(fields)),))
    except InvalidMessage as error:
        raise UnreadableStatus(str(error)) from error


def fold(status: JobStatus, events: Iterable[Event]) -> JobStatus:
    """Take events into account.

    Args:
        status: what was known before.
        events: in any order, already known ones among them.

    Returns:
        What is known now; its `catalog` section as it was.
    """
    known = {event.message_id: event for event in status.history}
    # An event from before what was dropped is as gone as if it had been dropped itself.
    floor = _order(status.events[0]) if status.dropped and status.events else None
    too_late = []
    for event in events:
        if event.message_id in known:
            continue
        if floor is None or _order(event) > floor:
            known[event.message_id] = event
        elif event.step is Step.MOSAIC_FINISHED:
            too_late.append(event)
    pinned = [status.pinned] if status.pinned else []
    walked = sorted((event for event in known.values() if event is not status.pinned), key=_order)
    outside = sorted([*pinned, *too_late], key=_order)
    decides = _deciding(walked, outside, status.dropped)

    excess = len(walked) - HISTORY_LIMIT
    if decides in outside or decides in walked[: max(excess, 0)]:
        excess += 1  # its place is beside the newest
    dropped = status.dropped
    if excess > 0:
        gone = _walk(walked[:excess], dropped)
        dropped = Progress(gone.attempt, dict.fromkeys(gone.steps))
        walked = walked[excess:]
    return replace(
        status, events=tuple(walked), pinned=None if decides in walked else decides, dropped=dropped
    )


def deciding(status: JobStatus) -> Event:
    """Give the event that makes the status what it is.

    Args:
        status: of a job of which at least one event is known.
    """
    return _deciding(status.events, [status.pinned] if status.pinned else [], status.dropped)


def to_json(job_id: str, status: JobStatus, tiles_base: str | None = None) -> bytes:
    """Write a job's status as the object to be stored, which stays under 1 MiB.

    Where it would not, entries that do not decide give way, the oldest first, and no more than needed:
    strings are cut to 1,000 characters; if that is not enough, all fields but stage and status go.
    Which steps are known, and so the status, does not change.

    Args:
        job_id: the job.
        status: what is known of it; at least one event.
        tiles_base: as in `handler.tiles.tiles_url`.

    Returns:
        UTF-8 JSON: an object, the same bytes for the same status.
    """
    body = encode(_view(job_id, status, tiles_base))
    if len(body) < SIZE_LIMIT:
        return body
    entries, size = list(status.history), len(body)
    decides = deciding(status)
    for shorten in (cut_long_strings, _bare):
        for index, event in enumerate(entries):
            if size < SIZE_LIMIT:
                break
            if event is not decides:
                short = replace(event, fields=shorten(event.fields))
                size += len(encode(short.fields)) - len(encode(event.fields))
                entries[index] = short
    if status.pinned:
        entries = entries[1:]
    return encode(_view(job_id, replace(status, events=tuple(entries)), tiles_base))


def iso(milliseconds: int) -> str:
    """Write a time (milliseconds since the epoch) in ISO 8601: UTC, with milliseconds."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment.isoformat()[:19]}.{milliseconds % 1000:03d}Z"


def from_iso(text: object) -> int | None:
    """Read a time that `iso` wrote, in milliseconds since the epoch; None if it is not one."""
    if not isinstance(text, str) or not _ISO.fullmatch(text):
        return None
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def _order(event: Event) -> tuple[int, Step, str]:
    return event.sent_at, event.step, event.message_id


def _walk(events: Iterable[Event], dropped: Progress | None) -> Progress:
    attempt, steps = (dropped.attempt, dict(dropped.steps)) if dropped else (1, {})
    for event in events:
        if event.step in _STARTED and event.step in steps:
            attempt += 1
            steps = {step: known for step, known in steps.items() if step < event.step}
        steps[event.step] = event
    return Progress(attempt, steps)


def _deciding(walked: Iterable[Event], outside: Iterable[Event], dropped: Progress | None) -> Event:
    """Find the deciding event among those in reach of the walk and those from before it."""
    walked, outside = list(walked), list(outside)
    finished = [event for event in (*outside, *walked) if event.step is Step.MOSAIC_FINISHED]
    if finished:
        return max(finished, key=lambda event: (event.message_id != OLDER_SYSTEM, _order(event)))
    steps = _walk(walked, dropped).steps
    older = {event.step: event for event in outside}  # a step from before the walk may be the pinned event's
    return next(known for step in sorted(steps, reverse=True) if (known := steps[step] or older.get(step)))


def _view(job_id: str, status: JobStatus, tiles_base: str | None) -> dict[str, Any]:
    decides = deciding(status)
    top = {name: value for name, value in decides.fields.items() if name not in _OURS}
    if decides.step is Step.MOSAIC_FINISHED:
        top |= {"stage": "COMPLETE", "status": "SUCCESS"}
        url = tiles_url(decides.fields.get("target"), tiles_base)
        if url is not None:
            top["tileJson"] = tile_json(job_id, url)
        elif "tileJson" in decides.fields:  # the older system's own
            top["tileJson"] = decides.fields["tileJson"]
    view = {
        "jobId": job_id,
        **top,
        "attempt": _walk(status.events, status.dropped).attempt,
        "updatedAt": iso(max(event.sent_at for event in status.history)),
        "history": [_entry(event) for event in status.history],
    }
    if status.dropped and status.events:
        view["history"][1 if status.pinned else 0]["droppedBefore"] = {
            "attempt": status.dropped.attempt,
            "steps": [_NAMES[step] for step in sorted(status.dropped.steps)],
        }
    if status.catalog:
        view["catalog"] = dict(status.catalog)
    return view


def _entry(event: Event) -> dict[str, Any]:
    own = {name: value for name, value in event.fields.items() if name not in _OURS_IN_AN_ENTRY}
    return {"messageId": event.message_id, "sentAt": iso(event.sent_at), **own}


def _read_ours(stored: Mapping[str, Any]) -> JobStatus:
    """Read what `_view` wrote; an entry that somebody else broke is left out."""
    before: list[Event] = []
    events: list[Event] = []
    dropped = None
    for entry in stored["history"]:
        if not isinstance(entry, dict):
            continue
        message_id, sent_at, step = (
            entry.get("messageId"),
            from_iso(entry.get("sentAt")),
            _step_of_entry(entry),
        )
        if not isinstance(message_id, str) or sent_at is None or step is None:
            continue
        if dropped is None and (dropped := _read_dropped(entry.get("droppedBefore"))):
            before, events = events, []
        fields = {name: value for name, value in entry.items() if name not in _OURS_IN_AN_ENTRY}
        events.append(Event(message_id, sent_at, step, fields))
    catalog = stored.get("catalog")
    return JobStatus(
        tuple(sorted(events, key=_order)),
        before[-1] if before else None,
        dropped,
        catalog if isinstance(catalog, dict) else {},
    )


def _read_dropped(value: object) -> Progress | None:
    if not isinstance(value, dict):
        return None
    attempt, names = value.get("attempt"), value.get("steps")
    if not isinstance(attempt, int) or not isinstance(names, list):
        return None
    return Progress(
        attempt,
        {_STEPS_BY_NAME[name]: None for name in names if isinstance(name, str) and name in _STEPS_BY_NAME},
    )


def _step_of_entry(entry: Mapping[str, Any]) -> Step | None:
    """Give an entry's step; the older system's last one has a name of its own."""
    if entry.get("stage") == "COMPLETE" and entry.get("status") == "SUCCESS":
        return Step.MOSAIC_FINISHED
    return step_of(entry)


def _bare(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"stage": fields["stage"], "status": fields["status"]}

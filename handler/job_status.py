"""A job's status: from the set of its events to one object (pure).

The rule: **the status depends only on the set of messages seen, never on their arrival order, their number
of deliveries or their batching.** SQS delivers at least once and in any order, and a redrive from the
dead-letter queue gives old messages new messageIds and new SentTimestamps; so

- events are deduplicated by messageId and sorted by (sentAt, step, messageId);
- walking them, a STARTED whose step the current attempt already has begins the next attempt, which keeps
  only the steps before that stage's STARTED; every event adds its step to the current attempt;
- the status is the furthest step of the current attempt (its newest event decides), so that a late message
  fills its gap and never takes a job backwards;
- SUCCESS is final: once a mosaic FINISHED has been seen, the newest of them decides, whatever comes after;
- a mosaic FINISHED that says what an earlier one said (the same target, the same set of images) is that one
  again, and as old: a redrive must not put what was replaced back into the catalog.

The history is the truth and the rest of the object a view of it; `catalog` alone has a life of its own
(`handler.notification`).

Known limits:

- Of more than 256 events the oldest are gone, all but the deciding one and, of the mosaic FINISHEDs that
  say the same, the first. What they amounted to stays, in `droppedBefore` of the oldest entry that is left;
  an event from before that moment is too late to count, unless it is a mosaic FINISHED.
- A third run that really repeats the first, after a second with another target or other images, is taken for
  the first: the second's status and catalog entry stay.
- A repeat of a mosaic FINISHED that is not in the history counts by its own time: of one that was never
  written down before its redrive, that an overwrite took, that is older than the newest 255 different ones,
  or whose entry gave way (next point).
- An object that would reach 4 MiB loses text of its oldest entries (`to_json`), and does not get it back.
- Another writer's overwrite takes the history with it.
- A STARTED that is redriven counts as a restart where it was counted already (its invocation was killed
  between writing and answering, time after time), or where a later one was.
- An object of the older system is one event of the time it was last modified, which is after that of the
  message that it tells of. So a mosaic FINISHED outranks the older system's SUCCESS, whichever is newer: the
  message is still to be told to the catalog.
"""

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from json import detect_encoding
from typing import Any, Final

from handler.messages import (
    MAX_DEPTH,
    STEPS,
    Event,
    InvalidMessage,
    Step,
    decode_object,
    encode,
    essence,
    is_images,
    refuse_oversized,
    step_of,
    without_ours,
)
from handler.tiles import tile_json, tiles_url

HISTORY_LIMIT = 256  # entries
SIZE_LIMIT = 4 * 1024 * 1024  # bytes; the object stays under it
MAX_STRING = 1_000  # what a long string is cut to, in characters, where something has to give

OLDER_SYSTEM = "older-system"  # stands for the messageId of an object that the older system wrote

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

_NAMES: Final = {step: f"{stage} {status}" for (stage, status), step in STEPS.items()}
_STEPS_BY_NAME: Final = {name: step for step, name in _NAMES.items()}
_SUCCESS: Final = {"stage": "COMPLETE", "status": "SUCCESS"}  # what a mosaic FINISHED is at the top
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
    pinned: tuple[Event, ...] = ()  # older ones that stay: what decides, and the first of each FINISHED
    dropped: Progress | None = None  # what the events before these amounted to
    catalog: Mapping[str, Any] = field(default_factory=dict)  # the object's section; empty before SUCCESS

    @property
    def history(self) -> tuple[Event, ...]:
        """All events that are still known, in order."""
        return (*self.pinned, *self.events)


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
        # An editor may have saved it with a byte order mark. A message's fields stand inside our object.
        stored = decode_object(body.decode(detect_encoding(body)), 2 * MAX_DEPTH)
    except ValueError as error:
        raise UnreadableStatus(str(error)) from error
    if isinstance(stored.get("history"), list):
        status = _read_ours(stored)
        # Smaller objects show what decides twice, and what somebody added at the top is none of it.
        return _completed(status, without_ours(stored)) if len(body) > SIZE_LIMIT // 3 else status
    if stored.get("status") == "PENDING":
        return JobStatus()
    step = _step_of_entry(stored)
    if step is None:
        raise UnreadableStatus("its stage and status are none of the known ones")
    event = Event(OLDER_SYSTEM, last_modified, step, _own_fields(OLDER_SYSTEM, stored))
    try:
        refuse_oversized(event, len(body))
    except InvalidMessage as error:
        raise UnreadableStatus(str(error)) from error
    return JobStatus((event,))


def fold(status: JobStatus, events: Iterable[Event]) -> JobStatus:
    """Take events into account.

    Args:
        status: what was known before.
        events: in any order, already known ones among them.

    Returns:
        What is known now; its `catalog` section as it was.
    """
    known = {event.message_id: event for event in status.events}
    outside = {event.message_id: event for event in status.pinned}
    # An event from before what was dropped is as gone as if it had been dropped itself.
    floor = _order(status.events[0]) if status.dropped and status.events else None
    for event in events:
        if event.message_id in known or event.message_id in outside:
            continue
        if floor is None or _order(event) > floor:
            known[event.message_id] = event
        elif event.step is Step.MOSAIC_FINISHED:
            outside[event.message_id] = event
    walked = tuple(sorted(known.values(), key=_order))
    return _bounded(replace(status, events=walked, pinned=tuple(outside.values())))


def deciding(status: JobStatus) -> Event:
    """Give the event that makes the status what it is.

    Args:
        status: of a job of which at least one event is known.
    """
    if finished := _first_of_each(status.history):
        return finished[-1]
    steps = _walk(status.events, status.dropped).steps
    # A step from before the walk may be a pinned event's.
    older = {event.step: event for event in sorted(status.pinned, key=_order)}
    return next(known for step in sorted(steps, reverse=True) if (known := steps[step] or older.get(step)))


def says_the_same(one: Event, other: Event) -> bool:
    """Tell whether two mosaic FINISHEDs say the same, so that the later one is the earlier one again."""
    return _said(one) == _said(other)


def to_json(job_id: str, status: JobStatus, tiles_base: str | None = None) -> bytes:
    """Write a job's status as the object to be stored, which stays under 4 MiB.

    Where it would not, entries that do not decide give way, the oldest first, and no more than needed:
    strings are cut to 1,000 characters; if that is not enough, what is not their essence goes; then all but
    their step, last of all from a FINISHED by which others are known as its repeats. What decides stands
    whole at the top, and where nothing else is left to give, in the history by its essence alone. Which steps
    are known, and so the status, does not change.

    Args:
        job_id: the job.
        status: what is known of it; at least one event.
        tiles_base: as in `handler.tiles.tiles_url`.

    Returns:
        UTF-8 JSON: an object, the same bytes for the same status.
    """
    body = encode(_view(job_id, status, status.history, tiles_base))
    if len(body) < SIZE_LIMIT:
        return body
    return encode(_view(job_id, status, _shortened(status, len(body)), tiles_base))


def _shortened(status: JobStatus, size: int) -> list[Event]:
    """Give a history's events so that an object of a size, in bytes, comes under its limit."""
    entries, decides = list(status.history), deciding(status)
    firsts = {event.message_id for event in _first_of_each(entries)}
    others = [index for index, event in enumerate(entries) if event is not decides]
    itself = [index for index, event in enumerate(entries) if event is decides]
    repeats = [index for index in others if entries[index].message_id not in firsts]
    sizes = [len(encode(event.fields)) for event in entries]
    for shorten, indices in (
        (_cut, others),
        (essence, others),
        (_bare, repeats),  # a repeat must not outlive the one that it is known by
        (_bare, others),
        (essence, itself),  # it stands at the top
    ):
        for index in indices:
            if size < SIZE_LIMIT:
                return entries
            fields = shorten(entries[index])
            gain = sizes[index] - len(encode(fields))
            if gain > 0:  # else a copy would take memory for nothing
                entries[index] = replace(entries[index], fields=fields)
                size, sizes[index] = size - gain, sizes[index] - gain
    return entries


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


def _bounded(status: JobStatus) -> JobStatus:
    """Let the oldest events go where there are too many, but for those that have to stay."""
    walked, outside = status.events, {event.message_id for event in status.pinned}
    stay = _first_of_each(status.history)[-(HISTORY_LIMIT - 1) :] or [deciding(status)]
    names = {event.message_id for event in stay}
    room, start = HISTORY_LIMIT - len(names & outside), 0
    while len(walked) - start > room:
        room -= walked[start].message_id in names  # its place is beside the newest
        start += 1
    dropped = status.dropped
    if start:
        gone = _walk(walked[:start], dropped)
        dropped = Progress(gone.attempt, dict.fromkeys(gone.steps))
        walked = walked[start:]
    left = {event.message_id for event in walked}
    pinned = sorted((event for event in stay if event.message_id not in left), key=_order)
    return replace(status, events=walked, pinned=tuple(pinned), dropped=dropped)


def _first_of_each(events: Iterable[Event]) -> list[Event]:
    """Give of the mosaic FINISHEDs that say the same the first, in order; the last of these decides.

    What does not say enough to be told apart (an entry that gave way, the older system's success) decides
    where there is nothing else.
    """
    first: dict[Hashable, Event] = {}
    for event in sorted(events, key=_order):
        if event.step is Step.MOSAIC_FINISHED:
            first.setdefault(_said(event), event)
    unclear = first.pop(None, None)
    return list(first.values()) or ([unclear] if unclear else [])


def _said(event: Event) -> Hashable:
    """Give what tells mosaic FINISHEDs apart; None where an event does not say enough."""
    target, images = event.fields.get("target"), event.fields.get("images")
    # The older system's success does not stand for its message, which is still to be told to the catalog.
    if event.message_id == OLDER_SYSTEM or not isinstance(target, str) or not is_images(images):
        return None
    return target, frozenset(images)


def _view(job_id: str, status: JobStatus, entries: Iterable[Event], tiles_base: str | None) -> dict[str, Any]:
    decides = deciding(status)
    top = dict(decides.fields)  # with the older system's own TileJSON
    if decides.step is Step.MOSAIC_FINISHED:
        top |= _SUCCESS
        if url := tiles_url(decides.fields.get("target"), tiles_base):
            top["tileJson"] = tile_json(job_id, url)
    view = {
        "jobId": job_id,
        **top,
        "attempt": _walk(status.events, status.dropped).attempt,
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
        events.append(Event(message_id, sent_at, step, _own_fields(message_id, entry)))
    catalog = stored.get("catalog")
    return JobStatus(
        tuple(sorted(events, key=_order)),
        tuple(sorted(before, key=_order)),
        dropped,
        catalog if isinstance(catalog, dict) else {},
    )


def _completed(status: JobStatus, top: dict[str, Any]) -> JobStatus:
    """Give what decides all that it says, where there was room for that at the top only."""
    if not status.history:
        return status
    decides = deciding(status)
    whole = replace(decides, fields=top | {name: decides.fields[name] for name in ("stage", "status")})
    if decides.fields != essence(whole):
        return status
    return replace(
        status,
        events=tuple(whole if event is decides else event for event in status.events),
        pinned=tuple(whole if event is decides else event for event in status.pinned),
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


def _own_fields(message_id: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a stored entry says beside what is ours; the older system's TileJSON is its own."""
    kept = {"tileJson"} & stored.keys() if message_id == OLDER_SYSTEM else set()
    return without_ours(stored) | {name: stored[name] for name in kept}


def _bare(event: Event) -> dict[str, Any]:
    return {name: event.fields[name] for name in ("stage", "status")}


def _cut(event: Event) -> dict[str, Any]:
    return {name: _cut_strings(value) for name, value in event.fields.items()} | essence(event)


def _cut_strings(value: Any) -> Any:
    """Copy a JSON value with every string of over 1,000 characters cut to that length, its end marked."""
    if isinstance(value, str):
        return value if len(value) <= MAX_STRING else value[: MAX_STRING - 1] + "…"
    if isinstance(value, list):
        return [_cut_strings(item) for item in value]
    if isinstance(value, dict):
        return {key: _cut_strings(item) for key, item in value.items()}
    return value

"""The status of a job, derived from its events (pure).

The rule: **the status depends only on the set of messages seen, never on their order of arrival, how often
they were delivered, or in which batches.** SQS delivers at least once and in any order, and a redrive from
the dead-letter queue gives old messages new messageIds and new SentTimestamps. So

- each messageId counts once, and events are sorted by (sentAt, step, messageId);
- they are walked in that order: a STARTED whose step the current attempt already has begins the next attempt,
  which keeps only the steps before that stage's STARTED; every event adds its step to the current attempt;
- the status is the furthest step of the current attempt, so that a late message fills its gap and never takes
  a job backwards. The newest event of that step *decides*: what it says is what the object says;
- SUCCESS is final: once a mosaic FINISHED has been seen, the newest one decides, whatever comes after;
- a mosaic FINISHED with the target and the set of images of an earlier one is a *repeat* of it, and as old as
  this *original*: a redrive must not put back into the catalog what was replaced there.

Known limits:

- Of more than 256 events the oldest are dropped, but not the one that decides, and no originals. What the
  dropped ones amounted to stays, in `droppedBefore` of the oldest entry that is left; an event from before
  that moment comes too late to count, unless it is a mosaic FINISHED.
- A third run that really repeats the first, after a second with another target or other images, is taken for
  a repeat: the second's status and catalog entry stay.
- A repeat whose original is not in the history counts by its own time: where the original was not written
  before its redrive, was lost to an overwrite, is older than the newest 255 originals, or was shortened to
  its step because the object was too large.
- A STARTED that is redriven counts as a restart where it was counted already (its invocation was killed
  between writing and answering, at each delivery), or where a later one was.
- An object of the legacy system is one event of the time when it was last modified, which is later than its
  message. So a mosaic FINISHED outranks the legacy system's SUCCESS, whichever is newer: the catalog has not
  been notified of that message.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from handler.events import Event, Step, is_images

MAX_HISTORY = 256  # entries

LEGACY_MESSAGE_ID = "older-system"  # of the event that stands for an object of the legacy system

_STARTED = frozenset({Step.CHUNK_STARTED, Step.MOSAIC_STARTED})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a walk over a job's events has come."""

    attempt: int  # the number of the current attempt; the first is 1
    steps: Mapping[Step, Event | None]  # of the current attempt; the newest event of each, None if dropped


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What is known of a job."""

    events: tuple[Event, ...] = ()  # the newest events, in order
    pinned: tuple[Event, ...] = ()  # older ones that stay: the one that decides, and the originals
    dropped: Progress | None = None  # what the dropped events amounted to
    catalog: Mapping[str, Any] = field(default_factory=dict)  # the object's section; empty before SUCCESS

    @property
    def history(self) -> tuple[Event, ...]:
        """Return all events that are still known, in order."""
        return (*self.pinned, *self.events)

    @property
    def progress(self) -> Progress:
        """Return how far the job has come."""
        return _walk(self.events, self.dropped)


def fold(status: JobStatus, events: Iterable[Event]) -> JobStatus:
    """Return a status with more events, in any order, known ones among them; its `catalog` stays."""
    known = {event.message_id: event for event in status.events}
    pinned = {event.message_id: event for event in status.pinned}
    for event in events:
        if event.message_id in known or event.message_id in pinned:
            continue
        if _is_in_time(status, event):
            known[event.message_id] = event
        elif event.step is Step.MOSAIC_FINISHED:
            pinned[event.message_id] = event
    return _bounded(replace(status, events=in_order(known.values()), pinned=tuple(pinned.values())))


def new_events(before: JobStatus, after: JobStatus, events: Iterable[Event]) -> Iterator[Event]:
    """Yield those of the events that a fold took `before` to `after` with, and that were not known before.

    One that came too late to count is not among them, however often it is delivered.
    """
    known = {event.message_id for event in before.history}
    kept = {event.message_id for event in after.history}
    for event in events:
        if event.message_id not in known and (event.message_id in kept or _is_in_time(before, event)):
            yield event


def deciding_event(status: JobStatus) -> Event:
    """Return the event that decides, of a job with at least one event."""
    if finished := originals(status.history):
        return finished[-1]
    steps = status.progress.steps
    # The event of a step that was dropped may be pinned.
    pinned = {event.step: event for event in in_order(status.pinned)}
    return next(known for step in sorted(steps, reverse=True) if (known := steps[step] or pinned.get(step)))


def originals(events: Iterable[Event]) -> list[Event]:
    """Return the mosaic FINISHEDs that are no repeats, in order; the last one decides.

    One that does not say enough to be compared (a shortened entry, the legacy system's success) counts only
    where there is no other.
    """
    first: dict[Hashable, Event] = {}
    for event in in_order(events):
        if event.step is Step.MOSAIC_FINISHED:
            first.setdefault(_identity(event), event)
    unclear = first.pop(None, None)
    return list(first.values()) or ([unclear] if unclear else [])


def is_repeat(one: Event, other: Event) -> bool:
    """Return whether of two mosaic FINISHEDs the later one repeats the earlier one."""
    return _identity(one) == _identity(other)


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return events in the order of the rule."""
    return tuple(sorted(events, key=_key))


def _is_in_time(status: JobStatus, event: Event) -> bool:
    """Return whether an event is newer than the dropped ones; else it counts as dropped with them."""
    return not (status.dropped and status.events) or _key(event) > _key(status.events[0])


def _key(event: Event) -> tuple[int, Step, str]:
    return event.sent_at, event.step, event.message_id


def _identity(event: Event) -> Hashable:
    """Return what a mosaic FINISHED shares with its repeats; None where it does not say enough."""
    target, images = event.fields.get("target"), event.fields.get("images")
    # The legacy system's success does not stand for its message: the catalog was not notified of that.
    if event.message_id == LEGACY_MESSAGE_ID or not isinstance(target, str) or not is_images(images):
        return None
    return target, frozenset(images)


def _walk(events: Iterable[Event], dropped: Progress | None) -> Progress:
    attempt, steps = (dropped.attempt, dict(dropped.steps)) if dropped else (1, {})
    for event in events:
        if event.step in _STARTED and event.step in steps:
            attempt += 1
            steps = {step: known for step, known in steps.items() if step < event.step}
        steps[event.step] = event
    return Progress(attempt, steps)


def _bounded(status: JobStatus) -> JobStatus:
    """Drop the oldest events where there are too many, and pin those of them that have to stay."""
    events, dropped = status.events, status.dropped
    stay = originals(status.history)[-(MAX_HISTORY - 1) :] or [deciding_event(status)]
    staying = {event.message_id for event in stay}
    room, start = MAX_HISTORY - len(staying & {event.message_id for event in status.pinned}), 0
    while len(events) - start > room:
        room -= events[start].message_id in staying  # it moves to the pinned ones
        start += 1
    if start:
        gone = _walk(events[:start], dropped)
        dropped = Progress(gone.attempt, dict.fromkeys(gone.steps))
        events = events[start:]
    left = {event.message_id for event in events}
    pinned = in_order(event for event in stay if event.message_id not in left)
    return replace(status, events=events, pinned=pinned, dropped=dropped)

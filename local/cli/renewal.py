"""What makes the notification of a finished job due again, by the function's own rules (pure).

The function notifies the catalog when a mosaic FINISHED comes and the status object does not say NOTIFIED (or
MOCKED) of what the object's deciding event says. A message with that event's target and images is a repeat of
it: it changes nothing else (`handler.job_status`). So the object has to say PENDING, and that message has to
come. Where two come, the first notifies, and the second finds NOTIFIED.
"""

from dataclasses import dataclass
from json import detect_encoding

from handler.catalog_entry import CatalogEntry, CatalogState
from handler.events import Event, Step
from handler.job_status import deciding_event
from handler.messages import InvalidMessage, parse
from handler.status_object import UnreadableStatus, read, to_iso
from handler.status_store import StoredObject
from handler.strict_json import MAX_DEPTH, decode_object, encode

_OWNER = "renotify"  # whose claim none is


class NotRenewable(Exception):
    """Raised when a job's notification can't become due; its text completes "JOB: "."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """How a job's notification becomes due again.

    Attributes:
        target: where the tiler wrote to.
        images: how many images the mosaic has.
        message: the body of the message to send.
        body: the status object to write first; None where the notification is due already.
    """

    target: str
    images: int
    message: str
    body: bytes | None


def renew(job_id: str, stored: StoredObject | None, now: int) -> Renewal:
    """Return how a job's notification becomes due again.

    Args:
        job_id: the job.
        stored: its status object.
        now: the time in milliseconds since the epoch.

    Raises:
        NotRenewable: when there is none, it is not SUCCESS, the catalog is being notified of it, or it does
            not hold what the message has to say.
    """
    if stored is None:
        raise NotRenewable("it has no status object")
    try:
        status = read(stored.body, stored.last_modified)
    except UnreadableStatus as error:
        raise NotRenewable(f"what is stored is no status object: {error}") from error
    if not status.history:
        raise NotRenewable("it is PENDING, not SUCCESS")
    event = deciding_event(status)
    if event.step is not Step.MOSAIC_FINISHED:
        raise NotRenewable(f"it is {event.fields['stage']} {event.fields['status']}, not SUCCESS")
    entry = CatalogEntry.read(status.catalog)
    if entry.expires_at is not None and entry.is_claimed(_OWNER, now):
        raise NotRenewable(
            f"the catalog is being notified of it; until {to_iso(entry.expires_at)} "
            "nothing else may notify it"
        )
    message = _message(job_id, event)
    is_done = entry.state in {CatalogState.NOTIFIED, CatalogState.MOCKED}
    body = _due(stored.body, entry, now) if is_done else None
    return Renewal(event.fields["target"], len(event.fields["images"]), message, body)


def _message(job_id: str, event: Event) -> str:
    """Return a mosaic FINISHED that repeats an event, and that the function takes."""
    known = {name: event.fields[name] for name in ("target", "images") if name in event.fields}
    body = encode({"jobId": job_id, "stage": "mosaic", "status": "FINISHED", **known}).decode()
    try:
        parse("", "0", body)
    except InvalidMessage as error:
        raise NotRenewable(
            f"its status object does not hold what the catalog has to know: {error}. "
            "The tiler has to send its message again"
        ) from error
    return body


def _due(body: bytes, entry: CatalogEntry, now: int) -> bytes:
    """Return a status object of which the catalog is to be notified; all else in it stays as it is."""
    stored = decode_object(body.decode(detect_encoding(body)), 2 * MAX_DEPTH)
    due = CatalogEntry(CatalogState.PENDING, entry.uri, entry.digest, 0, to_iso(now))
    return encode(stored | {"catalog": due.section()})

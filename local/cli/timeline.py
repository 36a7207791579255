"""A job's history, laid out for people."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from handler.events import Event
from handler.job_status import JobStatus
from handler.status_object import UnreadableStatus, from_iso, read
from handler.strict_json import encode


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a job's history, for people.

    Attributes:
        sent_at: when it was sent, in milliseconds since the epoch.
        attempt: of which attempt of the job it is; None where that is not known any more.
        stage: its stage.
        status: its status.
        detail: what else it says, on one line, short.
    """

    sent_at: int
    attempt: int | None
    stage: str
    status: str
    detail: str

    @property
    def date(self) -> str:
        """Return the day when it was sent, UTC."""
        return f"{datetime.fromtimestamp(self.sent_at // 1000, UTC):%Y-%m-%d}"

    @property
    def time(self) -> str:
        """Return the time of day when it was sent: hours to milliseconds, UTC."""
        return f"{datetime.fromtimestamp(self.sent_at // 1000, UTC):%H:%M:%S}.{self.sent_at % 1000:03d}"


def timeline(status: Mapping[str, Any]) -> list[Entry]:
    """Lay out a status object's history, read by the function's own rules.

    Args:
        status: the object.

    Returns:
        Its entries in order; none of an object without a history. What was broken by hand is left out.
    """
    if not isinstance(status.get("history"), list):
        return []
    try:
        found = read(encode(status), 0)
    except UnreadableStatus:
        return []
    # What is pinned is of before the dropped entries: which attempt it was of went with them.
    entries = [_entry(event, None) for event in found.pinned]
    for number, event in enumerate(found.events, 1):
        attempt = JobStatus(found.events[:number], dropped=found.dropped).progress.attempt
        entries.append(_entry(event, attempt))
    return entries


def sent_between(status: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return when the first and the last message of a status object's history were sent.

    In milliseconds since the epoch; None of an object without a history.
    """
    history = status.get("history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    times = [at for entry in entries if (at := from_iso(entry.get("sentAt"))) is not None]
    return (min(times), max(times)) if times else None


def _entry(event: Event, attempt: int | None) -> Entry:
    fields = event.fields
    return Entry(event.sent_at, attempt, fields["stage"], fields["status"], _detail(fields))


def _detail(fields: Mapping[str, Any]) -> str:
    parts = [
        f"{name}: {_one_line(value)}" for name, value in fields.items() if name not in {"stage", "status"}
    ]
    return _one_line(", ".join(parts), 100)


def _one_line(value: object, length: int = 60) -> str:
    if isinstance(value, str) and value.count("\n") > 3:
        return f"{value.count(chr(10)) + 1} lines"
    if isinstance(value, list):
        return f"{len(value)} of them"
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.replace("\n", "⏎").replace("\r", "")
    return text if len(text) <= length else text[: length - 1] + "…"

"""A job's `catalog` section, in words (pure)."""

from collections.abc import Mapping
from typing import Any

from handler.catalog_entry import CatalogEntry, CatalogState
from handler.queue import CAP, MAX_RETRY_AFTER
from handler.status_object import to_iso
from local.cli.text import printable

NEXT = (
    f"next try with the message's next delivery, within {CAP // 60} minutes "
    f"({MAX_RETRY_AFTER // 60} if the catalog asked for it)"
)


def catalog_in_words(status: Mapping[str, Any], now: int) -> str:
    """Say what became of a job's notification, and what comes next.

    Args:
        status: the job's status object.
        now: in milliseconds since the epoch.
    """
    section = status.get("catalog")
    if not isinstance(section, dict):
        return _without_section(status)
    entry = CatalogEntry.read(section)
    at = printable(entry.updated_at, 30) or "a time that is not known"
    if entry.state == CatalogState.NOTIFIED:
        return f"told at {at}, {_at_try(entry.attempts)}"
    if entry.state == CatalogState.MOCKED:
        return f"not told: at {at} the function ran with MOCK_OAM_API"
    if entry.state not in set(CatalogState):
        return f"its state is none of the known ones: {printable(entry.state, 60)}"
    return _due(entry, now)


def _due(entry: CatalogEntry, now: int) -> str:
    until = "" if entry.expires_at is None else to_iso(entry.expires_at)
    claimed = entry.expires_at is not None and entry.expires_at > now
    if entry.error is not None:
        text = f"{_failures(entry)}, last: {printable(entry.error, 1_000)}; {NEXT}"
        return text + f", not before {until}: until then the catalog may be at work on it" * claimed
    if claimed:
        return f"an invocation is telling it now, {_at_try(entry.attempts)}, until {until} at the latest"
    if until:
        return f"asked {_at_try(entry.attempts)}, and no answer was recorded by {until}; {NEXT}"
    return f"not asked: there was no time left, or it was down a moment before; {NEXT}"


def _without_section(status: Mapping[str, Any]) -> str:
    if status.get("status") != "SUCCESS":
        return "told when the job is done"
    if not isinstance(status.get("history"), list):
        return "not known: the older system wrote this object"
    return "not told: the job's target or images are none that it could be told of"


def _failures(entry: CatalogEntry) -> str:
    """Say how often it failed; the catalog refuses by an answer below 500."""
    word = "refused" if (entry.error or "").startswith("HTTP 4") else "failed"
    return f"{word} {entry.attempts} time{'s' * (entry.attempts != 1)}"


def _at_try(attempts: int) -> str:
    return f"at try {attempts}"

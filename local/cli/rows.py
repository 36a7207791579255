"""What is kept of each job for a list of them, which of them are wanted, and their totals (pure)."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import nlargest
from typing import Any

from handler.catalog_entry import CatalogState
from handler.status_object import to_iso
from local.cli.jobs import Found, Listed
from local.cli.text import printable
from local.cli.timeline import sent_between

_ENDED = frozenset({"SUCCESS", "FAILED"})
_STATUSES = ("SUCCESS", "FAILED", "FINISHED", "STARTED", "PENDING")
_ERROR_CHARACTERS = 500  # that are kept of an error


class Kind(StrEnum):
    """A kind of jobs that can be asked for; which are of it, their objects' content alone tells."""

    FAILED = "failed"
    STUCK = "stuck"
    NOT_NOTIFIED = "not notified"


@dataclass(frozen=True, slots=True)
class Row:
    """A job in a list: little is kept of its object.

    Attributes:
        listed: the object.
        stage: its stage; empty if it is no status object.
        status: its status, as the stage.
        attempt: the number of the attempt; None if the object says none.
        catalog: the catalog's state; empty before SUCCESS.
        error: why the job failed, or the catalog's last refusal, cut; as it was written, and so not to be
            printed as it is. Empty if neither.
        problem: what is wrong with the object; empty if nothing is.
        has_history: whether this function wrote it: the older system's has none.
        sent: when its first and its last message were sent, in milliseconds since the epoch; None where its
            history does not say so.
    """

    listed: Listed
    stage: str = ""
    status: str = ""
    attempt: int | None = None
    catalog: str = ""
    error: str = ""
    problem: str = ""
    has_history: bool = False
    sent: tuple[int, int] | None = None

    @classmethod
    def of(cls, listed: Listed, found: Found) -> "Row":
        """Keep what is shown of an object."""
        status, problem = found.status, printable(found.problem, 300)
        if status is None:
            return cls(listed, problem=problem)
        section, attempt = status.get("catalog"), status.get("attempt")
        catalog: Mapping[str, Any] = section if isinstance(section, dict) else {}
        return cls(
            listed,
            printable(status["stage"], 8),
            printable(status["status"], 8),
            attempt if type(attempt) is int else None,
            printable(str(catalog["state"]), 8) if "state" in catalog else "",
            _error(status, catalog),
            problem,
            isinstance(status.get("history"), list),
            sent_between(status),
        )

    @property
    def is_job(self) -> bool:
        """Return whether it is a status object."""
        return bool(self.status)

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "jobId": self.listed.job_id,
            "key": self.listed.key,
            "stage": self.stage or None,
            "status": self.status or None,
            "attempt": self.attempt,
            "firstSentAt": to_iso(self.sent[0]) if self.sent else None,
            "lastSentAt": to_iso(self.sent[1]) if self.sent else None,
            "lastModified": to_iso(round(self.listed.modified * 1000)),
            "catalog": self.catalog or None,
            "error": self.error or None,
            "problem": self.problem or None,
        }


def _error(status: Mapping[str, Any], catalog: Mapping[str, Any]) -> str:
    for error, name in ((status.get("error"), ""), (catalog.get("error"), "catalog: ")):
        if error is not None:
            return name + (error if isinstance(error, str) else json.dumps(error))[:_ERROR_CHARACTERS]
    return ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The jobs that are asked for; times are in seconds.

    Attributes:
        now: since the epoch.
        kind: of which kind; None for any.
        since: last written in so much time; None for any time.
        silent: not written for so much time; None for any time.
    """

    now: float
    kind: Kind | None = None
    since: float | None = None
    silent: float | None = None

    def may_hold(self, listed: Listed) -> bool:
        """Return whether an object has to be read: what the listing rules out has not."""
        age = self.now - listed.modified
        return (self.since is None or age <= self.since) and (self.silent is None or age >= self.silent)

    def holds(self, row: Row) -> bool:
        """Return whether a job is wanted; what is no status object may be any job's, and is."""
        if not row.is_job or self.kind is None:
            return True
        if self.kind is Kind.FAILED:
            return row.status == "FAILED"
        if self.kind is Kind.STUCK:
            return row.status not in _ENDED
        # Whether the older system, which wrote no history, told the catalog is not known.
        return row.status == "SUCCESS" and row.catalog != CatalogState.NOTIFIED and row.has_history


@dataclass(slots=True)
class Listing:
    """What a listing of the bucket says.

    Attributes:
        objects: how many there are.
        candidates: how many it does not rule out.
        to_read: those of them that have to be read, the newest first.
    """

    objects: int = 0
    candidates: int = 0
    to_read: list[Listed] = field(default_factory=list)

    @classmethod
    def of(cls, objects: Iterable[Listed], wanted: Wanted, limit: int | None) -> "Listing":
        """Choose from a listing; without a kind the newest are enough, and no more is kept.

        Args:
            objects: the listing.
            wanted: the jobs that are asked for.
            limit: how many are shown; None for all.
        """
        found = cls()
        kept = found._counted(objects, wanted)
        if wanted.kind is None and limit is not None:
            found.to_read = nlargest(limit, kept, key=_age)
        else:
            found.to_read = sorted(kept, key=_age, reverse=True)
        return found

    def _counted(self, objects: Iterable[Listed], wanted: Wanted) -> Iterable[Listed]:
        for listed in objects:
            self.objects += 1
            if wanted.may_hold(listed):
                self.candidates += 1
                yield listed


def _age(listed: Listed) -> tuple[float, str]:
    return listed.modified, listed.key


@dataclass(slots=True)
class Totals:
    """How many jobs of which kind were read.

    Attributes:
        jobs: those that are wanted.
        strangers: objects that are no status objects.
        statuses: the jobs by status.
        catalog: the jobs by the catalog's state.
    """

    jobs: int = 0
    strangers: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    catalog: Counter[str] = field(default_factory=Counter)

    def count(self, row: Row) -> int:
        """Count a row; return how many of its sort there are by now: jobs, or what is none."""
        if not row.is_job:
            self.strangers += 1
            return self.strangers
        self.jobs += 1
        self.statuses[row.status if row.status in _STATUSES else "other"] += 1
        if row.catalog:
            self.catalog[row.catalog if row.catalog in set(CatalogState) else "other"] += 1
        return self.jobs

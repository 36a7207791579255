"""Compares what was found with what the scenario says (pure)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.demo.scenario import Job


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one thing is as it must be.

    Attributes:
        subject: what was looked at.
        expected: how it must be, in a few words.
        differences: what is otherwise; empty if nothing is.
    """

    subject: str
    expected: str
    differences: tuple[str, ...]


def judge_job(job: Job, message_ids: Sequence[str], status: Mapping[str, Any] | None) -> Verdict:
    """Judge a job's status object.

    Args:
        job: the job.
        message_ids: those of its messages, in the order in which they were sent.
        status: its status object; None if there is none.
    """
    wanted = job.expected
    summary = f"{wanted.stage} {wanted.status}, attempt {wanted.attempt}"
    if status is None:
        return Verdict(job.job_id, summary, ("there is no status object",))
    catalog = status.get("catalog") or {}
    tiles = (status.get("tileJson") or {}).get("tiles")
    registration = wanted.registration
    steps = [(message.stage, message.status) for message in job.messages]
    expected_and_found = {
        "jobId": (job.job_id, status.get("jobId")),
        "stage": (wanted.stage, status.get("stage")),
        "status": (wanted.status, status.get("status")),
        "attempt": (wanted.attempt, status.get("attempt")),
        "error": (wanted.error, status.get("error")),
        "tiles": ([registration.uri] if registration else None, tiles),
        "catalog state": ("NOTIFIED" if registration else None, catalog.get("state")),
        "catalog attempts": (registration.attempts if registration else None, catalog.get("attempts")),
        "steps": (steps, [(entry.get("stage"), entry.get("status")) for entry in status["history"]]),
        "messages": (list(message_ids), [entry.get("messageId") for entry in status["history"]]),
    }
    return Verdict(
        job.job_id,
        summary + (", in the catalog" if registration else ""),
        tuple(
            f"{name} is {found!r}, not {expected!r}"
            for name, (expected, found) in expected_and_found.items()
            if found != expected
        ),
    )


def judge_strangers(jobs: Iterable[Job], keys: Iterable[str]) -> Verdict:
    """Judge which objects the bucket holds.

    Args:
        jobs: the jobs that must have one.
        keys: the jobIds of those that are there.
    """
    strangers = sorted(set(keys) - {job.job_id for job in jobs})
    return Verdict(
        "bucket",
        "no status object but these jobs'",
        tuple(f"a status object of no job here: {name}" for name in strangers),
    )


def judge_catalog(jobs: Iterable[Job], taken: Iterable[Mapping[str, Any]]) -> Verdict:
    """Judge what the catalog took: each finished job once, with its images.

    Args:
        jobs: the jobs.
        taken: the payloads that the catalog took.
    """
    registrations = [job.expected.registration for job in jobs if job.expected.registration]
    wanted = Counter((registration.uri, registration.images) for registration in registrations)
    found = Counter((entry["uri"], tuple(image["uuid"] for image in entry["images"])) for entry in taken)
    return Verdict(
        "catalog",
        f"{wanted.total()} entries, each sent once",
        _differences(wanted, found, "was not told of", "was told too often, or wrongly, of"),
    )


def judge_dead_letters(poison: Iterable[str], bodies: Iterable[str]) -> Verdict:
    """Judge what the dead-letter queue holds: the poison and nothing else.

    Args:
        poison: the bodies that must be there.
        bodies: those that are.
    """
    wanted, found = Counter(poison), Counter(bodies)
    return Verdict(
        "dead letters",
        f"the {wanted.total()} poison messages",
        _differences(wanted, found, "is missing", "does not belong there"),
    )


def _differences(wanted: Counter[Any], found: Counter[Any], missing: str, surplus: str) -> tuple[str, ...]:
    return tuple(
        [f"{missing}: {item!r}" for item in (wanted - found).elements()]
        + [f"{surplus}: {item!r}" for item in (found - wanted).elements()]
    )

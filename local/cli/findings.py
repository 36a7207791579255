"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check ended."""

    OK = "ok"
    WRONG = "wrong"
    NOT_ASKED = "not asked"  # because the settings make it unnecessary


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        result: how it ended.
        found: what is there, or what is wrong.
        todo: what to do; empty unless something is wrong.
    """

    result: Result
    found: str
    todo: str = ""


def ok(found: str) -> Finding:
    """Return the finding of a check that found all as it must be."""
    return Finding(Result.OK, found)


def wrong(found: str, todo: str) -> Finding:
    """Return the finding of a check that found something wrong."""
    return Finding(Result.WRONG, found, todo)


def not_asked(why: str) -> Finding:
    """Return the finding of a check that was not made."""
    return Finding(Result.NOT_ASKED, why)

"""The names of all that can come of a message or a job: what an operator counts."""

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """One count each; the value is the CloudWatch metric's name."""

    # of a message
    PUBLISHED = "MessagesPublished"  # new in its job's status object
    UNCHANGED = "MessagesUnchanged"  # was there already: a redelivery
    RECOVERED = "MessagesRecovered"  # malformed JSON that was understood
    INVALID = "MessagesInvalid"  # failed: can never succeed
    DEFERRED = "MessagesDeferred"  # failed: no time was left in the invocation
    FAILED = "MessagesFailed"  # failed: any other reason that may pass; the metric counts both
    UNEXPECTED = "MessagesUnexpected"  # failed: a defect of ours
    # of a job
    CONFLICT = "StatusConflicts"  # an attempt lost to another writer
    REPLACED = "StatusObjectsReplaced"  # the stored object was nobody's status object
    CATALOG_NOTIFIED = "CatalogNotified"
    CATALOG_MOCKED = "CatalogMocked"
    CATALOG_FAILED = "CatalogFailed"
    CATALOG_CLAIMED = "CatalogClaimed"  # another invocation was at it
    CATALOG_SPARED = "CatalogSpared"  # not asked: it was down a moment ago


@dataclass
class Report:
    """What came of some messages."""

    failed: dict[str, Exception] = field(default_factory=dict)  # by messageId, each with its reason
    outcomes: list[Outcome] = field(default_factory=list)  # all that happened, once for each time
    lags: list[int] = field(default_factory=list)  # milliseconds from sent to published, of each message

    def add(self, other: "Report") -> None:
        """Take over what came of other messages."""
        self.failed |= other.failed
        self.outcomes += other.outcomes
        self.lags += other.lags

"""What can come of a message or a job, and the errors after which it may succeed later."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Outcome(StrEnum):
    """One count each; the value is the CloudWatch metric's name."""

    # of a message
    PUBLISHED = "MessagesPublished"  # new in its job's status object
    UNCHANGED = "MessagesUnchanged"  # was there already: a redelivery
    RECOVERED = "MessagesRecovered"  # malformed JSON that was understood
    INVALID = "MessagesInvalid"  # failed: can never succeed
    DEFERRED = "MessagesDeferred"  # failed: no time was left in the invocation
    FAILED = "MessagesFailed"  # failed: any other reason that may pass; the metric counts both
    UNEXPECTED = "MessagesUnexpected"  # failed: a defect of this function
    # of a job
    CONFLICT = "StatusConflicts"  # an attempt lost to another writer
    REPLACED = "StatusObjectsReplaced"  # the stored object was no status object
    CATALOG_NOTIFIED = "CatalogNotified"
    CATALOG_MOCKED = "CatalogMocked"
    CATALOG_FAILED = "CatalogFailed"
    CATALOG_CLAIMED = "CatalogClaimed"  # another invocation was notifying the catalog
    CATALOG_SHORT_CIRCUITED = "CatalogSpared"  # not called: it was down a moment ago


class MessageError(Exception):
    """Raised when a message failed, by no defect: one that may succeed later, or never can."""

    outcome: ClassVar[Outcome]  # of each message that fails by it


class RetryLater(MessageError):
    """Raised when a message failed for a reason that may have passed at its next delivery.

    That is to be `retry_after` seconds later at least.
    """

    outcome = Outcome.FAILED
    job_outcome: ClassVar[Outcome | None] = None  # of its job, where that has a name
    may_be_processing: ClassVar[bool] = False  # whether the catalog may have got the request

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class OutOfTime(RetryLater):
    """Raised when too little of the invocation is left to begin or to finish a step."""

    outcome = Outcome.DEFERRED


class StatusStoreError(RetryLater):
    """Raised when S3 does not read or write a status object."""


class StatusConflict(StatusStoreError):
    """Raised when other writers came first at every attempt."""


class ConditionRefused(StatusStoreError):
    """Raised when the store refuses a condition that holds, so that nothing can be written to it."""


class TokenUnavailable(RetryLater):
    """Raised when the catalog's token can't be read, or can't be one, and there is none from before."""

    job_outcome = Outcome.CATALOG_FAILED


class CatalogClaimed(RetryLater):
    """Raised when another invocation is notifying the catalog of the same job."""

    job_outcome = Outcome.CATALOG_CLAIMED


class CircuitOpen(RetryLater):
    """Raised when the catalog is not called, because it was down a moment ago."""

    job_outcome = Outcome.CATALOG_SHORT_CIRCUITED


class CatalogError(RetryLater):
    """Raised when the catalog refused a notification, or may not have taken it."""

    job_outcome = Outcome.CATALOG_FAILED


class CatalogDown(CatalogError):
    """Raised when the catalog does not serve: no whole response, or one of a proxy before it.

    A 500 is not counted here: it is the application's own response, and may be about this one notification.
    """

    may_be_processing = True


class CatalogTimeout(CatalogDown):
    """Raised when the catalog got the request, and did not respond in time."""


class CatalogUnavailable(CatalogDown):
    """Raised when the catalog's application can't have got the request: it may be sent again immediately."""

    may_be_processing = False


class CatalogBusy(CatalogUnavailable):
    """Raised when the catalog limits how often it is called (429)."""


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

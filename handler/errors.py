"""The family of errors that a later delivery may not meet again.

Its counterpart, a message that will never succeed, is `handler.messages.InvalidMessage`.
"""


class RetryLater(Exception):
    """Raised when a message failed for a reason that may have passed when SQS delivers it again.

    Args:
        reason: what happened.
        retry_after: the seconds for which somebody asked to be left alone, if anybody did.
    """

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class OutOfTime(RetryLater):
    """Raised when too little of the invocation is left to begin or to finish a piece of work."""


class CatalogError(RetryLater):
    """Raised when the catalog did not take a notification, or nobody knows whether it did."""


class CatalogDown(CatalogError):
    """Raised when the catalog serves nobody at this moment: no answer, 429, 502, 503 or 504.

    A 500 is not counted: it may be about this one notification.
    """

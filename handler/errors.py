"""The family of errors that a later delivery may not meet again.

Its counterpart, a message that will never succeed, is `handler.messages.InvalidMessage`.
"""


class RetryLater(Exception):
    """Raised when a message failed for a reason that may have passed when SQS delivers it again."""


class OutOfTime(RetryLater):
    """Raised when too little of the invocation is left to begin or to finish a piece of work."""

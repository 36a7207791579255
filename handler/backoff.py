"""How long a failed message waits for its next delivery (pure).

Exponential with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
With the stack's 60 receives an outage of six hours dead-letters nothing, and all is back within 20 minutes
of its end.
"""

from math import ceil

# All in seconds.
BASE = 10
CAP = 1_200
# What a Retry-After may ask for. SQS would allow 12 hours (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html),
# but a message that waits so long each time is deleted at the end of the queue's retention period before it
# has used up its receives, and nobody finds it among the dead letters.
LONGEST = 3_600


def delay(receives: int, chance: float, at_least: float = 0.0) -> int:
    """Give the seconds until a message's next delivery.

    Args:
        receives: how often it has been received, this time included.
        chance: a random number from 0 to 1.
        at_least: the seconds that somebody asked for (a Retry-After).
    """
    longest = min(CAP, BASE << min(max(receives, 1) - 1, 20))
    return min(LONGEST, ceil(max(at_least, chance * longest)))

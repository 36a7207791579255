"""How long a failed message waits for its next delivery (pure).

Exponential with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
With the stack's 60 receives an outage of six hours dead-letters nothing, and all is back within 20 minutes
of its end.
"""

from math import ceil

# All in seconds.
BASE = 10
CAP = 1_200
# A message can be invisible for 12 hours from its receipt, and the invocation has taken some of them:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
LONGEST = 11 * 3_600


def delay(receives: int, chance: float, at_least: float = 0.0) -> int:
    """Give the seconds until a message's next delivery.

    Args:
        receives: how often it has been received, this time included.
        chance: a random number from 0 to 1.
        at_least: the seconds that somebody asked for (a Retry-After).
    """
    longest = min(CAP, BASE << min(max(receives, 1) - 1, 20))
    return min(LONGEST, ceil(max(at_least, chance * longest)))

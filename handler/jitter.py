"""Full jitter, for what is retried within an invocation."""

import random


def full_jitter(base: float, tries: int, cap: float) -> float:
    """Return the seconds to wait after so many tries: a random part of a time that doubles with each.

    Those that were in each other's way come back one by one
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    return random.uniform(0, min(cap, base * 2**tries))  # noqa: S311 (no secret)

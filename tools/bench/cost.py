"""What a million messages cost: arithmetic on measured durations and AWS's prices (pure)."""

from dataclasses import dataclass
from math import ceil

# USD, us-east-1, arm64: https://aws.amazon.com/lambda/pricing/, https://aws.amazon.com/s3/pricing/,
# https://aws.amazon.com/sqs/pricing/ (standard queue)
GB_SECOND = 0.0000133334
INVOCATION = 0.20 / 1e6
S3_GET = 0.0004 / 1e3
S3_PUT = 0.005 / 1e3
SQS_REQUEST = 0.40 / 1e6

SQS_BATCH = 10  # messages that a receive or a delete takes

MILLION = 1_000_000


@dataclass(frozen=True)
class Cost:
    """USD for a million messages."""

    invocations: float
    duration: float
    s3: float
    sqs: float

    @property
    def total(self) -> float:
        return self.invocations + self.duration + self.s3 + self.sqs


def batch_of(rate: float, most: int, window: int) -> int:
    """Give how many messages a batch holds when they come steadily.

    Lambda gathers until it has as many as it may, or until the window is over
    (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html).

    Args:
        rate: messages a second.
        most: the mapping's batch size.
        window: its batching window, in seconds.
    """
    return max(1, min(most, round(rate * window)))


def cost(batch: int, jobs: int, completions: float, seconds: float, memory: int, *, textbook: bool) -> Cost:
    """Give the cost of a million messages in batches of one kind.

    Args:
        batch: messages of a batch.
        jobs: of how many jobs they are.
        completions: how many of them finish a job.
        seconds: how long the function takes for a batch.
        memory: the function's, in MB.
        textbook: a get and a put for each message, in place of one for each job and one for each completion.
    """
    batches = MILLION / batch
    gets = batch if textbook else jobs
    puts = batch if textbook else jobs + completions
    requests = batch + 2 * ceil(batch / SQS_BATCH)  # sent one by one, received and deleted by the ten
    return Cost(
        invocations=batches * INVOCATION,
        duration=batches * seconds * memory / 1024 * GB_SECOND,
        s3=batches * (gets * S3_GET + puts * S3_PUT),
        sqs=batches * requests * SQS_REQUEST,
    )

"""How long an invocation may take, and what each step needs of that. All times are in seconds.

Nothing is begun that can't end, and nothing is sent after the end. The clock is the wall clock: Lambda may
freeze an instance between two invocations, and no page says whether a monotonic clock goes on meanwhile.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from handler.outcomes import OutOfTime


class Timeout:
    """The longest that a call waits."""

    AWS_CONNECT = 0.3
    AWS_READ = 0.95
    CONNECT = 3.0  # to the catalog, for each of its addresses
    POST = 25.0  # for the catalog's response


class Reserve:
    """What a step needs; it is begun only with so much left. The one table of all these times.

    Together: a job is begun with 3 s left of the invocation (JOB + RESPONSE = 2.9), and the catalog is called
    with 5 s left (NOTIFY + RESPONSE = 4.95; a token that is not known yet takes an AWS_CALL more). No client
    of AWS tries again by itself, so the worst case of a call is its two timeouts. An S3 that takes longer
    than its timeout to respond is down: its messages come back. A name with several silent addresses takes
    several connect timeouts: `batch` does not wait beyond the deadline, nor `catalog` beyond its own share.

    With a queue URL a batch stops waiting VISIBILITY before the deadline. So a job that was begun with less
    than JOB + VISIBILITY left may be done, and its messages be reported as failed all the same. That does no
    harm: at their next delivery they are known.
    """

    AWS_CALL = Timeout.AWS_CONNECT + Timeout.AWS_READ  # 1.25: one attempt

    JOB = 2 * AWS_CALL  # 2.5: read the status object, write it
    CLAIM = AWS_CALL  # 1.25: write the status object with the claim in it
    POST = 0.7  # less than this is no time to wait for the catalog's response
    RECORD = JOB + 0.1  # 2.6: write what the catalog said; after a conflict, which is quick, read and write
    SEND = POST + RECORD  # 3.3: a notification that is claimed
    NOTIFY = CLAIM + SEND  # 4.55

    # 1.35: set when failed messages come back. It does not grow with the batch: for those that there is no
    # time for, the queue's default visibility timeout applies.
    VISIBILITY = AWS_CALL + 0.1

    RESPONSE = 0.4  # collect what the jobs gave, log, count and respond
    RESPONSE_PER_MESSAGE = 0.000_06  # the same for each message, with a whole CPU: twice what was measured


# Lambda gives a function one whole CPU at this memory, and less in proportion
# (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
_ONE_CPU_MB = 1_769


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which an invocation's work has to be over."""

    at: float  # seconds since the epoch
    clock: Callable[[], float] = time.time

    @classmethod
    def of_invocation(cls, seconds: float, messages: int, memory_mb: int) -> "Deadline":
        """Return the deadline of an invocation that begins now, and that Lambda ends after some seconds.

        What the response needs comes after it: more for each message, and with less memory, for that means
        less of a CPU.
        """
        share = min(1.0, memory_mb / _ONE_CPU_MB)
        response = Reserve.RESPONSE + messages * Reserve.RESPONSE_PER_MESSAGE / share
        return cls(time.time() + seconds - response)

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.clock()

    def remaining(self) -> float:
        """Return the seconds that are left; negative when the time is over."""
        return self.at - self.clock()

    def require(self, seconds: float, what: str) -> None:
        """Raise OutOfTime if less than `seconds` are left; `what` completes "no time left to …"."""
        if self.remaining() < seconds:
            raise OutOfTime(f"no time left to {what}")

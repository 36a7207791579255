"""Moves dead letters back to their queue from here, one by one and the oldest first."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.letters import Hand, Letter
from local.cli.move_task import MoveFailed, Progress

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HOLD = 900  # seconds for which a letter is invisible to others, at the most
PORTION = 10_000  # letters that are held at once; SQS allows 120,000 in flight
_SHARE = 0.6  # of HOLD, that a portion may take at the rate asked for

_JUST_APART = (
    0.002  # seconds between two sends: SentTimestamp counts milliseconds, and orders a job's messages
)

Keep = Callable[[Letter], str | None]  # says why a letter has to stay where it is; None if it is to move


@dataclass(frozen=True, slots=True)
class Way:
    """How letters move.

    Attributes:
        source: the dead-letter queue.
        target: the queue.
        rate: messages a second at the most; None as fast as it goes.
    """

    source: str
    target: str
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter that stayed where it was.

    Attributes:
        message_id: its messageId.
        sent_at: when it was sent, in milliseconds since the epoch.
        excerpt: how its body begins.
        reason: why it stayed.
    """

    message_id: str
    sent_at: int
    excerpt: str
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of a move.

    Attributes:
        moved: how many letters have moved.
        kept: those that stayed where they were.
        not_put_back: how many of those come back only when the time is over for which they were held.
    """

    moved: int
    kept: list[Kept]
    not_put_back: int


def move_one_by_one(sqs: "SQSClient", way: Way, count: int, keep: Keep, progress: Progress) -> Moved:
    """Move letters one by one: sent before it is deleted, one may come twice but is never lost.

    They are taken in portions, and in each the oldest goes first: a job's messages are ordered by their new
    times. No more are taken than there were at the start, and none that was sent from here and is back again.

    Args:
        sqs: the queues' client.
        way: from where, to where, and how fast.
        count: how many letters are there.
        keep: says why a letter has to stay.
        progress: told after each letter how many have moved, of how many.

    Returns:
        What came of it.

    Raises:
        MoveFailed: when a letter was sent and could not be deleted.
        ClientError, BotoCoreError: when SQS does not give or take a letter.
    """
    kept: list[Kept] = []
    moved = 0
    rate = way.rate
    portion = min(PORTION, int(rate * HOLD * _SHARE)) if rate else PORTION
    began = time.monotonic()
    with Hand(sqs, way.source, HOLD) as hand:
        while letters := hand.take(min(portion, count - moved - len(kept))):
            for letter in letters:
                if reason := keep(letter):
                    kept.append(Kept(letter.message_id, letter.sent_at, letter.body[:200], reason))
                    continue
                with _uninterrupted():
                    _move(sqs, hand, letter, way.target)
                moved += 1
                progress(moved, count)
                time.sleep(max(_JUST_APART, began + moved / rate - time.monotonic() if rate else 0))
    return Moved(moved, kept, hand.not_put_back)


def _move(sqs: "SQSClient", hand: Hand, letter: Letter, target: str) -> None:
    more: dict[str, Any] = {"MessageAttributes": letter.attributes} if letter.attributes else {}
    if trace := letter.system.get("AWSTraceHeader"):
        more["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
    sent = sqs.send_message(QueueUrl=target, MessageBody=letter.body, **more)
    hand.ignore(sent["MessageId"])
    try:
        hand.delete(letter)
    except (BotoCoreError, ClientError) as error:
        raise MoveFailed(
            f"{letter.message_id} was sent, and is a dead letter still: it could not be deleted: {error}"
        ) from error


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off until the context ends: a letter is not left sent and undeleted.

    Raises:
        KeyboardInterrupt: at the end, when it came.
    """
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (signal's)
        nonlocal asked
        asked = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt

"""Moves dead letters back to their queue from here, one by one and the oldest first."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.interrupts import Uninterrupted
from local.cli.letters import Hand, Letter, job_of
from local.cli.move_task import MoveFailed
from local.cli.queues import JUST_APART

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HOLD = 900  # seconds for which a letter is invisible to others, at the most
PORTION = 10_000  # letters that are held at once; SQS allows 120,000 in flight
_SHARE = 0.6  # of HOLD, that a portion may take at the rate asked for

Keep = Callable[[Letter], str | None]  # says why a letter has to stay where it is; None if it is to move
OnMoved = Callable[[Letter, str], None]  # told of each letter that has moved, with its new messageId
OnSeen = Callable[[int, int], None]  # told how many letters have been dealt with, of how many


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
class Selection:
    """The letters that are meant; with no name in it, all of them.

    Attributes:
        jobs: those of these jobs.
        message_ids: and those with these messageIds.
    """

    jobs: frozenset[str] = frozenset()
    message_ids: frozenset[str] = frozenset()

    @property
    def is_all(self) -> bool:
        """Whether all letters are meant."""
        return not self.jobs and not self.message_ids

    def names_of(self, letter: Letter) -> set[str]:
        """Give the names by which a letter is meant; none if it is not, or if all are."""
        if self.is_all:
            return set()
        return ({letter.message_id} & self.message_ids) | ({job_of(letter.body) or ""} & self.jobs)


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter that stayed where it was.

    Attributes:
        message_id: its messageId.
        job_id: its job's; None if it names none.
        sent_at: when it was sent, in milliseconds since the epoch.
        excerpt: how its body begins.
        reason: why it stayed.
    """

    message_id: str
    job_id: str | None
    sent_at: int
    excerpt: str
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of a move.

    Attributes:
        moved: how many letters have moved.
        kept: those that were meant, and stayed where they were.
        not_put_back: how many of those in hand come back only when the time is over for which they were held.
        found: the names of the selection of which there was a letter.
    """

    moved: int
    kept: list[Kept]
    not_put_back: int
    found: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """Which letters move, and who is told.

    Attributes:
        keep: says why a letter has to stay.
        selection: which letters are meant.
        on_moved: told of each letter that has moved.
        on_seen: told how far it is.
    """

    keep: Keep
    selection: Selection = Selection()
    on_moved: OnMoved | None = None
    on_seen: OnSeen | None = None


def move_one_by_one(sqs: "SQSClient", way: Way, count: int, rules: Rules) -> Moved:
    """Move letters one by one: sent before it is deleted, one may come twice but is never lost.

    They are taken in portions, and in each the oldest goes first: a job's messages are ordered by their new
    times. No more are taken than there were at the start, and none that was sent from here and is back again.

    Args:
        sqs: the queues' client.
        way: from where, to where, and how fast.
        count: how many letters are there.
        rules: which of them move, and who is told.

    Returns:
        What came of it.

    Raises:
        MoveFailed: when a letter was sent and could not be deleted.
        ClientError, BotoCoreError: when SQS does not give or take a letter.
    """
    kept: list[Kept] = []
    found: set[str] = set()
    moved = seen = 0
    rate, began = way.rate, time.monotonic()
    portion = min(PORTION, int(rate * HOLD * _SHARE)) if rate else PORTION
    with Hand(sqs, way.source, HOLD) as hand:
        while letters := hand.take(min(portion, count - seen)):
            for letter in letters:
                seen += 1
                names = rules.selection.names_of(letter)
                found |= names
                if names or rules.selection.is_all:
                    if reason := rules.keep(letter):
                        kept.append(_kept(letter, reason))
                    else:
                        _move(sqs, hand, letter, way.target, rules)
                        moved += 1
                        time.sleep(max(JUST_APART, began + moved / rate - time.monotonic() if rate else 0))
                if rules.on_seen:
                    rules.on_seen(seen, count)
    return Moved(moved, kept, hand.not_put_back, frozenset(found))


def _kept(letter: Letter, reason: str) -> Kept:
    return Kept(letter.message_id, job_of(letter.body), letter.sent_at, letter.body[:200], reason)


def _move(sqs: "SQSClient", hand: Hand, letter: Letter, target: str, rules: Rules) -> None:
    more: dict[str, Any] = {"MessageAttributes": letter.attributes} if letter.attributes else {}
    if trace := letter.system.get("AWSTraceHeader"):
        more["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
    with Uninterrupted():  # a letter is not left sent and undeleted, nor its line unwritten
        sent = sqs.send_message(QueueUrl=target, MessageBody=letter.body, **more)
        hand.ignore(sent["MessageId"])
        try:
            hand.delete(letter)
        except (BotoCoreError, ClientError) as error:
            raise MoveFailed(
                f"{letter.message_id} was sent, and is a dead letter still: it could not be deleted: {error}"
            ) from error
        if rules.on_moved:
            rules.on_moved(letter, sent["MessageId"])

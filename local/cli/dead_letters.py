"""`oam-status dead-letters`: lists what is in the dead-letter queue, and why; all of it stays there.

A message is validated again, as the function did it. Of a valid one the status object may tell what the
catalog said.
"""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from handler.messages import parse
from handler.status_object import to_iso
from local.cli.configuration import find_stack
from local.cli.console import console, print_json
from local.cli.durations import in_words
from local.cli.interrupts import end_on_signals
from local.cli.jobs import Found, find_job
from local.cli.letters import Hand, Letter, job_of, refusal
from local.cli.options import json_option, stack_options
from local.cli.progress import progress_bar
from local.cli.queues import count, find_dead_letter_queue
from local.cli.target import Part, Target
from local.cli.text import printable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LOOKING = 120  # seconds for which a message is invisible to others while we look at it, at the most
_OTHERS = 29  # columns beside those of the messageId: 4 + 8 for Age and Received, 11 for Job, 6 between
_MOST = 1_000_000  # letters that are read at once
_AT_ONCE = 10  # are taken, then looked into: what is shown meanwhile moves on

_EXAMPLE = """\b
Examples:
  oam-status dead-letters
  oam-status dead-letters --all --json | jq -r .jobId | sort | uniq -c
"""

# Gives a job's status object, as it was found.
StatusOf = Callable[[str], Found]

OnRead = Callable[[int], None]  # told how many have been read


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed too often.

    Attributes:
        message_id: its messageId.
        job_id: its job's; None if it names none.
        sent_at: when it was sent, in milliseconds since the epoch.
        received: how often it was received, looks at it in the dead-letter queue among them.
        body: its body.
        reason: why it failed, as far as that can be told.
    """

    message_id: str
    job_id: str | None
    sent_at: int
    received: int
    body: str
    reason: str


@click.command("dead-letters", epilog=_EXAMPLE)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many to list.")
@click.option("--all", "everything", is_flag=True, help="List all of them.")
@stack_options
@json_option
def dead_letters(limit: int, stack: str | None, port: int, *, everything: bool, as_json: bool) -> None:
    """List the dead letters, the oldest first, each with its reason.

    Each with its messageId, its age (since it was sent), how often it was
    received (looks at it counted, this one too), and its job. All stay
    where they are, and are invisible to others for the moment.

    With --json an object each, a line each, with the whole body.

    Exit code 1 when the list is not complete: there are more than --limit,
    or some were in flight. What is listed is then not all that a purge
    would delete.
    """
    end_on_signals()
    target = find_stack(Part.QUEUE | Part.BUCKET, port, stack)
    with target.explaining("Reading the dead-letter queue failed"):
        is_complete = _list(target, _MOST if everything else limit, as_json=as_json)
    sys.exit(0 if is_complete else 1)


def _list(target: Target, limit: int, *, as_json: bool) -> bool:
    url, _ = find_dead_letter_queue(target.sqs, target.queue_url)
    counts = count(target.sqs, url)
    total = min(limit, counts.visible)
    with progress_bar("Reading", total) as bar:
        letters = read_dead_letters(
            target.sqs,
            url,
            lambda job_id: find_job(target.s3, target.bucket, target.prefix, job_id),
            limit + 1,  # one more, to see that there is one: SQS's counts are approximate
            lambda read: bar.show(read, max(read, total)),
        )
    listed = letters[:limit]
    _show(listed, as_json=as_json)
    more = max(counts.visible, len(letters)) - len(listed)
    text = f"{len(listed)} in the dead-letter queue"
    if more:
        todo = "--all lists them." if len(letters) > limit else "list them again."
        text += f", and about {more} more, not listed: {todo}"
    print(text, file=sys.stderr)
    if counts.in_flight:
        print(counts.in_flight_text, file=sys.stderr)
    return not more and not counts.in_flight


def _show(letters: list[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        for letter in letters:
            print_json(_as_object(letter))
    elif letters:
        out = console()
        out.print(as_table(letters, time.time(), out.width))


def read_dead_letters(
    sqs: "SQSClient",
    queue_url: str,
    status_of: StatusOf,
    limit: int = _MOST,
    on_read: OnRead | None = None,
) -> list[DeadLetter]:
    """Read a dead-letter queue, and leave its messages there.

    They are invisible to others meanwhile, for 120 seconds at the most.

    Args:
        sqs: the queue's client.
        queue_url: the queue.
        status_of: gives a job's status object, which may tell why a valid message failed.
        limit: how many to read.
        on_read: told how far it is.

    Returns:
        What is there, the oldest first.
    """
    letters: list[DeadLetter] = []
    with Hand(sqs, queue_url, LOOKING) as hand:
        while taken := hand.take(min(_AT_ONCE, limit - len(letters))):
            for letter in taken:
                letters.append(_dead_letter(letter, status_of))
                if on_read:
                    on_read(len(letters))
    if hand.not_put_back:
        print(f"{hand.not_put_back} of them are visible again within {LOOKING} seconds.", file=sys.stderr)
    return sorted(letters, key=lambda letter: letter.sent_at)


def as_table(letters: Iterable[DeadLetter], now: float, columns: int = 80) -> Group:
    """Lay out dead letters for a terminal: below each line its reason, and how its body begins.

    Args:
        letters: in the order in which they are shown.
        now: the time in seconds since the epoch.
        columns: of the terminal; with fewer than 65, messageIds are folded.
    """
    width = max(8, min(36, columns - _OTHERS))
    parts: list[RenderableType] = [_row(width, "Message", "Age", "Received", "Job", "bold")]
    for letter in letters:
        job = printable(letter.job_id or "-", 256)
        since = in_words(now - letter.sent_at / 1000)
        parts.append(_row(width, letter.message_id, since, str(letter.received), job))
        detail = f"{printable(letter.reason, 500)}\n{printable(letter.body, 70)}"
        parts.append(Padding(Text(detail, overflow="fold"), (0, 0, 0, 4)))
    return Group(*parts)


def _row(width: int, message_id: str, since: str, received: str, job: str, style: str = "") -> Table:
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=width, overflow="fold", style=style)
    row.add_column(width=4, justify="right", style=style)
    row.add_column(width=8, justify="right", style=style)
    row.add_column(overflow="fold", style=style)
    row.add_row(message_id, since, received, Text(job))
    return row


def _dead_letter(letter: Letter, status_of: StatusOf) -> DeadLetter:
    reason = _reason(letter, status_of)
    return DeadLetter(
        letter.message_id, job_of(letter.body), letter.sent_at, letter.received, letter.body, reason
    )


def _reason(letter: Letter, status_of: StatusOf) -> str:
    if reason := refusal(letter):
        return reason
    job_id = parse(letter.message_id, str(letter.sent_at), letter.body).job_id
    found = status_of(job_id)
    catalog = (found.status or {}).get("catalog")
    if isinstance(catalog, dict) and catalog.get("error"):
        return f"a valid message; of job {job_id} the catalog said: {catalog['error']}"
    hint = f" (the status object of job {job_id}: {found.problem})" if found.problem else ""
    return f"a valid message; the function's log says why it failed{hint}"


def _as_object(letter: DeadLetter) -> dict[str, object]:
    return {
        "messageId": letter.message_id,
        "jobId": letter.job_id,
        "sentAt": to_iso(letter.sent_at),
        "received": letter.received,
        "reason": letter.reason,
        "body": letter.body,
    }

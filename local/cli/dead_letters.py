"""`make dead-letters`: lists what is in the dead-letter queue, and why; all of it stays there.

Of the stack that .env or the environment names (it needs OAM_STATUS_SQS_QUEUE_URL, OAM_STATUS_BUCKET and
OAM_STATUS_PREFIX); else of `make start`'s embedded stack. A message is validated again, as the function did
it. Of a valid one the status object may tell what the catalog said. To look at a message makes it invisible
to others meanwhile, and counts as a receive, which does no harm there.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from handler.messages import parse
from handler.status_object import to_iso
from local.cli.configuration import find_stack
from local.cli.jobs import Found, find_job
from local.cli.letters import Hand, Letter, refusal
from local.cli.queues import NoQueue, count, find_dead_letter_queue
from local.cli.target import MISCONFIGURED, ConfigurationError, Part, Target
from local.cli.text import as_text
from local.stack.embedded import PORT

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LOOKING = 120  # seconds for which a message is invisible to others while we look at it, at the most

# Gives a job's status object, as it was found.
StatusOf = Callable[[str], Found]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed too often.

    Attributes:
        message_id: its messageId.
        sent_at: when it was sent, in milliseconds since the epoch.
        body: its body.
        reason: why it failed, as far as that can be told.
    """

    message_id: str
    sent_at: int
    body: str
    reason: str


def main() -> int:
    """List.

    Returns:
        The exit code: 0, also where there is nothing to list; 1 if the queue can't be read; 2 if it is not
        clear which stack is meant.
    """
    parser = argparse.ArgumentParser(prog="python -m local.cli.dead_letters", description=__doc__)
    parser.add_argument("--limit", type=int, default=100, help="how many to list (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="a JSON object for each, with the whole body")
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded stack (default: %(default)s)")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        target = find_stack(Part.QUEUE | Part.BUCKET, arguments.port)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    try:
        _list(target, arguments.limit, as_json=arguments.json)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 1
    except NoQueue as error:
        print(error, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(f"Reading the dead-letter queue failed: {target.explain(error)}", file=sys.stderr)
        return 1
    return 0


def _list(target: Target, limit: int, *, as_json: bool) -> None:
    url, _ = find_dead_letter_queue(target.sqs, target.queue_url)
    counts = count(target.sqs, url)
    letters = read_dead_letters(
        target.sqs, url, lambda job_id: find_job(target.s3, target.bucket, target.prefix, job_id), limit
    )
    for letter in letters:
        print(
            _as_json(letter)
            if as_json
            else as_text(letter.sent_at, letter.message_id, letter.body, letter.reason)
        )
    more = max(0, counts.visible - len(letters))
    print(
        f"{len(letters)} in the dead-letter queue" + (f", and about {more} more (--limit)" if more else ""),
        file=sys.stderr,
    )
    if counts.in_flight:
        print(counts.in_flight_text, file=sys.stderr)


def read_dead_letters(
    sqs: "SQSClient", queue_url: str, status_of: StatusOf, limit: int = 1_000_000
) -> list[DeadLetter]:
    """Read a dead-letter queue, and leave its messages there.

    They are invisible to others meanwhile, for 120 seconds at the most.

    Args:
        sqs: the queue's client.
        queue_url: the queue.
        status_of: gives a job's status object, which may tell why a valid message failed.
        limit: how many to read.

    Returns:
        What is there, the oldest first.
    """
    letters: list[DeadLetter] = []
    with Hand(sqs, queue_url, LOOKING) as hand:
        while taken := hand.take(limit - len(letters)):
            letters += [
                DeadLetter(letter.message_id, letter.sent_at, letter.body, _reason(letter, status_of))
                for letter in taken
            ]
    if hand.not_put_back:
        print(f"{hand.not_put_back} of them are visible again within {LOOKING} seconds.", file=sys.stderr)
    return sorted(letters, key=lambda letter: letter.sent_at)


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


def _as_json(letter: DeadLetter) -> str:
    return json.dumps(
        {
            "messageId": letter.message_id,
            "sentAt": to_iso(letter.sent_at),
            "reason": letter.reason,
            "body": letter.body,
        }
    )


if __name__ == "__main__":
    sys.exit(main())

"""`make redrive`: sends what is in the dead-letter queue back to the queue, and shows how far it is.

For the queue that .env or the environment names (OAM_STATUS_SQS_QUEUE_URL); else for `make start`'s embedded
stack. What the function would refuse again stays where it is, and is listed; the others are sent and then
deleted one by one, the oldest first. With --all everything moves, by SQS's own move, until as many have moved
as there were at the start; on a server without that call (moto) one by one from here, which is said. What
comes back has new messageIds and new times; the function is made for that. To look at a letter makes it
invisible to others for a while, and counts as a receive, which does no harm there. Ctrl-C ends it; what has
moved has moved.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.configuration import find_stack
from local.cli.confirm import NoTerminal, ask, check_can_ask
from local.cli.letters import Letter, refusal
from local.cli.move_by_hand import HOLD, Keep, Kept, Moved, Way, move_one_by_one
from local.cli.move_task import FASTEST, MoveFailed, UnknownCall, move_all
from local.cli.queues import Counts, NoQueue, attributes, count, find_dead_letter_queue
from local.cli.target import MISCONFIGURED, ConfigurationError, Part, Target
from local.cli.text import as_text
from local.stack.embedded import PORT

_PAUSE = 1.0  # seconds between two lines of progress


def main() -> int:
    """Redrive.

    Returns:
        The exit code: 0 if all is moved but what the function would refuse again; 1 if not, or if any is in
        flight; 2 if it is not clear which stack is meant, or there is nobody to ask.
    """
    parser = argparse.ArgumentParser(prog="python -m local.cli.redrive", description=__doc__)
    parser.add_argument(
        "--rate", type=_rate, help=f"messages a second, up to {FASTEST} (default: as fast as it goes)"
    )
    parser.add_argument(
        "--all", action="store_true", help="what the function would refuse again too, by SQS's own move"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded stack (default: %(default)s)")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        target = find_stack(Part.QUEUE, arguments.port)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    yes = arguments.yes or target.is_embedded
    try:
        check_can_ask(yes=yes)
        return _redrive(target, everything=arguments.all, rate=arguments.rate, yes=yes)
    except KeyboardInterrupt:
        print("Stopped. `make redrive` goes on with what is left.", file=sys.stderr)
    except NoTerminal as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    except (NoQueue, MoveFailed) as error:
        print(error, file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"The redrive failed: {target.explain(error)}", file=sys.stderr)
    return 1


def _redrive(target: Target, *, everything: bool, rate: int | None, yes: bool) -> int:
    dead_letter_url, arn = find_dead_letter_queue(target.sqs, target.queue_url)
    counts = count(target.sqs, dead_letter_url)
    if counts.visible:
        plan = f"{counts.visible} dead letters of {dead_letter_url} go back to {target.queue_url}"
        plan += ", all of them." if everything else "; what the function would refuse again stays."
        if not target.is_embedded and not ask(plan, yes=yes):
            return 1
        moved = _move(target, dead_letter_url, arn, counts, everything=everything, rate=rate)
        _report(moved, counts, target.queue_url)
    elif not counts.in_flight:
        print("The dead-letter queue is empty.")
    if counts.in_flight:
        print(counts.in_flight_text, file=sys.stderr)
        return 1
    return 0


def _move(
    target: Target, dead_letter_url: str, arn: str, counts: Counts, *, everything: bool, rate: int | None
) -> Moved:
    progress = _Progress()
    if everything:
        try:
            return Moved(move_all(target.sqs, arn, counts.visible, rate, progress), [], 0)
        except UnknownCall as error:
            print(f"This server has no move of its own ({error}): moving one by one.", file=sys.stderr)
    own_arn = attributes(target.sqs, target.queue_url, "QueueArn")["QueueArn"]
    keep = _keep(own_arn, everything=everything)
    way = Way(dead_letter_url, target.queue_url, rate)
    return move_one_by_one(target.sqs, way, counts.visible, keep, progress)


def _keep(queue_arn: str, *, everything: bool) -> Keep:
    def keep(letter: Letter) -> str | None:
        # Where several queues have one dead-letter queue, AWS says where a letter came from.
        if (source := letter.system.get("DeadLetterQueueSourceArn", queue_arn)) != queue_arn:
            return f"it came from another queue: {source}"
        return None if everything else refusal(letter)

    return keep


def _report(result: Moved, counts: Counts, queue_url: str) -> None:
    for kept in sorted(result.kept, key=_sent):
        print(as_text(kept.sent_at, kept.message_id, kept.excerpt, kept.reason))
    print(f"Moved {result.moved} of {counts.visible} messages back to {queue_url}")
    if result.kept:
        print(f"{len(result.kept)} stay, for the reasons above (make redrive ALL=1 moves them).")
    if result.not_put_back:
        print(f"{result.not_put_back} of them are visible again within {HOLD} seconds.", file=sys.stderr)


def _sent(kept: Kept) -> int:
    return kept.sent_at


class _Progress:
    """Prints a line now and then, and one for the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock()

    def __call__(self, moved: int, total: int) -> None:
        if moved >= total or self._clock() >= self._next:
            print(f"    moved {moved} of {total}", flush=True)
            self._next = self._clock() + _PAUSE


def _rate(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {FASTEST}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

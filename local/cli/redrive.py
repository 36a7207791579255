"""`oam-status redrive`: sends dead letters back to the queue, and shows how far it is.

What comes back has new messageIds and new times; the function is made for that.
"""

import sys
from functools import partial

import click

from local.cli.configuration import find_stack
from local.cli.confirm import ask, check_can_ask
from local.cli.console import print_json
from local.cli.interrupts import end_on_signals
from local.cli.letters import Letter, job_of, refusal
from local.cli.move_by_hand import HOLD, Moved, Rules, Selection, Way, move_one_by_one
from local.cli.move_task import FASTEST, UnknownCall, move_all
from local.cli.options import json_option, stack_options, yes_option
from local.cli.progress import progress_bar
from local.cli.queues import Counts, attributes, count, find_dead_letter_queue
from local.cli.target import Part, Target
from local.cli.text import counted, printable

_EXAMPLE = """\b
Examples:
  oam-status redrive --rate 50
  oam-status redrive --job scene-17 --job scene-18
  oam-status redrive --all --yes
"""


@click.command(epilog=_EXAMPLE)
@click.option("--job", "jobs", metavar="ID", multiple=True, help="Those of this job alone; repeatable.")
@click.option("--message", "messages", metavar="ID", multiple=True, help="This one alone; repeatable.")
@click.option("--all", "everything", is_flag=True, help="What the function would refuse again, too.")
@click.option(
    "--rate", type=click.IntRange(1, FASTEST), metavar="N", help=f"Messages a second, up to {FASTEST}."
)
@stack_options
@yes_option
@json_option
def redrive(  # noqa: PLR0913 (one for each option)
    jobs: tuple[str, ...],
    messages: tuple[str, ...],
    rate: int | None,
    stack: str | None,
    port: int,
    *,
    everything: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send dead letters back to the queue.

    What the function would refuse again stays, and is listed. The others
    are sent and then deleted one by one, the oldest first, a line each.

    --all moves everything by SQS's own move, until as many have moved as
    there were at the start; on a server without that call one by one.
    Together with --job or --message: all of those.

    Ctrl-C ends it; what has moved has moved. With --json an object for
    each letter that moved or stays, and one with the counts.

    Exit code 1, too, when a letter that --job or --message names was not
    seen or stays, or when letters are in flight.
    """
    end_on_signals()
    target = find_stack(Part.QUEUE, port, stack)
    yes = yes or target.is_embedded
    check_can_ask(yes=yes)
    selection = Selection(frozenset(jobs), frozenset(messages))
    try:
        with target.explaining("The redrive failed"):
            run = _Redrive(target, selection, rate, everything=everything, as_json=as_json)
            sys.exit(0 if run(yes=yes) else 1)
    except KeyboardInterrupt:
        print("Stopped. `oam-status redrive` goes on with what is left.", file=sys.stderr)
        sys.exit(1)


class _Redrive:
    """A redrive, as it was asked for.

    Args:
        target: the stack.
        selection: which letters are meant.
        rate: messages a second at the most; None as fast as it goes.
        everything: whether what the function would refuse again moves too.
        as_json: whether machines read what is printed.
    """

    def __init__(
        self, target: Target, selection: Selection, rate: int | None, *, everything: bool, as_json: bool
    ) -> None:
        self._target = target
        self._selection = selection
        self._rate = rate
        self._everything = everything
        self._as_json = as_json
        self._url, self._arn = find_dead_letter_queue(target.sqs, target.queue_url)

    def __call__(self, *, yes: bool) -> bool:
        """Move, unless the person at the terminal says no; tell whether all is well."""
        counts = count(self._target.sqs, self._url)
        moved = Moved(0, [], 0)
        if counts.visible:
            if not self._target.is_embedded and not ask(self._plan(counts), yes=yes):
                return False
            moved = self._move(counts)
        elif not counts.in_flight:
            print("The dead-letter queue is empty.", file=sys.stderr)
        is_well = self._report(moved, counts)
        if counts.in_flight:
            print(counts.in_flight_text, file=sys.stderr)
        return is_well and not counts.in_flight

    def _plan(self, counts: Counts) -> str:
        which = "those" if self._selection.is_all else f"those that are meant ({self._names()})"
        if not self._everything:
            which += " that can succeed"
        rest = ", all of them." if self._everything else "; what the function would refuse again stays."
        letters = counted(counts.visible, "dead letter")
        return f"Of {letters} of {self._url}, {which} go back to {self._target.queue_url}{rest}"

    def _names(self) -> str:
        names = [f"of job {name}" for name in sorted(self._selection.jobs)]
        names += [f"message {name}" for name in sorted(self._selection.message_ids)]
        return printable(", ".join(names), 1000)

    def _move(self, counts: Counts) -> Moved:
        sqs, total = self._target.sqs, counts.visible
        with progress_bar("Moving") as bar:
            if self._everything and self._selection.is_all:
                try:
                    return Moved(move_all(sqs, self._arn, total, self._rate, bar.show), [], 0)
                except UnknownCall as error:
                    print(
                        f"This server has no move of its own ({error}): moving one by one.", file=sys.stderr
                    )
            own_arn = attributes(sqs, self._target.queue_url, "QueueArn")["QueueArn"]
            keep = partial(_why_it_stays, own_arn, self._everything)
            rules = Rules(keep, self._selection, self._say_moved, bar.show)
            return move_one_by_one(sqs, Way(self._url, self._target.queue_url, self._rate), total, rules)

    def _say_moved(self, letter: Letter, message_id: str) -> None:
        job_id = job_of(letter.body)
        if self._as_json:
            print_json({"messageId": letter.message_id, "jobId": job_id, "sentAs": message_id})
        else:
            print(f"sent {letter.message_id}  {printable(job_id or '-', 256)}", flush=True)

    def _report(self, result: Moved, counts: Counts) -> bool:
        """Say what came of it; tell whether all that was named has moved."""
        for kept in sorted(result.kept, key=lambda kept: kept.sent_at):
            if self._as_json:
                print_json({"messageId": kept.message_id, "jobId": kept.job_id, "stays": kept.reason})
            else:
                print(f"stays {kept.message_id}  {printable(kept.excerpt, 100)}")
                print(f"    {printable(kept.reason, 500)}")
        missing = sorted((self._selection.jobs | self._selection.message_ids) - result.found)
        for name in missing:
            print(self._missing(name, counts), file=sys.stderr)
        total = counts.visible if self._selection.is_all else result.moved + len(result.kept)
        if self._as_json:
            print_json({"moved": result.moved, "of": total, "stay": len(result.kept)})
        elif total:
            print(f"Moved {result.moved} of {counted(total, 'message')} back to {self._target.queue_url}")
        else:
            print("No message was moved.")
        if len(result.kept) == 1:
            print("1 stays, for the reason above (--all moves it).", file=sys.stderr)
        elif result.kept:
            print(f"{len(result.kept)} stay, for the reasons above (--all moves them).", file=sys.stderr)
        if result.not_put_back:
            verb = "is" if result.not_put_back == 1 else "are"
            print(f"{result.not_put_back} {verb} visible again within {HOLD} seconds.", file=sys.stderr)
        return self._selection.is_all or not (missing or result.kept)

    def _missing(self, name: str, counts: Counts) -> str:
        """Say that no letter of a job, or with a messageId, was seen."""
        of_job = name in self._selection.jobs
        what = f"No dead letter {'of job' if of_job else 'with the messageId'} {printable(name)} was seen"
        if not counts.in_flight:
            return f"{what}."
        return f"{what}; {counts.in_flight} in flight may be {'its' if of_job else 'it'}."


def _why_it_stays(queue_arn: str, everything: bool, letter: Letter) -> str | None:
    # Where several queues have one dead-letter queue, AWS says where a letter came from.
    if (source := letter.system.get("DeadLetterQueueSourceArn", queue_arn)) != queue_arn:
        return f"it came from another queue: {source}"
    return None if everything else refusal(letter)

"""`oam-status renotify`: notifies the catalog once more of finished jobs, through the function."""

import sys
import time
from collections.abc import Callable, Sequence

import click
from botocore.exceptions import BotoCoreError, ClientError

from handler.deadline import Deadline
from handler.outcomes import OutOfTime, StatusConflict, StatusStoreError
from handler.status_store import StatusStore
from local.cli.configuration import find_stack
from local.cli.confirm import ask, check_can_ask
from local.cli.console import print_json
from local.cli.interrupts import Uninterrupted, end_on_signals
from local.cli.options import json_option, stack_options, yes_option
from local.cli.progress import progress_bar
from local.cli.renewal import NotRenewable, Renewal, renew
from local.cli.target import Part, Target
from local.cli.text import counted, printable

_SECONDS = 60.0  # for one job's status object to be read and written
_SHOWN = 10  # jobs of a plan

_EXAMPLE = """\b
Examples:
  oam-status renotify scene-17 scene-18
  oam-status renotify scene-17 --stack oam-status-publisher --yes
"""


class RenotifyFailed(click.ClickException):
    """Raised when S3 or SQS fails, so that there is no point in going on with the next job."""


@click.command(epilog=_EXAMPLE)
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True)
@stack_options
@yes_option
@json_option
def renotify(jobs: tuple[str, ...], stack: str | None, port: int, *, yes: bool, as_json: bool) -> None:
    """Notify the catalog once more of finished jobs.

    For when the catalog lost them, or was restored from a backup. A job's
    status object is made to say that its notification is due (PENDING),
    and its last message is sent again: the function notifies the catalog
    when that comes. Where it is due already, the message alone is sent.

    A job that is not SUCCESS is left alone, and one of which the catalog
    is being notified at this moment.

    Run a second time while the first run's message waits, it sends one more
    message, and the catalog is notified once: the later message finds
    NOTIFIED. Run once the job is NOTIFIED, however soon after the first
    run, it notifies the catalog again.

    A line for each job; with --json an object. Exit code 1 when a job
    was left alone, or its message could not be sent.
    """
    end_on_signals()
    target = find_stack(Part.QUEUE | Part.BUCKET, port, stack)
    yes = yes or target.is_embedded
    check_can_ask(yes=yes)
    names = list(dict.fromkeys(jobs))
    run = _Renotify(target, as_json=as_json)
    if not target.is_embedded:
        names = run.plan(names)
        messages = f"{counted(len(names), 'message')} {'goes' if len(names) == 1 else 'go'}"
        question = f"{messages} to {target.queue_url}, and the catalog is notified once more."
        if names and not ask(question, yes=yes):
            sys.exit(1)
    run.send(names)
    sys.exit(1 if run.left_alone else 0)


class _Renotify:
    """Makes notifications due, and sends their messages.

    Args:
        target: the stack.
        as_json: whether machines read what is printed.

    Attributes:
        left_alone: how many jobs were left alone.
    """

    def __init__(self, target: Target, *, as_json: bool) -> None:
        self._target = target
        self._as_json = as_json
        self._store = StatusStore(target.s3, target.bucket, target.prefix)
        self.left_alone = 0

    def plan(self, job_ids: Sequence[str]) -> list[str]:
        """Show what is to be done, and change nothing; give the jobs for which there is something to do."""
        lines: dict[str, str] = {}
        with progress_bar("Reading", len(job_ids)) as bar:
            for number, job_id in enumerate(job_ids, 1):
                if renewal := self._attempt(job_id, self._read):
                    where = printable(renewal.target, 200)
                    images = counted(renewal.images, "image")
                    lines[job_id] = f"    {printable(job_id, 256)}: {where}, {images}"
                bar.show(number, len(job_ids))
        for line in list(lines.values())[:_SHOWN]:
            print(line, file=sys.stderr)
        if len(lines) > _SHOWN:
            print(f"    and {len(lines) - _SHOWN} more", file=sys.stderr)
        return list(lines)

    def send(self, job_ids: Sequence[str]) -> None:
        """Make the notification of each job due, and send its message.

        Raises:
            RenotifyFailed: when S3 or SQS fails; the jobs before that one are done.
        """
        with progress_bar("Sending", len(job_ids)) as bar:
            for number, job_id in enumerate(job_ids, 1):
                # The write comes first: else the function might get the message, and still find NOTIFIED.
                with Uninterrupted():
                    renewal = self._attempt(job_id, self._make_due)
                    if renewal:
                        self._say_sent(job_id, self._send(job_id, renewal.message))
                bar.show(number, len(job_ids))

    def _attempt(self, job_id: str, step: Callable[[str], Renewal]) -> Renewal | None:
        """Return how a job's notification becomes due; None, and say why, if the job is left alone."""
        try:
            return step(job_id)
        except (NotRenewable, StatusConflict, OutOfTime) as error:
            self.left_alone += 1
            if self._as_json:
                print_json({"jobId": job_id, "problem": str(error)})
            else:
                print(f"{printable(job_id, 256)}: {printable(str(error), 500)}", file=sys.stderr)
            return None
        except StatusStoreError as error:
            cause = error.__cause__ if isinstance(error.__cause__, BotoCoreError | ClientError) else error
            raise RenotifyFailed(f"{job_id}: {self._target.explain(cause)}") from error

    def _read(self, job_id: str) -> Renewal:
        stored = self._store.update(job_id, Deadline(time.time() + _SECONDS)).get()
        return renew(job_id, stored, _now())

    def _make_due(self, job_id: str) -> Renewal:
        update = self._store.update(job_id, Deadline(time.time() + _SECONDS))
        while True:
            stored = update.get()
            renewal = renew(job_id, stored, _now())
            if stored is None or renewal.body is None or update.put(renewal.body, stored.etag):
                return renewal

    def _send(self, job_id: str, message: str) -> str:
        target = self._target
        try:
            return target.sqs.send_message(QueueUrl=target.queue_url, MessageBody=message)["MessageId"]
        except (BotoCoreError, ClientError) as error:
            raise RenotifyFailed(
                f"{job_id}: its notification is due, and its message could not be sent: "
                f"{target.explain(error)}\nRun it again with this job and those after it."
            ) from error

    def _say_sent(self, job_id: str, message_id: str) -> None:
        if self._as_json:
            print_json({"jobId": job_id, "messageId": message_id})
        else:
            print(f"sent {message_id}  {printable(job_id, 256)}", flush=True)


def _now() -> int:
    return round(time.time() * 1000)

"""`oam-status send`: puts an event file's messages, or one message, on the queue."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from local.cli.batches import SendError, send_in_batches
from local.cli.configuration import find_stack
from local.cli.confirm import ask
from local.cli.console import print_json
from local.cli.options import json_option, stack_options, yes_option
from local.cli.progress import progress_bar
from local.cli.target import Part, Target
from local.cli.text import counted, printable

_EXAMPLE = """\b
Examples:
  oam-status send events/full-job.json
  oam-status send events/full-job.json --stack oam-status-publisher
  oam-status send --body '{"jobId":"x","stage":"chunk","status":"STARTED"}'
"""


@click.command(epilog=_EXAMPLE)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--body", metavar="TEXT", help="Send one message with this body, and no file.")
@stack_options
@yes_option
@json_option
def send(
    file: Path | None, body: str | None, stack: str | None, port: int, *, yes: bool, as_json: bool
) -> None:
    """Send the messages of an SQS event file to the queue.

    They go in the order of their SentTimestamps, in batches of ten. SQS
    gives new times, which order a job's messages: those of one job are
    never in the same batch.

    A line for each message that SQS took; with --json an object each.
    """
    if (file is None) == (body is None):
        raise click.UsageError("Give a FILE or --body TEXT: one of the two.")
    bodies = read_bodies(file) if file else [body or ""]
    if not all(_is_text(each) for each in bodies):
        raise click.UsageError("--body is not UTF-8.")
    if not all(bodies):
        raise click.UsageError("A body is empty: SQS takes no such message.")
    target = find_stack(Part.QUEUE, port, stack)
    if not target.is_embedded and not ask(f"{_plan(bodies)} {target.queue_url}", yes=yes):
        sys.exit(1)
    _send(target, bodies, as_json=as_json)


def _send(target: Target, bodies: list[str], *, as_json: bool) -> None:
    done = 0
    try:
        with target.explaining("Sending failed"), progress_bar("Sending", len(bodies)) as bar:
            for batch in send_in_batches(target.sqs, target.queue_url, bodies):
                done += len(batch)
                for sent in batch:
                    if as_json:
                        print_json({"messageId": sent.message_id, "body": sent.body})
                    else:
                        print(f"sent {sent.message_id}  {printable(sent.body, 100)}", flush=True)
                bar.show(done, len(bodies))
    except click.ClickException as error:
        raise SendError(f"{error.message}\nSent {done} of {counted(len(bodies), 'message')}.") from error
    except (KeyboardInterrupt, BrokenPipeError):
        total = counted(len(bodies), "message")
        print(f"Stopped. Sent {done} of {total}, or a batch more.", file=sys.stderr)
        raise


def _plan(bodies: list[str]) -> str:
    shown = "\n".join(f"    {printable(body, 100)}" for body in bodies[:10])
    more = f"\n    and {len(bodies) - 10} more" if len(bodies) > 10 else ""
    return f"{shown}{more}\n{counted(len(bodies), 'message')} {'goes' if len(bodies) == 1 else 'go'} to"


def read_bodies(path: Path) -> list[str]:
    """Read the bodies of an event file's messages.

    Args:
        path: the file.

    Returns:
        The bodies in the order of their SentTimestamps.

    Raises:
        click.UsageError: when there is no such file, or it is no SQS event.
    """
    try:
        event = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise click.UsageError(f"{path} is not JSON: {error}") from error
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list) or not all(_is_record(record) for record in records):
        raise click.UsageError(
            f"{path} is not an SQS event: it has no list of Records from aws:sqs with bodies"
        )
    return [record["body"] for record in sorted(records, key=_sent)]


def _is_record(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and record.get("eventSource") == "aws:sqs"
        and isinstance(record.get("body"), str)
        and _is_text(record["body"])
        and isinstance(record.get("attributes"), dict)
        and str(record["attributes"].get("SentTimestamp", "")).isdecimal()
    )


def _is_text(body: str) -> bool:
    """Tell whether a body has no half of a surrogate pair: SQS takes no such text."""
    return not any("\ud800" <= letter <= "\udfff" for letter in body)


def _sent(record: dict[str, Any]) -> int:
    return int(record["attributes"]["SentTimestamp"])

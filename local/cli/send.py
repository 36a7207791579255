"""`make send EVENT=events/x.json`: puts an event file's messages on the queue.

On the queue that .env or the environment names (OAM_STATUS_SQS_QUEUE_URL); else on that of `make start`'s
embedded stack. With `STACK=name` on that deployed stack's queue, through `sam remote invoke`, which takes
AWS's credentials and region from the environment; .env is not read then. In the order of the SentTimestamps,
because SQS gives new ones and these are the only clock.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.configuration import find_stack
from local.cli.confirm import NoTerminal, ask
from local.cli.target import MISCONFIGURED, ConfigurationError, Part
from local.cli.text import printable
from local.stack.embedded import PORT

QUEUE = "StatusQueue"  # the queue's name in template.yaml


class SendError(Exception):
    """Raised when the messages can't be sent; its text is for the person who asked."""


def main() -> int:
    """Send.

    Returns:
        The exit code: 0 if all messages were sent; 1 if not; 2 if it is not clear which stack is meant, or
        there is nobody to ask.
    """
    parser = argparse.ArgumentParser(prog="python -m local.cli.send", description=__doc__)
    parser.add_argument("event", type=Path, help="file of an SQS event, for instance events/full-job.json")
    parser.add_argument("--stack", help="the deployed stack whose queue is meant")
    parser.add_argument("--sam", default="sam", help="the command that sends there (default: %(default)s)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded stack (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        bodies = read_bodies(arguments.event)
        if arguments.stack:
            return _send_to_stack(bodies, arguments.stack, arguments.sam, yes=arguments.yes)
        return _send(bodies, arguments.port, yes=arguments.yes)
    except (ConfigurationError, NoTerminal) as error:
        print(error, file=sys.stderr)
        return MISCONFIGURED
    except SendError as error:
        print(error, file=sys.stderr)
        return 1


def _send(bodies: list[str], port: int, *, yes: bool) -> int:
    target = find_stack(Part.QUEUE, port)
    if not target.is_embedded and not ask(f"{_plan(bodies)} {target.queue_url}", yes=yes):
        return 1

    def send(body: str) -> str:
        try:
            return target.sqs.send_message(QueueUrl=target.queue_url, MessageBody=body)["MessageId"]
        except (BotoCoreError, ClientError) as error:
            raise SendError(f"Sending failed: {target.explain(error)}") from error

    return _send_each(bodies, send)


def _send_to_stack(bodies: list[str], stack: str, sam: str, *, yes: bool) -> int:
    """Send through sam; each body in a file, which has no limit of length and is taken for no option."""
    print(
        f"Stack: {stack}, its queue {QUEUE}, as sam and the environment's AWS account know it",
        file=sys.stderr,
    )
    if not ask(f"{_plan(bodies)} {QUEUE} of {stack}", yes=yes):
        return 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body"

        def send(body: str) -> str:
            file.write_bytes(body.encode())
            command = [
                *sam.split(),
                "remote",
                "invoke",
                QUEUE,
                f"--stack-name={stack}",
                f"--event-file={file}",
            ]
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
            except OSError as error:
                raise SendError(f"{sam}: {error.strerror}") from error
            if done.returncode:
                raise SendError(f"sam could not send this message: {printable(body, 100)}")
            return "by sam"

        return _send_each(bodies, send)


def _send_each(bodies: list[str], send: Callable[[str], str]) -> int:
    for number, body in enumerate(bodies):
        try:
            message_id = send(body)
        except SendError as error:
            raise SendError(f"{error}\nSent {number} of {len(bodies)} messages.") from error
        print(f"sent {message_id}  {printable(body, 100)}", flush=True)
    return 0


def _plan(bodies: list[str]) -> str:
    shown = "\n".join(f"    {printable(body, 100)}" for body in bodies[:10])
    more = f"\n    and {len(bodies) - 10} more" if len(bodies) > 10 else ""
    return f"{shown}{more}\n{len(bodies)} messages go to"


def read_bodies(path: Path) -> list[str]:
    """Read the bodies of an event file's messages.

    Args:
        path: the file.

    Returns:
        The bodies in the order of their SentTimestamps.

    Raises:
        SendError: when there is no such file, or it is no SQS event.
    """
    try:
        event = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SendError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SendError(f"{path} is not JSON: {error}") from error
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list) or not all(_is_record(record) for record in records):
        raise SendError(f"{path} is not an SQS event: it has no list of Records from aws:sqs with bodies")
    return [record["body"] for record in sorted(records, key=_sent)]


def _is_record(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and record.get("eventSource") == "aws:sqs"
        and isinstance(record.get("body"), str)
        and not any("\ud800" <= letter <= "\udfff" for letter in record["body"])  # SQS takes no such text
        and isinstance(record.get("attributes"), dict)
        and str(record["attributes"].get("SentTimestamp", "")).isdecimal()
    )


def _sent(record: dict[str, Any]) -> int:
    return int(record["attributes"]["SentTimestamp"])


if __name__ == "__main__":
    sys.exit(main())

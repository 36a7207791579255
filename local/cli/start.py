"""`make start`: polls the real queue if .env or the environment names it, else runs an embedded stack.

Runs until Ctrl-C or SIGTERM, which end it after the batch in hand; a second one ends it at once. The
function's log goes to stdout, as in Lambda; what this program has to say goes to stderr.
"""

import argparse
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from local.cli.configuration import find_stack
from local.cli.jobs import describe, find_jobs
from local.cli.target import MISCONFIGURED, ConfigurationError, Part, Target
from local.cli.text import printable
from local.stack.aws_server import HOST
from local.stack.embedded import BUCKET, PORT, PREFIX, Stack, embedded_stack
from local.stack.event_source_mapping import Delivery, EventSourceMapping, Handler

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_BATCH_SIZE = 100
_FUNCTION_TIMEOUT = 60  # seconds
_FOR_DOCKER = '   (make invoke, Docker on Linux: make start ARGS="--host 172.17.0.1")'
_AFTER_AN_ERROR = 5  # seconds until the queue is polled again


class _Ending:
    """Ends the program on a signal: at once while it waits, after the batch in hand while it works."""

    def __init__(self) -> None:
        self._waits = False
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (signal's)
        if self._asked and not self._waits:
            os._exit(128 + number)
        self._asked = True
        if self._waits:
            raise KeyboardInterrupt
        _say("Ending after the batch in hand ...")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal interrupt what is done in this context.

        Raises:
            KeyboardInterrupt: on a signal, also on one that came before.
        """
        self._waits = True
        try:
            if self._asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._waits = False


def main() -> int:
    """Poll until a signal.

    Returns:
        The exit code: 0 after a signal, 1 if the embedded stack can't be started, 2 if the configuration is
        incomplete or wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m local.cli.start", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=PORT, help="of the embedded S3 and SQS (default: %(default)s)"
    )
    parser.add_argument(
        "--host",
        default=HOST,
        help="IPv4 address on which they listen beside %(default)s; who reaches it can read and write all. "
        "For `make invoke` with Docker on Linux: 172.17.0.1, or what `ip -4 address show docker0` says",
    )
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # whoever follows the log in a pipe gets whole lines
    ending = _Ending()
    try:
        target = find_stack(Part.QUEUE | Part.BUCKET | Part.FUNCTION, arguments.port)
    except ConfigurationError as error:
        _say(str(error))
        return MISCONFIGURED
    if target.is_embedded:
        return _run_embedded(arguments.port, arguments.host, ending)
    return _run_named(target, ending)


def _run_named(target: Target, ending: _Ending) -> int:
    try:
        mapping = _mapping(target.sqs, target.queue_url)
    except (BotoCoreError, ClientError, ValueError) as error:
        _say(f"Cannot read the queue {target.queue_url}: {error}")
        return MISCONFIGURED
    _say(f"Polling {target.queue_url}. Ctrl-C ends it.")
    _poll(mapping, ending, lambda: None)
    return 0


def _run_embedded(port: int, host: str, ending: _Ending) -> int:
    try:
        with embedded_stack(port, host=host) as stack:
            stack.enter_environment()
            mapping = _mapping(stack.sqs, stack.queue_url)
            _introduce(stack, port, host)
            _poll(mapping, ending, _JobReporter(stack))
    except OSError as error:
        _say(f"Cannot serve on {_addresses(host, port)}: {error.strerror}. Others: --port, --host")
        return 1
    return 0


def _addresses(host: str, port: int) -> str:
    return " and ".join(f"{address}:{port}" for address in dict.fromkeys((HOST, host)))


def _introduce(stack: Stack, port: int, host: str) -> None:
    send, show = "make send EVENT=events/full-job.json", "make show"
    if port != PORT:
        send, show = (
            f"python -m local.cli.send events/full-job.json --port {port}",
            f"python -m local.cli.show --port {port}",
        )
    _say(f"""Nothing is configured: this is the embedded stack, which is gone when this program ends.
  S3 and SQS  {stack.url}   bucket: {BUCKET}   queue: {stack.queue_url}
  listens on  {_addresses(host, port)}{_FOR_DOCKER if host == HOST else ""}
  catalog     {stack.catalog.url}/tms
  to send     {send}
  to see      {show}
              aws --endpoint-url {stack.url} s3 cp s3://{BUCKET}/{PREFIX}/test-job-status.json -
Ctrl-C ends it.""")


def _mapping(sqs: "SQSClient", queue_url: str) -> EventSourceMapping:
    return EventSourceMapping(sqs, queue_url, _handler(), batch_size=_BATCH_SIZE, timeout=_FUNCTION_TIMEOUT)


def _handler() -> Handler:
    """Import the function when the environment is as it is to find it."""
    from handler.app import lambda_handler  # noqa: PLC0415

    return lambda_handler


def _poll(mapping: EventSourceMapping, ending: _Ending, after_batch: Callable[[], None]) -> None:
    """Deliver batches until a signal."""
    try:
        while True:
            try:
                with ending.waiting():
                    records = mapping.receive()
                if records:
                    _report(mapping.deliver(records))
                    after_batch()
            except (BotoCoreError, ClientError) as error:  # as Lambda's pollers, it outlives an outage
                _say(f"SQS or S3 failed, polling again in {_AFTER_AN_ERROR} s: {error}")
                with ending.waiting():
                    time.sleep(_AFTER_AN_ERROR)
    except KeyboardInterrupt:
        _say("Ended.")


def _report(delivery: Delivery) -> None:
    if delivery.error:
        _say(delivery.error)
    news = f"{len(delivery.succeeded)} messages done"
    if delivery.failed:
        news += f", {len(delivery.failed)} failed and come back"
    _say(news)
    for message_id, reason in delivery.undeleted.items():
        _say(f"  SQS did not delete {message_id}: {reason}")


class _JobReporter:
    """Says after each batch which jobs have changed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._known: dict[str, str] = {}

    def __call__(self) -> None:
        for found in find_jobs(self._stack.s3, BUCKET, PREFIX):
            line = f"{printable(found.job_id)}: {describe(found.status)}" if found.status else ""
            if found.problem:
                line += f"{printable(found.key)}: {printable(found.problem, 300)}"
            if self._known.get(found.key) != line:
                self._known[found.key] = line
                _say(f"  {line}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

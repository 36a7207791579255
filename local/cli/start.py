"""`make start`: polls the real queue if .env or the environment names it, else runs an embedded stack.

Runs until Ctrl-C or SIGTERM, which end it after the batch in hand; a second one ends it at once. What came of
each message goes to stdout, as the function's log says it: in lines for people, or as it is (`--json`). What
this program itself has to say goes to stderr.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import click
from botocore.exceptions import BotoCoreError, ClientError

from local.cli.clients import quick_client
from local.cli.conditional_writes import check_conditional_writes
from local.cli.configuration import endpoint_url, find_stack
from local.cli.console import console
from local.cli.findings import Result
from local.cli.function_log import FunctionLog, show_news, show_raw
from local.cli.options import PORTS
from local.cli.target import ConfigurationError, Part, Target
from local.stack.embedded import BUCKET, FUNCTION_TIMEOUT, PORT, PREFIX, Stack, embedded_stack
from local.stack.event_source_mapping import Delivery, EventSourceMapping, Handler
from local.stack.http_server import HOST

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_BATCH_SIZE = 100
_EXAMPLES = """\b
Examples:
  make start
  make start ARGS=--json
"""

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


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}, epilog=_EXAMPLES
)
@click.option("--port", type=PORTS, default=PORT, show_default=True, help="Of the embedded S3 and SQS.")
@click.option(
    "--host",
    default=HOST,
    show_default=True,
    help="IPv4 address on which they listen beside 127.0.0.1; who reaches it can read and write all. For"
    " `make invoke` with Docker on Linux: 172.17.0.1, or what `ip -4 address show docker0` says.",
)
@click.option("--json", "as_json", is_flag=True, help="The function's log as it is.")
@click.pass_context
def start(context: click.Context, port: int, host: str, *, as_json: bool) -> None:
    """Poll the queue that .env or the environment names.

    With nothing configured, an embedded stack is run. Ctrl-C or SIGTERM ends
    it after the batch in hand, a second one immediately.
    """
    ending = _Ending()
    target = find_stack(Part.QUEUE | Part.BUCKET | Part.FUNCTION, port)
    stdout = sys.stdout  # the log takes its place
    log = FunctionLog(partial(show_raw, stdout) if as_json else partial(show_news, stdout, console()))
    code = 0
    if target.is_embedded:
        code = _run_embedded(port, host, ending, log)
    else:
        _run_named(target, ending, log)
    if log.is_unread:  # or Python says so at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    context.exit(code)


def main() -> None:
    """Run the command; its exit code is 1 where the embedded stack or the S3 store can't be used."""
    start(prog_name="make start")


def _run_named(target: Target, ending: _Ending, log: FunctionLog) -> None:
    with redirect_stdout(log):
        try:
            mapping = _mapping(target.sqs, target.queue_url)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise ConfigurationError(f"Cannot read the queue {target.queue_url}: {error}") from error
        _refuse_a_careless_store(target)
        _say(f"Polling {target.queue_url}. Ctrl-C ends it.")
        _poll(mapping, ending, log)


def _refuse_a_careless_store(target: Target) -> None:
    """Raise ClickException where a store in the place of AWS S3 does not honour conditional writes."""
    store = endpoint_url(target.variables)
    if store is None:
        return
    finding = check_conditional_writes(quick_client(target, "s3"), target.bucket, target.prefix)
    if finding.result is Result.WRONG:
        raise click.ClickException(
            f"The conditional writes of {store} were tried before polling: {finding.found}.\n"
            f"{finding.todo} Nothing was received."
        )


def _run_embedded(port: int, host: str, ending: _Ending, log: FunctionLog) -> int:
    try:
        with embedded_stack(port, host=host) as stack, redirect_stdout(log):
            stack.enter_environment()
            mapping = _mapping(stack.sqs, stack.queue_url)
            _introduce(stack, port, host)
            _poll(mapping, ending, log)
    except OSError as error:
        where = error.filename or _addresses(host, port)
        _say(f"Cannot serve on {where}: {error.strerror}. Others: --port, --host")
        return 1
    return 0


def _addresses(host: str, port: int) -> str:
    return " and ".join(f"{address}:{port}" for address in dict.fromkeys((HOST, host)))


def _introduce(stack: Stack, port: int, host: str) -> None:
    send, show = "make send EVENT=events/full-job.json", "make show"
    if port != PORT:
        send, show = f'{send} ARGS="--port {port}"', f'{show} ARGS="--port {port}"'
    _say(f"""Nothing is configured: this is the embedded stack, which is gone when this program ends.
  S3 and SQS  {stack.url}   bucket: {BUCKET}   queue: {stack.queue_url}
  listens on  {_addresses(host, port)}{_FOR_DOCKER if host == HOST else ""}
  catalog     {stack.catalog.url}/tms
  to send     {send}
  to see      {show}
              aws --endpoint-url {stack.url} s3 cp s3://{BUCKET}/{PREFIX}/test-job-status.json -
Ctrl-C ends it.""")


def _mapping(sqs: "SQSClient", queue_url: str) -> EventSourceMapping:
    return EventSourceMapping(sqs, queue_url, _handler(), batch_size=_BATCH_SIZE, timeout=FUNCTION_TIMEOUT)


def _handler() -> Handler:
    """Import the function."""
    from handler.app import lambda_handler  # noqa: PLC0415 (when the environment is as it is to find it)

    return lambda_handler


def _poll(mapping: EventSourceMapping, ending: _Ending, log: FunctionLog) -> None:
    """Deliver batches until a signal, or until the reader of its lines went away."""
    try:
        while not log.is_unread:
            try:
                with ending.waiting():
                    records = mapping.receive()
                if records:
                    _report(mapping.deliver(records))
            except (BotoCoreError, ClientError) as error:  # as Lambda's pollers, it outlives an outage
                _say(f"SQS failed, polling again in {_AFTER_AN_ERROR} s: {error}")
                with ending.waiting():
                    time.sleep(_AFTER_AN_ERROR)
    except KeyboardInterrupt:
        _say("Ended.")


def _report(delivery: Delivery) -> None:
    """Say what the function's log can't know."""
    if delivery.error:
        _say(f"{delivery.error}\nAll messages of the batch come back: {len(delivery.failed)}.")
    for message_id, reason in delivery.undeleted.items():
        _say(f"SQS did not delete {message_id}: {reason}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

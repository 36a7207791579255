"""The workers: each a process with an event source mapping of its own, which calls the real handler.

`python -m tools.chaos.worker` is their nursery: it imports the handler once, then forks a worker whenever it
is told to, so that a worker that was killed is back in some milliseconds. It takes one JSON command a line
(`start`, `kill`, `stop`, `poll`) and answers each with one line. It alone kills, and only its own children,
which it has not waited for yet: a process id that it signals is no other's. When its input ends, so do they.
"""

import functools
import json
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import BUILTIN_HANDLERS
from urllib3.exceptions import HTTPError

from local.stack.event_source_mapping import EventSourceMapping
from tools.chaos.schedule import SABOTAGE

INVOCATION = 6.0  # seconds that a batch has

# What makes the function's own waits fit into a run of a minute; times in seconds. Visibility timeouts are
# not here: the queue's own clock is quicker (`SCALE` in harness.py), whatever the function asks for.
CONSTANTS: dict[str, Any] = {
    "handler.deadline.Timeout.AWS_CONNECT": 0.2,
    "handler.deadline.Timeout.AWS_READ": 0.4,
    "handler.deadline.Reserve.AWS_CALL": 0.6,
    "handler.deadline.Reserve.JOB": 1.2,
    "handler.deadline.Reserve.CLAIM": 0.6,
    "handler.deadline.Reserve.POST": 0.4,
    "handler.deadline.Reserve.RECORD": 1.2,
    "handler.deadline.Reserve.SEND": 1.6,
    "handler.deadline.Reserve.NOTIFY": 2.2,
    "handler.deadline.Timeout.POST": 1.0,
    "handler.deadline.Timeout.CONNECT": 0.5,
    "handler.deadline.Reserve.RESPONSE": 0.25,
    "handler.circuit_breaker.RECOVERY_TIMEOUT": 0.5,
    "handler.circuit_breaker.MAX_RECOVERY_TIMEOUT": 1.0,
    "handler.notifier.LONGEST_RETRY_AFTER": 1.0,
}


Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def patch_constants(constants: Mapping[str, Any]) -> None:
    """Scale the handler down.

    Raises:
        ImportError, AttributeError: when the handler has no constant of that name.
    """
    for name, value in constants.items():
        owner, _, attribute = name.rpartition(".")
        found = pkgutil.resolve_name(owner)
        getattr(found, attribute)
        setattr(found, attribute, value)


def sabotage(kind: str, handler: Handler) -> Handler:
    """Break the function in one of the ways that the harness has to notice (test-only)."""
    if kind == "if-match":

        def unconditional(params: dict[str, Any], **_: Any) -> None:
            params.pop("IfMatch", None)
            params.pop("IfNoneMatch", None)

        # Of every session that is made from now on.
        BUILTIN_HANDLERS.append(("provide-client-params.s3.PutObject", unconditional))
        return handler
    if kind == "acknowledge":

        def acknowledging(event: dict[str, Any], context: Any) -> dict[str, Any]:
            handler(event, context)
            return {"batchItemFailures": []}

        return acknowledging
    if kind == "arrival-order":

        def arriving(event: dict[str, Any], context: Any) -> dict[str, Any]:
            for record in event["Records"]:
                record["attributes"]["SentTimestamp"] = str(time.time_ns() // 1_000_000)
            return handler(event, context)

        return arriving
    raise ValueError(f"no such sabotage: {kind}")


def work(options: Mapping[str, Any], handler: Handler) -> None:
    """Be a worker: poll, invoke, delete, until SIGTERM."""
    state = {"stop": False, "parent": os.getppid()}
    signal.signal(signal.SIGTERM, lambda *_: state.update(stop=True))
    sqs = boto3.client(
        "sqs",
        endpoint_url=options["environment"]["AWS_ENDPOINT_URL_SQS"],
        config=Config(
            connect_timeout=1, read_timeout=2.5, retries={"mode": "standard", "total_max_attempts": 2}
        ),
    )
    mapping = None
    while not state["stop"] and os.getppid() == state["parent"]:
        try:
            mapping = mapping or EventSourceMapping(
                sqs,
                options["queue_url"],
                handler,
                batch_size=options["batch_size"],
                timeout=INVOCATION,
                wait=1,
            )
            records = mapping.receive()
            if records:
                delivery = mapping.deliver(records)
                if delivery.error:
                    sys.stdout.write(json.dumps({"chaos": "function error", "error": delivery.error}) + "\n")
                    sys.stdout.flush()
        except (BotoCoreError, ClientError, HTTPError) as error:
            sys.stdout.write(json.dumps({"chaos": "mapping error", "error": repr(error)}) + "\n")
            sys.stdout.flush()
            time.sleep(0.1)


def _load_what_workers_load() -> None:
    """Load before the forks what each worker would load after its own: requests, and botocore's data."""
    import_module("handler.catalog")
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    for service in ("s3", "sqs"):
        boto3.session.Session(region_name="us-east-1").client(service)


class Nursery:
    """Forks, kills and buries workers."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._children: dict[int, int] = {}  # process ids by worker

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        worker = command.get("worker", -1)
        match command["do"]:
            case "start":
                self._children[worker] = self._fork(command)
                return {"pid": self._children[worker]}
            case "kill" | "stop" as how:
                pid = self._children.get(worker)
                if pid is None:
                    return {"pid": None}
                os.kill(pid, signal.SIGKILL if how == "kill" else signal.SIGTERM)
                if how == "kill":
                    os.waitpid(pid, 0)
                    del self._children[worker]
                return {"pid": pid}
            case "poll":
                return {"ended": self._bury()}
        return {"error": "unknown"}

    def _bury(self) -> dict[str, int]:
        """Give those that ended by themselves, each with its exit code."""
        ended = {}
        for worker, pid in list(self._children.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                ended[str(worker)] = os.waitstatus_to_exitcode(status)
                del self._children[worker]
        return ended

    def end(self) -> None:
        for pid in self._children.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _fork(self, command: dict[str, Any]) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ |= command["environment"]
            work(command, self._handler)
            code = 0
        except BaseException:  # noqa: BLE001 (a forked child must not go on as its parent)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def main() -> None:
    """Obey the commands that come in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the harness's to answer
    # Answers go to where stdout was; whatever else is written must not get in between.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    handler: Handler = import_module("handler.app").lambda_handler
    patch_constants(CONSTANTS)
    _load_what_workers_load()
    kind = os.environ.get(SABOTAGE)
    if kind:
        handler = sabotage(kind, handler)
    nursery = Nursery(handler)
    answers.write(json.dumps({"ready": True}) + "\n")
    answers.flush()
    try:
        for line in iter(sys.stdin.buffer.readline, b""):
            answers.write(json.dumps(nursery.obey(json.loads(line))) + "\n")
            answers.flush()
    finally:
        nursery.end()


if __name__ == "__main__":
    main()

"""A night on call: the embedded stack as a deployed one, the function, faults, and the operator's shell."""

import importlib
import io
import json
import logging
import os
from contextlib import redirect_stdout
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from moto.s3.models import s3_backends

import handler.app
from local.cli.batches import send_in_batches
from local.stack.catalog_server import CatalogServer
from local.stack.embedded import ACCOUNT, BUCKET, PREFIX, Stack
from local.stack.event_source_mapping import EventSourceMapping, Record
from tests.docs import aws, shell
from tests.docs.command_server import CommandServer
from tests.docs.deployed import STACK, TOKEN, Deployed
from tests.docs.shell import Shell
from tests.factories import body


class Night:
    """The stack, with what is done to it and by it.

    Args:
        stack: the embedded stack; its catalog is not used.
        folder: an empty one, for the shell.
        patch: undoes what is done to this process's environment.

    Attributes:
        catalog: the catalog that the function tells.
        shell: the operator's.
        error: why the last batch failed as a whole, if it did.
    """

    def __init__(self, stack: Stack, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.folder = folder
        self._patch = patch
        self.make_bucket()
        self.catalog = CatalogServer(TOKEN)
        self.catalog.__enter__()
        variables = {
            "OAM_STATUS_SQS_QUEUE_URL": stack.queue_url,
            "OAM_STATUS_BUCKET": BUCKET,
            "OAM_STATUS_PREFIX": PREFIX,
            "OAM_CATALOG_URL": self.catalog.url,
        }
        self.deployed = Deployed(stack.url, stack.queue_url, stack.dead_letter_queue_url, BUCKET, variables)
        self.aws_cli = CommandServer(aws.PROGRAM, partial(aws.run, self.deployed.client))
        self.oam_status = CommandServer(shell.PROGRAM, shell.run_oam_status)
        programs = {"aws": self.aws_cli.program, "oam-status": self.oam_status.program}
        self.shell = Shell(folder, self.aws(), self.variables(), programs)
        self._log = io.StringIO()
        self.error: str | None = None
        self._records: list[Record] = []
        self.restart()

    def end(self) -> None:
        """End what runs beside the stack."""
        self.catalog.__exit__(None, None, None)
        self.aws_cli.__exit__()
        self.oam_status.__exit__()

    # The function

    def restart(self) -> None:
        """Start the function anew, with the environment that the deployed function has now."""
        found = self.deployed.client("lambda").get_function_configuration(FunctionName=STACK)
        for name in [name for name in os.environ if name.startswith("OAM_")]:
            self._patch.delenv(name)
        for name, value in (self.aws() | found["Environment"]["Variables"]).items():
            self._patch.setenv(name, value)
        # A Powertools logger holds on to the stdout that it was made with.
        logging.Logger.manager.loggerDict.pop(handler.app.SERVICE, None)
        with redirect_stdout(self._log):
            self.function: ModuleType = importlib.reload(handler.app)

    def send(self, job_id: str, *steps: str) -> None:
        """Send a job's messages."""
        for step in steps:
            stage, status = step.split()
            self.send_body(body(stage, status, job_id))

    def send_body(self, text: str) -> None:
        self.stack.sqs.send_message(QueueUrl=self.stack.queue_url, MessageBody=text)

    def bury(self, *bodies: str) -> list[str]:
        """Let messages be dead letters; give their bodies."""
        url = self.stack.dead_letter_queue_url
        for _ in send_in_batches(self.stack.sqs, url, bodies):
            pass
        return list(bodies)

    def letters(self) -> list[str]:
        """Take all dead letters; give their bodies, sorted."""
        bodies: list[str] = []
        while messages := self.stack.sqs.receive_message(
            QueueUrl=self.stack.dead_letter_queue_url, MaxNumberOfMessages=10
        ).get("Messages"):
            bodies += [message["Body"] for message in messages]
        return sorted(bodies)

    def saved(self) -> list[str]:
        """Give the bodies of the dead letters that the operator has saved, sorted."""
        (path,) = self.folder.glob("dead-letters-*.json")
        return sorted(json.loads(line)["body"] for line in path.read_text().splitlines())

    def deliver(self, batches: int = 1, timeout: float = 30) -> None:
        """Deliver what is in the queue, as the event source mapping does if it is on.

        Args:
            batches: so many, one after the other.
            timeout: the seconds that the function has for a batch.
        """
        if not self.deployed.is_polled():
            return
        mapping = EventSourceMapping(
            self.stack.sqs,
            self.stack.queue_url,
            self.function.lambda_handler,
            batch_size=100,
            timeout=timeout,
            wait=1,
        )
        for _ in range(batches):
            if records := mapping.receive():
                self._records = records
                self.error = mapping.deliver(records).error
                self._keep_log()

    def come_back(self) -> None:
        """Let the visibility timeout of the last batch's messages be over."""
        for record in self._records:
            self.stack.sqs.change_message_visibility(
                QueueUrl=self.stack.queue_url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
            )

    def _keep_log(self) -> None:
        """Put what the function wrote where AWS would."""
        lines = self._log.getvalue().splitlines()
        if self.error:
            # As Lambda's runtime writes of what a function raised; tests/deploy/test_queries.py has a real line.
            kind, _, text = self.error.splitlines()[-1].partition(": ")
            lines.append(
                json.dumps({"level": "ERROR", "errorMessage": text, "errorType": kind.split(".")[-1]})
            )
        self._log.seek(0)
        self._log.truncate()
        if lines:
            self.deployed.log(lines)

    # Faults

    def lose_bucket(self) -> None:
        """Remove the bucket; there is nothing in it."""
        self.stack.s3.delete_bucket(Bucket=BUCKET)

    def make_bucket(self) -> None:
        """Make the bucket, if it is not there, as the template does."""
        self.stack.s3.create_bucket(Bucket=BUCKET)
        self.stack.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def stop_catalog(self) -> None:
        """Let the catalog be down; it forgets its entries."""
        self.catalog.__exit__(None, None, None)
        self.restart()  # its open connections would go on being served

    def start_catalog(self) -> None:
        """Let it be up again."""
        port = int(self.catalog.url.rpartition(":")[2])
        self.catalog = CatalogServer(TOKEN, port=port)
        self.catalog.__enter__()

    def make_older(self, job_id: str, seconds: int) -> None:
        """Let a job's status object have been written so long ago."""
        bucket = s3_backends[ACCOUNT]["aws"].buckets[BUCKET]
        bucket.keys[f"{PREFIX}/{job_id}-status.json"].last_modified -= timedelta(seconds=seconds)

    def status(self, job_id: str) -> dict[str, Any]:
        """Give a job's status object."""
        key = f"{PREFIX}/{job_id}-status.json"
        found: dict[str, Any] = json.loads(self.stack.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        return found

    def aws(self) -> dict[str, str]:
        """Give what leads AWS's SDK to the stack."""
        return {
            "AWS_ENDPOINT_URL": self.stack.url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def variables(self) -> dict[str, str]:
        """Give the shell's variables that "Before you begin" sets."""
        return {
            "QUEUE": self.stack.queue_url,
            "QUEUE_ARN": self.deployed.queue_arn,
            "DEAD_LETTERS": self.stack.dead_letter_queue_url,
            "BUCKET": BUCKET,
            "FUNCTION": STACK,
            "SECRET": self.deployed.secret,
        }

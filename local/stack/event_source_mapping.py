"""What a Lambda event source mapping for an SQS queue does, and no more.

It long-polls, invokes the function with a batch, deletes what the function did not report as failed, and
leaves the rest to the queue's visibility timeout. The rules for what counts as failed are AWS's own, with
`ReportBatchItemFailures` on:
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import base64
import json
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

Record = dict[str, Any]
Handler = Callable[[dict[str, Any], Any], Any]

_SQS_BATCH = 10  # messages that SQS gives or deletes in one call, at the most

FUNCTION = "oam-status-publisher"


class Context:
    """What a function is told of its invocation, as Lambda's own context object does.

    Args:
        timeout: the seconds that the function has.
        region: the AWS region.
    """

    function_name = FUNCTION
    function_version = "$LATEST"
    memory_limit_in_mb = "256"

    def __init__(self, timeout: float, region: str) -> None:
        self._deadline = time.monotonic() + timeout
        self.aws_request_id = str(uuid.uuid4())
        self.invoked_function_arn = f"arn:aws:lambda:{region}:123456789012:function:{FUNCTION}"

    def get_remaining_time_in_millis(self) -> int:
        """Give the milliseconds left to the invocation; 0 when its time is up."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of delivering a batch.

    Attributes:
        succeeded: the messageIds that the function dealt with.
        failed: the messageIds that stay in the queue.
        undeleted: those of `succeeded` that SQS did not delete, each with SQS's reason; they come back.
        error: why the whole batch counts as failed, if it does.
    """

    succeeded: tuple[str, ...]
    failed: tuple[str, ...]
    undeleted: dict[str, str]
    error: str | None


class EventSourceMapping:
    """Feeds a function from a queue.

    Args:
        sqs: the queue's client.
        queue_url: the queue.
        handler: the function.
        batch_size: the messages of a batch, at the most.
        timeout: the seconds that the function has for a batch.
        wait: the seconds that a poll waits for a message, 0 to 20.
    """

    def __init__(
        self,
        sqs: "SQSClient",
        queue_url: str,
        handler: Handler,
        *,
        batch_size: int = 10,
        timeout: float = 60,
        wait: int = 20,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._handler = handler
        self._batch_size = batch_size
        self._timeout = timeout
        self._wait = wait
        attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
        self._queue_arn = attributes["QueueArn"]
        self._region = self._queue_arn.split(":")[3]

    def receive(self) -> list[Record]:
        """Wait for messages, and take what is there of a batch.

        Returns:
            Event records; none when the wait was over first.
        """
        records: list[Record] = []
        while len(records) < self._batch_size:
            messages = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=min(_SQS_BATCH, self._batch_size - len(records)),
                WaitTimeSeconds=0 if records else self._wait,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not messages:
                break
            records += [_record(message, self._queue_arn, self._region) for message in messages]
        return records

    def deliver(self, records: Sequence[Record]) -> Delivery:
        """Invoke the function with a batch, and delete what it did not report as failed.

        Args:
            records: the batch.

        Returns:
            What came of it, whatever the function did.

        Raises:
            botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: when SQS deletes nothing.
        """
        failed, error = self._invoke(records)
        done = [record for record in records if record["messageId"] not in failed]
        return Delivery(
            succeeded=tuple(dict.fromkeys(record["messageId"] for record in done)),
            failed=tuple(dict.fromkeys(r["messageId"] for r in records if r["messageId"] in failed)),
            undeleted=self._delete(done),
            error=error,
        )

    def _invoke(self, records: Sequence[Record]) -> tuple[set[str], str | None]:
        """Give the messageIds that failed, and why all of them did, if they did."""
        everything = {record["messageId"] for record in records}
        context = Context(self._timeout, self._region)
        try:
            # The function gets a copy: what Lambda sends and gets back is JSON.
            response = self._handler(json.loads(json.dumps({"Records": list(records)})), context)
            if context.get_remaining_time_in_millis() == 0:
                raise _BatchFailed(f"the function took longer than its {self._timeout:g} s")
            return _failed(json.loads(json.dumps(response)), everything), None
        except _BatchFailed as error:
            return everything, str(error)
        except (Exception, SystemExit):  # noqa: BLE001 (whatever it is: to Lambda it is a function error)
            return everything, "the function raised:\n" + traceback.format_exc()

    def _delete(self, records: Sequence[Record]) -> dict[str, str]:
        undeleted: dict[str, str] = {}
        # A batch in which a message stands twice, as here only a demo makes them, names it once.
        distinct = list({record["receiptHandle"]: record for record in records}.values())
        for start in range(0, len(distinct), _SQS_BATCH):
            batch = distinct[start : start + _SQS_BATCH]
            answer = self._sqs.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": record["receiptHandle"]}
                    for index, record in enumerate(batch)
                ],
            )
            for failure in answer.get("Failed", []):
                reason = f"{failure['Code']}: {failure.get('Message', '')}"
                undeleted[batch[int(failure["Id"])]["messageId"]] = reason
        return undeleted


class _BatchFailed(Exception):
    """Raised when all of a batch counts as failed."""


def _failed(response: object, everything: set[str]) -> set[str]:
    """Read a function's response as Lambda does.

    Args:
        response: what the function returned.
        everything: the messageIds of the batch.

    Returns:
        The messageIds that failed.

    Raises:
        _BatchFailed: when the response is not of the form that Lambda wants.
    """
    if response is None:
        return set()
    if not isinstance(response, dict):
        raise _BatchFailed("the response is not an object")
    failures = response.get("batchItemFailures")
    if failures is None:
        return set()
    if not isinstance(failures, list):
        raise _BatchFailed("batchItemFailures is not a list")
    failed: set[str] = set()
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, str) or not identifier:
            raise _BatchFailed("an entry of batchItemFailures has no itemIdentifier")
        if identifier not in everything:
            raise _BatchFailed(f"itemIdentifier {identifier!r} is no message of the batch")
        failed.add(identifier)
    return failed


def _record(message: "MessageTypeDef", queue_arn: str, region: str) -> Record:
    """Write an SQS message as Lambda hands it to a function."""
    record: Record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message["Attributes"]),
        "messageAttributes": {
            name: _attribute(dict(value)) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    attribute: dict[str, Any] = {
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        attribute["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return attribute

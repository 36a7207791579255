"""`make dead-letters`: lists what is in the dead-letter queue, and why; all of it stays there.

Of the queue that .env or the environment names; else of `make start`'s embedded stack. A message is validated
again, as the function did it. Of a valid one the status object may tell what the catalog said.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from handler.job_status import iso
from handler.messages import InvalidMessage, parse
from handler.status_store import StatusStore
from local.configuration import load_env_file
from local.embedded import PORT
from local.queues import NoQueue, attribute, find_dead_letter_queue, find_queue
from local.show import find_bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

LOOKING = 120  # seconds for which a message is invisible to others while we look at it, at the most

# Gives a job's status object, or nothing where there is none.
StatusOf = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed too often.

    Attributes:
        message_id: its messageId.
        sent_at: when it was sent, in milliseconds since the epoch.
        body: its body.
        reason: why it failed, as far as that can be told.
    """

    message_id: str
    sent_at: int
    body: str
    reason: str


def main() -> int:
    """List.

    Returns:
        The exit code: 0, also where there is nothing to list; 1 if the queue can't be read.
    """
    parser = argparse.ArgumentParser(prog="python -m local.dead_letters", description=__doc__)
    parser.add_argument("--limit", type=int, default=100, help="how many to list (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="a JSON object for each, with the whole body")
    parser.add_argument("--port", type=int, default=PORT, help="of the embedded stack (default: %(default)s)")
    arguments = parser.parse_args()
    load_env_file()
    try:
        sqs, queue_url = find_queue(arguments.port)
        url, _ = find_dead_letter_queue(sqs, queue_url)
        count = int(attribute(sqs, url, "ApproximateNumberOfMessages"))
        letters = read_dead_letters(sqs, url, _status_of(*find_bucket(arguments.port)), arguments.limit)
    except NoQueue as error:
        print(error, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError, ValueError) as error:
        print(f"Reading the dead-letter queue failed: {error}", file=sys.stderr)
        return 1
    for letter in sorted(letters, key=lambda letter: letter.sent_at):
        print(_as_json(letter) if arguments.json else _as_text(letter))
    more = max(0, count - len(letters))
    print(
        f"{len(letters)} in the dead-letter queue" + (f", and about {more} more (--limit)" if more else ""),
        file=sys.stderr,
    )
    return 0


def read_dead_letters(
    sqs: "SQSClient", queue_url: str, status_of: StatusOf, limit: int = 1_000_000
) -> list[DeadLetter]:
    """Read a dead-letter queue, and leave its messages there.

    They are invisible to others meanwhile, for 120 seconds at the most.

    Args:
        sqs: the queue's client.
        queue_url: the queue.
        status_of: gives a job's status object, which may tell why a valid message failed.
        limit: how many to read.

    Returns:
        What is there.
    """
    letters: dict[str, DeadLetter] = {}
    receipts: list[str] = []
    try:
        while len(letters) < limit:
            messages = sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=min(10, limit - len(letters)),
                MessageSystemAttributeNames=["SentTimestamp"],
                VisibilityTimeout=LOOKING,
                WaitTimeSeconds=1,  # long polling asks all of SQS's servers, a short poll some
            ).get("Messages", [])
            receipts += [message["ReceiptHandle"] for message in messages]
            new = [message for message in messages if message["MessageId"] not in letters]
            if not new:  # nothing there, or all over again
                break
            for message in new:
                sent = message["Attributes"]["SentTimestamp"]
                reason = _reason(message["MessageId"], sent, message["Body"], status_of)
                letters[message["MessageId"]] = DeadLetter(
                    message["MessageId"], int(sent), message["Body"], reason
                )
    finally:
        for some in (receipts[start : start + 10] for start in range(0, len(receipts), 10)):
            sqs.change_message_visibility_batch(
                QueueUrl=queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                    for number, receipt in enumerate(some)
                ],
            )
    return list(letters.values())


def _reason(message_id: str, sent_timestamp: str, body: str, status_of: StatusOf) -> str:
    try:
        job_id = parse(message_id, sent_timestamp, body).job_id
    except InvalidMessage as error:
        return str(error)
    answer = status_of(job_id).get("catalog", {}).get("error")
    if answer:
        return f"a valid message; of job {job_id} the catalog said: {answer}"
    return "a valid message; the function's log says why it failed"


def _status_of(s3: "S3Client", bucket: str, prefix: str) -> StatusOf:
    store = StatusStore(lambda _: s3, bucket, prefix)

    def status_of(job_id: str) -> Mapping[str, Any]:
        try:
            status = json.loads(s3.get_object(Bucket=bucket, Key=store.key(job_id))["Body"].read())
        except (ClientError, ValueError):  # none, none that we may read, or none that is JSON
            return {}
        return status if isinstance(status, dict) else {}

    return status_of


def _as_text(letter: DeadLetter) -> str:
    body = json.dumps(letter.body, ensure_ascii=False)  # on one line, and no control characters
    return (
        f"{iso(letter.sent_at)}  {letter.message_id}\n"
        f"    {body if len(body) <= 120 else body[:119] + '…'}\n    {letter.reason}"
    )


def _as_json(letter: DeadLetter) -> str:
    return json.dumps(
        {
            "messageId": letter.message_id,
            "sentAt": iso(letter.sent_at),
            "reason": letter.reason,
            "body": letter.body,
        }
    )


if __name__ == "__main__":
    sys.exit(main())

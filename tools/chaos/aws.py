"""As much of S3 and SQS as the function and its event source mapping use, quick and with a perfect memory.

Moto's server answers some 150 requests a second, has no atomic conditional PUT and counts visibility timeouts
in whole seconds. These keep every version of every object and every receive of every message, in one order,
which is what the run is judged by; `tests/tools/test_chaos_servers.py` holds their answers against moto's.
"""

import asyncio
import contextlib
import hashlib
import heapq
import json
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from xml.sax.saxutils import escape

from tools.chaos.proxy import ORDER, Fate, Request, Response

API = -1  # the OAM API, as a writer of objects
BEFORE = -2  # whoever wrote objects before the run


@dataclass(frozen=True, slots=True)
class Version:
    """An object as it was at one time."""

    number: int
    key: str
    body: bytes
    etag: str
    modified: int  # seconds since the epoch, as Last-Modified says it
    writer: int  # a worker's number, or API or BEFORE
    at: float  # seconds of the run
    headers: dict[str, str]


class S3:
    """One bucket. What comes in while an event loop runs is done one after the other: all is atomic."""

    def __init__(self, bucket: str, clock: Callable[[], float]) -> None:
        self.bucket = bucket
        self.clock = clock
        self.versions: defaultdict[str, list[Version]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.trouble: list[str] = []  # requests that the function should never make

    async def answer(self, request: Request) -> Response:
        bucket, _, key = request.path.removeprefix("/").partition("/")
        self.counts[request.method] += 1
        if bucket != self.bucket:
            self.trouble.append(f"{request.method} of {request.path}: another bucket")
            return s3_error(404, "NoSuchBucket", request.path)
        if request.method == "GET" and key:
            return self._get(key)
        if request.method == "PUT" and key and request.query in ("", "x-id=PutObject"):
            return self._put(key, request)
        self.trouble.append(f"{request.method} of {request.path}?{request.query}: unexpected")
        return s3_error(501, "NotImplemented", key)

    def put(self, key: str, body: bytes, writer: int, headers: dict[str, str] | None = None) -> Version:
        """Write with no condition."""
        version = Version(
            number=next(ORDER),
            key=key,
            body=body,
            etag='"' + hashlib.md5(body).hexdigest() + '"',
            modified=int(time.time()),
            writer=writer,
            at=self.clock(),
            headers=headers or {},
        )
        self.versions[key].append(version)
        return version

    def _get(self, key: str) -> Response:
        if not self.versions.get(key):
            return s3_error(404, "NoSuchKey", key)
        last = self.versions[key][-1]
        headers = {"ETag": last.etag, "Last-Modified": formatdate(last.modified, usegmt=True)}
        return Response(200, last.body, headers | {"Content-Type": "application/json"})

    def _put(self, key: str, request: Request) -> Response:
        match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
        last = self.versions[key][-1] if self.versions.get(key) else None
        if match is not None and last is None:
            return s3_error(404, "NoSuchKey", key)
        if (match is not None and last and last.etag != match) or (none_match == "*" and last):
            self.counts["412"] += 1
            return s3_error(412, "PreconditionFailed", key)
        if match is None and none_match is None:
            self.counts["unconditional PUT"] += 1
        if "aws-chunked" in request.headers.get("content-encoding", ""):
            return s3_error(501, "NotImplemented", key)
        version = self.put(key, request.body, request.worker, dict(request.headers))
        return Response(200, b"", {"ETag": version.etag})


def s3_error(status: int, code: str, resource: str) -> Response:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}</Message>'
        f"<Resource>{escape(resource)}</Resource><RequestId>chaos</RequestId></Error>"
    )
    return Response(status, text.encode(), {"Content-Type": "application/xml"})


_S3_CODES = {
    403: "AccessDenied",
    409: "ConditionalRequestConflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}


def s3_fault(request: Request, fate: Fate) -> Response:
    if fate.status == 502:  # from something between: no XML
        return Response(502, b"<html><body><h1>502 Bad Gateway", {"Content-Type": "text/html"})
    return s3_error(fate.status, _S3_CODES.get(fate.status, "InternalError"), request.path)


@dataclass(slots=True)
class Message:
    """A message as the queue knows it.

    Attributes:
        message_id: SQS's.
        body: as it was sent.
        sent_at: milliseconds since the epoch.
        number: of the schedule's message that it carries.
        unlucky: whether its receives are used up before anybody sees it.
        state: waiting, deleted, dead or moved.
        receives: for each, the worker and the second of the run.
        deleted: the order number of its deletion.
    """

    message_id: str
    body: str
    sent_at: int
    number: int
    unlucky: bool
    state: str = "waiting"
    visible_at: float = 0.0
    last_receipt: int = 0
    in_flight: bool = False
    received_at: float = 0.0
    receives: list[tuple[int, float]] = field(default_factory=list)
    deleted: int | None = None


class SQS:
    """One queue and its dead letters; delivers at least once, in any order.

    Args:
        seed: of what it does at random.
        clock: the seconds of the run.
        scale: how many real seconds one second of a visibility timeout takes.
        visibility: the queue's visibility timeout, in its seconds.
        max_receives: how often a message is delivered before it is a dead letter.
        twice: the share of receives after which a message stays visible.
        slow: the share of messages that SQS takes up to two seconds to show.
    """

    url_path = "/123456789012/oam-status"
    arn = "arn:aws:sqs:us-east-1:123456789012:oam-status"

    def __init__(
        self,
        seed: str,
        clock: Callable[[], float],
        *,
        scale: float,
        visibility: int,
        max_receives: int,
        twice: float = 0.0,
        slow: float = 0.0,
    ) -> None:
        self._random = random.Random(f"{seed}/sqs")
        self.scale = scale
        self.visibility = visibility
        self.max_receives = max_receives
        self.twice = twice
        self.slow = slow
        self.clock = clock
        self.messages: dict[str, Message] = {}
        self.dead: list[Message] = []
        self.counts: Counter[str] = Counter()
        self.trouble: list[str] = []
        self.longest_visibility = 0
        self._ready: list[Message] = []
        self._later: list[tuple[float, int, Message]] = []
        self._came = asyncio.Event()
        self._operations = {
            "GetQueueAttributes": self._attributes,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibility": self._change,
            "ChangeMessageVisibilityBatch": self._change_batch,
        }

    @property
    def waiting(self) -> int:
        """How many messages are in the queue, in flight or not."""
        return sum(1 for message in self.messages.values() if message.state == "waiting")

    def send(self, body: str, number: int, *, unlucky: bool = False) -> Message:
        """Accept a message."""
        message = Message(str(uuid.uuid4()), body, time.time_ns() // 1_000_000, number, unlucky)
        self.messages[message.message_id] = message
        if self._random.random() < self.slow:
            self._hide(message, self._random.uniform(0, 2))
        else:
            self._ready.append(message)
            self._came.set()
        return message

    def redrive(self, count: int) -> int:
        """Send dead letters back, as StartMessageMoveTask does: with new ids and times; give how many."""
        self._random.shuffle(self.dead)
        moved, self.dead = self.dead[:count], self.dead[count:]
        for message in moved:
            message.state = "moved"
            self.send(message.body, message.number)
        return len(moved)

    async def answer(self, request: Request) -> Response:
        operation = self._operations.get(request.target)
        self.counts[request.target] += 1
        if operation is None or request.method != "POST":
            self.trouble.append(f"{request.method} {request.target}: unexpected")
            return sqs_error(400, "UnsupportedOperation")
        asked = json.loads(request.body)
        if not str(asked.get("QueueUrl", "")).endswith(self.url_path):
            self.trouble.append(f"{request.target} of {asked.get('QueueUrl')}")
            return sqs_error(400, "QueueDoesNotExist")
        found = operation(asked, request)
        if asyncio.iscoroutine(found):
            found = await found
        if isinstance(found, Response):
            return found
        return Response(200, json.dumps(found).encode(), {"Content-Type": "application/x-amz-json-1.0"})

    def _attributes(self, asked: dict[str, Any], request: Request) -> dict[str, Any]:
        known = {
            "QueueArn": self.arn,
            "VisibilityTimeout": str(self.visibility),
            "ApproximateNumberOfMessages": str(self.waiting),
            "RedrivePolicy": json.dumps({"maxReceiveCount": self.max_receives}),
        }
        names = asked.get("AttributeNames", [])
        return {"Attributes": {n: v for n, v in known.items() if n in names or "All" in names}}

    async def _receive(self, asked: dict[str, Any], request: Request) -> dict[str, Any]:
        end = self.clock() + float(asked.get("WaitTimeSeconds", 0))
        most = int(asked.get("MaxNumberOfMessages", 1))
        if self._random.random() < 0.3:  # SQS asks only some of its servers
            most = self._random.randint(1, most)
        while True:
            found = self._take(most, asked.get("VisibilityTimeout", self.visibility), request)
            left = end - self.clock()
            if found or left <= 0:
                break
            self._came.clear()
            due = self._later[0][0] - self.clock() if self._later else left
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), max(0.005, min(left, due)))
        return {"Messages": found} if found else {}

    def _take(self, most: int, visibility: int, request: Request) -> list[dict[str, Any]]:
        now = self.clock()
        while self._later and self._later[0][0] <= now:
            due, _, message = heapq.heappop(self._later)
            if message.state == "waiting" and message.visible_at == due:
                message.in_flight = False
                self._ready.append(message)
        taken: list[dict[str, Any]] = []
        while self._ready and len(taken) < most:
            # Not in order, though the older ones tend to come first.
            index = int(self._random.random() ** 2 * len(self._ready))
            self._ready[index], self._ready[-1] = self._ready[-1], self._ready[index]
            message = self._ready.pop()
            if message.state != "waiting" or message.in_flight or message.visible_at > now:
                continue
            if message.unlucky or len(message.receives) >= self.max_receives:
                message.state = "dead"
                self.dead.append(message)
                continue
            taken.append(self._hand_out(message, visibility, request))
        return taken

    def _hand_out(self, message: Message, visibility: int, request: Request) -> dict[str, Any]:
        now = self.clock()
        message.receives.append((request.worker, now))
        message.received_at = now
        message.last_receipt += 1
        self.counts["deliveries"] += 1
        seconds = visibility * self.scale
        if self._random.random() < self.twice:
            self.counts["delivered twice at once"] += 1
            seconds = self._random.uniform(0, 0.3)
        self._hide(message, seconds)
        return {
            "MessageId": message.message_id,
            "ReceiptHandle": f"{message.message_id}#{message.last_receipt}",
            "Body": message.body,
            "MD5OfBody": hashlib.md5(message.body.encode("utf-8", "surrogatepass")).hexdigest(),
            "Attributes": {
                "SenderId": "AIDACHAOS",
                "SentTimestamp": str(message.sent_at),
                "ApproximateReceiveCount": str(len(message.receives)),
                "ApproximateFirstReceiveTimestamp": str(message.sent_at + 1),
            },
        }

    def _hide(self, message: Message, seconds: float) -> None:
        message.in_flight = True
        message.visible_at = self.clock() + seconds
        heapq.heappush(self._later, (message.visible_at, next(ORDER), message))
        self._came.set()

    def _of(self, receipt: str) -> tuple[Message | None, bool]:
        """Give a receipt's message, and whether it is from the last receive."""
        name, _, number = receipt.partition("#")
        message = self.messages.get(name)
        return message, message is not None and number == str(message.last_receipt)

    def _delete_one(self, receipt: str) -> str | None:
        message, newest = self._of(receipt)
        if message is None:
            return "ReceiptHandleIsInvalid"
        # An older receipt's deletion succeeds, "but the message might not be deleted".
        if message.state == "waiting" and (newest or self._random.random() < 0.5):
            message.state = "deleted"
            message.deleted = next(ORDER)
        elif message.state == "waiting":
            self.counts["deletions by an old receipt that did nothing"] += 1
        return None

    def _change_one(self, receipt: str, seconds: object) -> str | None:
        message, _ = self._of(receipt)
        if not isinstance(seconds, int) or not 0 <= seconds <= 43_200:
            self.trouble.append(f"visibility timeout of {seconds!r}")
            return "InvalidParameterValue"
        if message is None:
            return "ReceiptHandleIsInvalid"
        if message.state != "waiting" or not message.in_flight:
            return "MessageNotInflight"
        if (self.clock() - message.received_at) / self.scale + seconds > 43_200:
            self.trouble.append(f"visibility timeout of {seconds} beyond 12 hours from its receipt")
            return "InvalidParameterValue"
        self.counts["visibility timeouts changed"] += 1
        self.longest_visibility = max(self.longest_visibility, seconds)
        self._hide(message, seconds * self.scale)
        return None

    def _delete(self, asked: dict[str, Any], request: Request) -> dict[str, Any] | Response:
        failure = self._delete_one(asked["ReceiptHandle"])
        return sqs_error(400, failure) if failure else {}

    def _change(self, asked: dict[str, Any], request: Request) -> dict[str, Any] | Response:
        failure = self._change_one(asked["ReceiptHandle"], asked.get("VisibilityTimeout"))
        return sqs_error(400, failure) if failure else {}

    def _delete_batch(self, asked: dict[str, Any], request: Request) -> dict[str, Any] | Response:
        return self._batch(asked, lambda entry: self._delete_one(entry["ReceiptHandle"]))

    def _change_batch(self, asked: dict[str, Any], request: Request) -> dict[str, Any] | Response:
        return self._batch(
            asked, lambda entry: self._change_one(entry["ReceiptHandle"], entry.get("VisibilityTimeout"))
        )

    def _batch(
        self, asked: dict[str, Any], do: Callable[[dict[str, Any]], str | None]
    ) -> dict[str, Any] | Response:
        entries = asked.get("Entries", [])
        if not 1 <= len(entries) <= 10 or len({entry["Id"] for entry in entries}) < len(entries):
            self.trouble.append(f"a batch of {len(entries)} entries, or with an Id twice")
            return sqs_error(400, "TooManyEntriesInBatchRequest")
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for entry in entries:
            failure = do(entry)
            if failure is None:
                done.append({"Id": entry["Id"]})
            else:
                failed.append({"Id": entry["Id"], "Code": failure, "Message": failure, "SenderFault": True})
        return {"Successful": done} | ({"Failed": failed} if failed else {})


def sqs_error(status: int, code: str) -> Response:
    text = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": code})
    return Response(status, text.encode(), {"Content-Type": "application/x-amz-json-1.0"})


def sqs_fault(request: Request, fate: Fate) -> Response:
    codes = {403: "AccessDenied", 429: "RequestThrottled", 503: "ServiceUnavailable"}
    return sqs_error(
        400 if fate.status in (403, 429) else fate.status, codes.get(fate.status, "InternalFailure")
    )

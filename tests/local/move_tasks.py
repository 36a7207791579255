"""What moto's SQS lacks, before moto: StartMessageMoveTask and its sisters, as AWS documents them.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListMessageMoveTasks.html
"""

import itertools
import json
import threading
import time
from collections import Counter
from typing import Any

from local.stack.embedded import Stack
from local.stack.http_server import Answer, HttpServer, Request
from tests.integration.fault_proxy import passed_on

JSON = {"Content-Type": "application/x-amz-json-1.0"}

# A move of another day, as it is listed: without its handle, since it does not run.
EARLIER = {
    "Status": "COMPLETED",
    "StartedTimestamp": 1_700_000_000_000,
    "ApproximateNumberOfMessagesMoved": 99,
}

_starts = itertools.count(1_800_000_000_000)


class MoveTasks:
    """A server with SQS's own move; a context manager.

    Args:
        stack: what it stands before.
        fails_after: how many messages move before SQS gives up.
        circles: whether what is moved is a dead letter again at once.
        unlisted: for how many looks the move is not listed.
        earlier: moves that are listed beside it, before it in the list.
        answers: what is answered to a call in its place: status and body.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        fails_after: int | None = None,
        circles: bool = False,
        unlisted: int = 0,
        earlier: tuple[dict[str, Any], ...] = (),
        answers: dict[str, tuple[int, bytes]] | None = None,
        pause: float = 0.1,
    ) -> None:
        self.stack, self.fails_after, self.circles, self.pause = stack, fails_after, circles, pause
        self.unlisted, self.earlier, self.answers = unlisted, earlier, answers or {}
        self.task: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.cancelled = threading.Event()
        self.mover: threading.Thread | None = None

    @property
    def calls(self) -> "Counter[str]":
        return Counter(action for action, _ in self.asked)

    def __enter__(self) -> "MoveTasks":
        self.server = HttpServer(self.answer)
        self.url = self.server.__enter__().url
        return self

    def __exit__(self, *_: object) -> None:
        self.cancelled.set()
        if self.mover:
            self.mover.join()
        self.server.__exit__(None, None, None)

    def answer(self, request: Request) -> Answer:
        action = request.headers["X-Amz-Target"].rpartition(".")[2]
        self.asked.append((action, request.json))
        if action in self.answers:
            return Answer(*self.answers[action], JSON)
        if own := getattr(self, action, None):
            return Answer(200, json.dumps(own(request.json)).encode(), JSON)
        return passed_on(request, self.stack.url)

    def StartMessageMoveTask(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (SQS's name)
        assert asked["SourceArn"].endswith("dead-letters")
        self.task = {"TaskHandle": "handle", "Status": "RUNNING", "SourceArn": asked["SourceArn"]}
        self.task |= {"ApproximateNumberOfMessagesMoved": 0, "ApproximateNumberOfMessagesToMove": 3}
        self.task |= {"StartedTimestamp": next(_starts)}
        self.mover = threading.Thread(target=self._move, daemon=True)
        self.mover.start()
        return {"TaskHandle": "handle"}

    def ListMessageMoveTasks(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (SQS's name)
        listed = list(self.earlier[: asked.get("MaxResults", 1)])
        if self.task and self.unlisted:
            self.unlisted -= 1
        elif self.task:
            listed.append(dict(self.task))
        return {"Results": listed[: asked.get("MaxResults", 1)]}

    def CancelMessageMoveTask(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (SQS's name)
        assert asked == {"TaskHandle": "handle"}
        self.cancelled.set()
        return {"ApproximateNumberOfMessagesMoved": self.task["ApproximateNumberOfMessagesMoved"]}

    def _move(self) -> None:
        sqs, moved = self.stack.sqs, 0
        while not self.cancelled.is_set():
            messages = sqs.receive_message(QueueUrl=self.stack.dead_letter_queue_url).get("Messages")
            if not messages:
                break
            if moved == self.fails_after:
                self._end("FAILED", FailureReason="AccessDenied")
                return
            target = self.stack.dead_letter_queue_url if self.circles else self.stack.queue_url
            sqs.send_message(QueueUrl=target, MessageBody=messages[0]["Body"])
            sqs.delete_message(
                QueueUrl=self.stack.dead_letter_queue_url, ReceiptHandle=messages[0]["ReceiptHandle"]
            )
            moved += 1
            self.task["ApproximateNumberOfMessagesMoved"] = moved
            time.sleep(self.pause)
        self._end("CANCELLED" if self.cancelled.is_set() else "COMPLETED")

    def _end(self, status: str, **more: str) -> None:
        """AWS lists a handle only while its move runs."""
        self.task = {name: value for name, value in self.task.items() if name != "TaskHandle"}
        self.task |= {"Status": status, **more}

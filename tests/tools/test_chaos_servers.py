"""The run's own S3 and SQS answer as moto's do, wherever the function could tell."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import make_client
from tools.chaos.aws import S3, SQS
from tools.chaos.proxy import Plan, Proxy, Response

BUCKET = f"chaos-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def moto_url(aws_url: str) -> str:
    make_client("s3", aws_url).create_bucket(Bucket=BUCKET)
    return aws_url


@pytest.fixture
def ours() -> Iterator[tuple[str, SQS]]:
    """Run our servers in a thread; give their URL and the queue."""
    begun = time.monotonic()

    def clock() -> float:
        return time.monotonic() - begun

    s3, sqs = S3(BUCKET, clock), SQS("0", clock, scale=1.0, visibility=1, max_receives=3)
    loop = asyncio.new_event_loop()

    async def nothing(*_: object) -> None: ...

    async def open_proxy() -> tuple[Proxy, str]:
        proxy = Proxy(
            Plan("0", {"aws": 0}, {}),
            {"s3": s3.answer, "sqs": sqs.answer},
            clock,
            nothing,
            lambda _: False,
            lambda *_: Response(500),
        )
        proxy.token = "no token"
        return proxy, await proxy.listen(0, "s3")

    proxy, url = loop.run_until_complete(open_proxy())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield url, sqs
    asyncio.run_coroutine_threadsafe(proxy.close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def told(call: Callable[..., Any], *names: str, **parameters: Any) -> Any:
    """Give what a call answers: the named parts, or the error's status and code."""
    try:
        answer = call(**parameters)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    return {name: answer[name].read() if name == "Body" else answer[name] for name in names}


def test_s3(ours: tuple[str, SQS], moto_url: str) -> None:
    def tell(url: str) -> list[Any]:
        s3, key = make_client("s3", url), f"a/{'job'}-status.json"
        where = {"Bucket": BUCKET, "Key": key}
        first = {"Body": b"{}", "ContentType": "application/json", "ACL": "bucket-owner-full-control"}
        other = '"' + "0" * 32 + '"'
        found = [
            told(s3.get_object, **where),
            told(s3.put_object, **where, **first, IfMatch=other),
            told(s3.put_object, "ETag", **where, **first, IfNoneMatch="*"),
            told(s3.put_object, **where, **first, IfNoneMatch="*"),
            told(s3.put_object, **where, **first, IfMatch=other),
            told(s3.get_object, "ETag", "Body", "ContentType", **where),
        ]
        etag = s3.get_object(**where)["ETag"]
        found += [
            told(s3.put_object, "ETag", **where, **first | {"Body": b"[1]"}, IfMatch=etag),
            told(s3.put_object, **where, **first, IfMatch=etag),
            told(s3.put_object, "ETag", **where, Body=b"no condition"),
            told(s3.get_object, "ETag", "Body", **where),
        ]
        modified = s3.get_object(**where)["LastModified"].timestamp()
        found.append(abs(modified - time.time()) < 3)
        return found

    assert tell(ours[0]) == tell(moto_url)


def test_s3_lets_one_of_many_writers_through(ours: tuple[str, SQS]) -> None:
    s3 = make_client("s3", ours[0])
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"0")
    etag = s3.get_object(Bucket=BUCKET, Key="k")["ETag"]
    results: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda n=n: results.append(
                told(s3.put_object, Bucket=BUCKET, Key="k", Body=b"x" * (n + 1), IfMatch=etag)
            )
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == sorted(["{}", *["(412, 'PreconditionFailed')"] * 7])


def test_sqs(ours: tuple[str, SQS], moto_url: str) -> None:
    def tell(url: str, queue_url: str, send: Callable[[str], object]) -> list[Any]:
        sqs = make_client("sqs", url)
        send("hällo")
        received = receive(sqs, queue_url)
        found: list[Any] = [
            received["Body"],
            received["MD5OfBody"],
            received["Attributes"]["ApproximateReceiveCount"],
            abs(int(received["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < 3,
            # In flight: not to be seen.
            "Messages" in sqs.receive_message(QueueUrl=queue_url),
            told(
                sqs.change_message_visibility_batch,
                "Successful",
                QueueUrl=queue_url,
                Entries=[{"Id": "a", "ReceiptHandle": received["ReceiptHandle"], "VisibilityTimeout": 0}],
            ),
        ]
        again = receive(sqs, queue_url)
        found += [
            again["MessageId"] == received["MessageId"],
            again["Attributes"]["ApproximateReceiveCount"],
            again["Attributes"]["SentTimestamp"] == received["Attributes"]["SentTimestamp"],
            told(
                sqs.change_message_visibility,
                QueueUrl=queue_url,
                ReceiptHandle=again["ReceiptHandle"],
                VisibilityTimeout=43_201,
            ),
        ]
        third = receive(sqs, queue_url)  # after the queue's own timeout of a second
        entries = [{"Id": "0", "ReceiptHandle": third["ReceiptHandle"]}]
        found += [
            third["Attributes"]["ApproximateReceiveCount"],
            told(sqs.delete_message_batch, "Successful", QueueUrl=queue_url, Entries=entries),
            told(
                sqs.delete_message_batch,
                QueueUrl=queue_url,
                Entries=[{"Id": str(n), "ReceiptHandle": third["ReceiptHandle"]} for n in range(11)],
            )[0],
            "Messages" in sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=1),
        ]
        return found

    moto = make_client("sqs", moto_url)
    queue_url = moto.create_queue(QueueName=uuid.uuid4().hex, Attributes={"VisibilityTimeout": "1"})[
        "QueueUrl"
    ]
    url, sqs = ours
    expected = tell(moto_url, queue_url, lambda body: moto.send_message(QueueUrl=queue_url, MessageBody=body))
    assert tell(url, url + sqs.url_path, lambda body: sqs.send(body, 0)) == expected


def test_sqs_makes_a_dead_letter_of_what_was_received_too_often(ours: tuple[str, SQS]) -> None:
    url, sqs = ours
    message = sqs.send("x", 0)
    for _ in range(3):
        received = receive(make_client("sqs", url), url + sqs.url_path)
        sqs._change_one(received["ReceiptHandle"], 0)
    assert "Messages" not in make_client("sqs", url).receive_message(QueueUrl=url + sqs.url_path)
    assert (sqs.dead, sqs.waiting) == ([message], 0)
    # WHEN it is sent back
    assert sqs.redrive(5) == 1
    # THEN it is another message with the same body
    received = receive(make_client("sqs", url), url + sqs.url_path)
    assert received["Body"] == "x"
    assert received["MessageId"] != message.message_id
    assert received["Attributes"]["ApproximateReceiveCount"] == "1"


def receive(sqs: Any, queue_url: str) -> dict[str, Any]:
    """Wait for a message."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = sqs.receive_message(
            QueueUrl=queue_url, WaitTimeSeconds=2, MessageSystemAttributeNames=["All"], MaxNumberOfMessages=10
        ).get("Messages")
        if found:
            message: dict[str, Any] = found[0]
            return message
    raise AssertionError("no message came")

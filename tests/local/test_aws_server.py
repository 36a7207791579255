"""The embedded S3 and SQS."""

import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from local.stack.aws_server import aws_server
from local.stack.embedded import s3_client
from tests import processes
from tests.conftest import Aws, stack_of_its_own


def test_of_many_conditional_puts_at_once_one_wins(aws: Aws) -> None:
    # GIVEN many writers that all expect nothing to be there
    s3 = aws.s3
    writers = 16
    start = threading.Barrier(writers)

    def put(number: int) -> bool:
        start.wait()
        try:
            s3.put_object(Bucket=aws.bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            return False
        return True

    # WHEN they write at once, ten times over
    with ThreadPoolExecutor(writers) as pool:
        for _ in range(10):
            won = sum(pool.map(put, range(writers)))

            # THEN one has won
            assert won == 1
            s3.delete_object(Bucket=aws.bucket, Key="k")


def test_what_is_left_in_a_stack_of_a_test_meets_no_later_one(aws: Aws) -> None:
    # GIVEN an object beside a stack in which a test fails
    aws.put("k", b"{}")
    with pytest.raises(ZeroDivisionError), stack_of_its_own():
        raise ZeroDivisionError
    # THEN nothing is left
    assert aws.s3.list_buckets()["Buckets"] == []
    assert "QueueUrls" not in aws.client("sqs").list_queues()


def test_a_long_poll_keeps_nobody_out_of_s3(aws: Aws) -> None:
    # GIVEN a long poll of an empty queue
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"]
    poll = threading.Thread(target=lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=3))
    poll.start()
    time.sleep(0.3)

    # WHEN S3 is used
    began = time.monotonic()
    aws.put("key", b"x")
    seconds = time.monotonic() - began

    # THEN it answers at once
    assert poll.is_alive()
    assert seconds < 2
    poll.join()


def test_a_taken_port_is_an_error_and_does_not_end_the_process() -> None:
    # GIVEN a port that somebody listens on
    taken = socket.create_server(("127.0.0.1", 0))

    # WHEN a server is to have it
    # THEN the caller is told
    with taken, pytest.raises(OSError, match="in use"), aws_server(taken.getsockname()[1]):
        pass


def test_it_listens_on_one_more_address_if_told_and_on_no_other() -> None:
    # GIVEN a server with an address beside 127.0.0.1
    with aws_server(host="127.0.0.2") as url:
        port = int(url.rpartition(":")[2])

        # THEN both lead to the same buckets
        s3_client(url).create_bucket(Bucket="on-two-addresses")
        s3_client(f"http://127.0.0.2:{port}").head_bucket(Bucket="on-two-addresses")

        # AND no other does
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.3", port))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_as_a_process_of_its_own_it_says_its_url_and_ends_on_a_signal(number: signal.Signals) -> None:
    # GIVEN the server as a process
    command = [sys.executable, "-m", "local.stack.aws_server"]
    with processes.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()

            # WHEN it is used
            s3_client(url).create_bucket(Bucket="from-another-process")

            # THEN it answers, and a signal ends it
            assert s3_client(url).list_buckets()["Buckets"][0]["Name"] == "from-another-process"
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")


def test_a_tool_that_looks_for_a_stack_does_not_load_what_runs_one() -> None:
    """It would take longer than all else that such a tool loads."""
    code = "import sys, local.cli.main; print([name for name in sys.modules if name in ('moto', 'werkzeug')])"
    assert processes.run([sys.executable, "-c", code], check=True).stdout == "[]\n"

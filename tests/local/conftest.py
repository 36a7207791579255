"""The embedded stack, with dead letters in it."""

from collections.abc import Iterator

import pytest

from local.stack.embedded import Stack, embedded_stack
from tests.factories import body


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack with three dead letters, one of them poison."""
    with embedded_stack() as running:
        for text in ("poison", body("chunk", "STARTED", "good"), body("mosaic", "FINISHED", "refused")):
            running.sqs.send_message(QueueUrl=running.dead_letter_queue_url, MessageBody=text)
        yield running
        for url in (running.queue_url, running.dead_letter_queue_url):  # moto's outlive its server
            running.sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def port(stack: Stack) -> str:
    """The port of the stack."""
    return stack.url.rpartition(":")[2]

"""The embedded stack, with dead letters in it."""

from collections.abc import Iterator

import pytest

from local.stack.embedded import Stack
from tests.conftest import stack_of_its_own
from tests.factories import body


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack with three dead letters, one of them poison."""
    with stack_of_its_own() as running:
        for text in ("poison", body("chunk", "STARTED", "good"), body("mosaic", "FINISHED", "refused")):
            running.sqs.send_message(QueueUrl=running.dead_letter_queue_url, MessageBody=text)
        yield running


@pytest.fixture
def port(stack: Stack) -> str:
    """The port of the stack."""
    return stack.url.rpartition(":")[2]

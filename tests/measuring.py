"""Which code has its coverage measured: handler/'s, in the tests that say something of it (`pytest_plugins`)."""

import socketserver
import sys
from collections.abc import Generator
from typing import Any

import coverage
import pytest

# Where handler/ is run as other processes, or by chance: measuring would cost time and tell nothing. Nor do the
# laws, whose thousands of examples run what the unit tests do, and whole batches of what other tests run alone.
UNMEASURED = (
    "tests/deploy",
    "tests/docs",
    "tests/integration/test_log_lines.py",
    "tests/integration/test_memory.py",
    "tests/integration/test_metrics.py",
    "tests/integration/test_poison.py",
    "tests/local",
    "tests/properties",
    "tests/runtime",
    "tests/tools",
)


def pytest_configure() -> None:
    """Have no server's threads measured: none of handler/ runs there, and it took half of what measuring takes."""
    handle = socketserver.ThreadingMixIn.process_request_thread

    def unmeasured(self: socketserver.ThreadingMixIn, request: Any, client_address: Any) -> None:
        sys.settrace(None)
        handle(self, request, client_address)

    socketserver.ThreadingMixIn.process_request_thread = unmeasured  # type: ignore[method-assign] # it is meant


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no coverage of these tests, nor of those that are marked as unmeasured.

    Nor of their fixtures, which pytest-cov's own marker no_cover does not leave out; it is not for use beside this.
    """
    unmeasured = item.nodeid.startswith(UNMEASURED) or item.get_closest_marker("unmeasured")
    measuring = coverage.Coverage.current() if unmeasured else None
    if measuring:
        measuring.stop()
    try:
        return (yield)
    finally:
        if measuring:
            measuring.start()

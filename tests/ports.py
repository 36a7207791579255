"""Ports for programs that are told theirs, and one where nobody answers."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

# Linux gives ports from 32768 on by itself, others from 49152 (https://docs.kernel.org/networking/ip-sysctl.html,
# ip_local_port_range): one of these may be another server's or a connection's before the program has it.
FIRST, LAST = 10_000, 32_000


def free_port() -> int:
    """Return a port that is free, as is the next one: the embedded stack takes both."""
    for _ in range(100):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                return port
        except OSError:
            continue
    raise AssertionError("no two free ports next to each other")


@contextmanager
def silent_server() -> Iterator[str]:
    """Take connections, and say nothing; give the URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"

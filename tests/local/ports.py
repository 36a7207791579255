"""Ports for programs that are told theirs."""

import socket


def free_port() -> int:
    """Return a port that is free, as is the next one: the embedded stack takes both."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except OSError:
                continue
    raise AssertionError("no two free ports next to each other")

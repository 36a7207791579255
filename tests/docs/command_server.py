"""Runs a program's commands in a process that has loaded what they need: botocore's models alone take half a second."""

import json
import socketserver
import sys
import threading
from collections.abc import Callable
from typing import Any


class CommandServer(socketserver.TCPServer):
    """Answers a line of JSON with JSON, one after the other; a context manager that serves while it is entered.

    Args:
        program: the source of what asks, with {python} and {port} in it.
        answer: gives the answer to a line.

    Attributes:
        program: the source with these filled in.
    """

    def __init__(self, program: str, answer: Callable[[Any], object]) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.answer = answer
        self.program = program.format(python=sys.executable, port=self.server_address[1])
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Request(socketserver.StreamRequestHandler):
    server: CommandServer

    def handle(self) -> None:
        self.wfile.write(json.dumps(self.server.answer(json.loads(self.rfile.readline()))).encode())

"""S3 and SQS over real HTTP on the loopback interface: moto's own server.

As a process of its own: `python -m local.stack.aws_server --port 0` prints its URL and serves until SIGTERM
or Ctrl-C.
"""

import argparse
import functools
import json
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import moto.sqs.models
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from local.stack.http_server import HOST

_ANY = "0.0.0.0"  # noqa: S104 (all addresses, 127.0.0.1 among them: only for who asks for it)

# It takes a tenth of a second to make a service's; the servers may share it, as they share what moto keeps.
_backend = functools.cache(create_backend_app)

_SCOPE = re.compile("/([a-z0-9-]+)/aws4_request")


def _milliseconds() -> float:
    return time.time() * 1000


# At each send moto counts its queue's messages, and asks the time for every one of them, by way of a date:
# 2,000 sends took 80 s, and take 9 (https://github.com/getmoto/moto/blob/master/moto/sqs/models.py).
# moto has no setting for it.
moto.sqs.models.unix_time_millis = _milliseconds  # type: ignore[assignment,attr-defined] # not exported by moto


@contextmanager
def aws_server(port: int = 0, host: str = HOST) -> Iterator[str]:
    """Serve S3 and SQS until the context ends.

    Buckets and queues are moto's, and moto has one set of them a process: give them names of their own.

    Args:
        port: the TCP port; 0 for any free one.
        host: an IPv4 address to listen on beside 127.0.0.1, such as that of Docker's bridge.

    Yields:
        The server's URL, on 127.0.0.1.

    Raises:
        OSError: when the port is taken, or this machine has no such address.
    """
    application = _Dispatcher()
    with ExitStack() as stack:
        port = stack.enter_context(_serving(application, _ANY if host == _ANY else HOST, port))
        if host not in {_ANY, HOST}:
            stack.enter_context(_serving(application, host, port))
        yield f"http://{HOST}:{port}"


@contextmanager
def _serving(application: "_Dispatcher", host: str, port: int) -> Iterator[int]:
    """Serve an application on one address until the context ends; yield the port."""
    # A socket of our own, because werkzeug ends the process when a port is taken.
    with socket.create_server((host, port), backlog=128) as listening:
        server = make_server(
            host,
            port,
            application,
            threaded=True,
            request_handler=_QuietRequestHandler,
            fd=listening.fileno(),
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="aws-server", daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Dispatcher:
    """Gives a request to its service in moto, and to S3 one at a time.

    S3's conditional PUT looks at the stored object, then writes: two at once would both find their ETag. SQS
    requests need no such thing, and a long poll would keep everybody out.
    """

    def __init__(self) -> None:
        self._applications = {service: _backend(service) for service in ("s3", "sqs")}
        self._others = DomainDispatcherApplication(_backend)
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # The credential scope of an AWS signature names the service; moto takes the unsigned for S3's.
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        service = scope[1] if scope else ""
        # moto's own dispatcher looks for the service on the disk at each request, which takes a millisecond.
        application = self._applications.get(service, self._others)
        with nullcontext() if service == "sqs" else self._lock:
            try:
                answer: Iterable[bytes] = application(environ, start_response)
            except NotImplementedError as error:  # so moto says that it does not have a call
                start_response("501 Not Implemented", [("Content-Type", "application/x-amz-json-1.0")])
                return [json.dumps({"__type": "UnknownOperationException", "message": str(error)}).encode()]
        return answer


class _QuietRequestHandler(MotoRequestHandler):
    """Moto's request handler without a line in the terminal for every request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m local.stack.aws_server", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port (default: any free one)")
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with aws_server(arguments.port) as url:
            print(url, flush=True)
            stop.wait()
    except OSError as error:
        sys.exit(f"{HOST}:{arguments.port}: {error.strerror}")


if __name__ == "__main__":
    main()

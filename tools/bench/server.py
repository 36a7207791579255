"""S3 and the catalog, as fast as one process can answer, with a latency that can be set; real HTTP.

`python -m tools.bench.server` prints its URLs as JSON, then takes a JSON command a line (`latency`, `reset`)
and answers each with the requests counted so far. Moto answers some 150 requests a second and would hide
everything else.
"""

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial

GET, PUT, POST = "GET", "PUT", "POST"

Answer = tuple[int, bytes, bytes]  # status, headers, body


class World:
    """What is stored, and how long an answer takes."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, bytes]] = {}  # body and ETag
        self.entries: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.latency = {GET: 0.0, PUT: 0.0, POST: 0.0}  # seconds

    def received(self, method: str) -> float:
        """Count a request; give the seconds that its answer takes."""
        self.requests[method] += 1
        return self.latency[method]

    def s3(self, method: str, target: str, headers: dict[bytes, bytes], body: bytes) -> Answer:
        path = target.partition("?")[0]
        known = self.objects.get(path)
        if method == GET:
            if known is None:
                return 404, b"", b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"
            stamp = b"Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: application/json\r\n"
            return 200, b"ETag: " + known[1] + b"\r\n" + stamp, known[0]
        match = headers.get(b"if-match")
        if (headers.get(b"if-none-match") == b"*" and known) or (
            match is not None and (known is None or known[1] != match)
        ):
            self.requests["412"] += 1
            return 412, b"", b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>"
        etag = b'"' + hashlib.md5(body, usedforsecurity=False).hexdigest().encode() + b'"'
        self.objects[path] = body, etag
        return 200, b"ETag: " + etag + b"\r\n", b""

    def catalog(self, method: str, path: str, headers: dict[bytes, bytes], body: bytes) -> Answer:
        if headers.get(b"authorization") != b"Bearer bench-token":
            return 401, b"", b"{}"
        said = json.loads(body)
        self.entries[said["uri"]] = body
        return 200, b"Content-Type: application/json\r\n", b'{"meta": {}, "results": {}}'


class Connection(asyncio.Protocol):
    """One client's connection; one request at a time, as HTTP/1.1 clients do it."""

    def __init__(self, answer: Callable[..., Answer], received: Callable[[str], float]) -> None:
        """Answer requests by a function of method, target, headers and body.

        `received` is called with the method, and gives the seconds that the answer takes.
        """
        self._answer, self._received, self._buffer = answer, received, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
            }
            if headers.pop(b"expect", b"").lower() == b"100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._buffer = b"\r\n".join([lines[0], *(n + b": " + v for n, v in headers.items())])
                self._buffer += b"\r\n\r\n" + rest
                continue
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            method, target, _ = lines[0].decode().split(" ")
            delay = self._received(method)
            if delay:
                asyncio.get_running_loop().call_later(delay, self._reply, method, target, headers, body)
            else:
                self._reply(method, target, headers, body)

    def _reply(self, method: str, target: str, headers: dict[bytes, bytes], body: bytes) -> None:
        status, more, answer = self._answer(method, target, headers, body)
        self._transport.write(
            b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, more, len(answer), answer)
        )


async def serve() -> None:
    """Serve until the input ends."""
    world, loop = World(), asyncio.get_running_loop()
    urls = {}
    for name, answer in (("s3", world.s3), ("catalog", world.catalog)):
        server = await loop.create_server(
            partial(Connection, answer, world.received), "127.0.0.1", 0, backlog=512
        )
        urls[name] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(json.dumps(urls), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        world.latency |= command.get("latency", {})
        counted = dict(world.requests)
        if command.get("reset"):
            world.requests.clear()
            world.objects.clear()
        print(json.dumps(counted), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())

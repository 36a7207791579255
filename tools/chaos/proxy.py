"""The fault proxy: HTTP on 127.0.0.1, one listener for each worker and service.

Each listener knows whose it is, so every request, fault and duplicate has a name to it. What stands behind
(`tools.chaos.aws`, `tools.chaos.catalog`) is called in the same process: with two cores a hop more would only
take time from the workers; to them it is a server that does all that servers and networks do.
"""

import asyncio
import contextlib
import itertools
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"

ORDER = itertools.count(1)  # numbers all that is done, in one order

_GIVEN_UP = 12.0  # seconds that silence is kept, if the client does not hang up before


class Fault(StrEnum):
    """What may become of a request: it is done, or undone, and the answer is another matter."""

    ERROR = "error"  # undone, an error is answered
    ERROR_DONE = "error, done"  # done, an error is answered all the same
    RESET = "reset"  # undone
    STALE = "stale connection"  # undone; a kept-alive connection is found dead
    SILENCE = "no answer"  # undone, silence
    LATE = "done late"  # silence; done after the client has given up
    SLOW = "answer too late"  # done, answered when the client has given up
    LOST = "answer lost"  # done, then the connection is reset
    CUT = "answer cut off"  # done, half of the answer comes, then the connection is reset
    STALL = "answer stalled"  # done, half of the answer comes, then silence
    KILL = "killed before"  # undone; the worker that asked is killed
    KILL_DONE = "killed after"  # done; the worker that asked is killed
    OVERWRITE = "overwritten"  # done, answered; the API then writes PENDING over the object


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one request."""

    fault: Fault
    status: int = 0  # of an error's answer
    retry_after: str | None = None

    @property
    def name(self) -> str:
        return (
            f"{self.status}{', done' if self.fault is Fault.ERROR_DONE else ''}"
            if self.status
            else self.fault
        )


@dataclass(slots=True)
class Request:
    """A request that came, and what became of it.

    Attributes:
        fate: the fault that it met, if any.
        outage: whether it fell into an outage.
        begun: when it had come in, in seconds of the run.
        ended: when it was answered or given up; likewise.
        answered: whether the whole of a true answer was given to a client that was still there.
    """

    worker: int
    service: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    begun: float
    fate: Fate | None = None
    outage: bool = False
    ended: float | None = None
    answered: bool = False

    @property
    def target(self) -> str:
        """The SQS operation."""
        return self.headers.get("x-amz-target", "").partition(".")[2]


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a service is not there."""

    service: str
    start: float  # seconds of the run
    end: float
    mode: str  # refused, reset, silence, or an HTTP status


Backend = Callable[[Request], Awaitable[Response]]


class Plan:
    """The faults: what the nth request of a worker to a service meets depends on the seed alone.

    Args:
        seed: of the run.
        rates: for each service, the share of requests that meet a fault.
        weights: for each service and method (or SQS operation, or *), the faults and their weights.
    """

    def __init__(
        self,
        seed: str,
        rates: Mapping[str, float],
        weights: Mapping[tuple[str, str], list[tuple[Fate, float]]],
    ) -> None:
        self._seed = seed
        self._rates = rates
        self._weights = weights
        self._sources: dict[tuple[int, str], random.Random] = {}
        self.quiet = False

    def next(self, request: Request) -> Fate | None:
        """Draw the next request's fate."""
        source = self._sources.setdefault(
            (request.worker, request.service),
            random.Random(f"{self._seed}/{request.worker}/{request.service}"),
        )
        whether, which = source.random(), source.random()  # two for each, so that the nth stays the nth
        kinds = self._weights.get((request.service, request.target or request.method)) or self._weights.get(
            (request.service, "*")
        )
        if self.quiet or not kinds or whether >= self._rates[request.service]:
            return None
        which *= sum(weight for _, weight in kinds)
        for fate, weight in kinds:
            which -= weight
            if which < 0:
                return fate
        return kinds[-1][0]


class Proxy:
    """All listeners.

    Args:
        plan: the faults.
        backends: by service.
        clock: the seconds of the run.
        kill: kills a worker.
        overwrite: what the API does to the object that a request was for; False if this job is not its.
        error: gives a service's answer for a fault's status.
    """

    def __init__(
        self,
        plan: Plan,
        backends: Mapping[str, Backend],
        clock: Callable[[], float],
        kill: Callable[[int, str], Awaitable[None]],
        overwrite: Callable[[Request], bool],
        error: Callable[[Request, Fate], Response],
    ) -> None:
        self.plan = plan
        self._backends = backends
        self._kill = kill
        self._overwrite = overwrite
        self._error = error
        self.clock = clock
        self.outages: dict[str, Outage] = {}  # by service, those of now
        self.faults: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.secrets: list[str] = []  # what was sent to where it does not belong
        self.token = ""
        self.met: list[Request] = []  # the requests that met a fault
        self.listeners: dict[tuple[int, str], Listener] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    async def listen(self, worker: int, service: str) -> str:
        """Open a listener; give its URL."""
        listener = self.listeners[worker, service] = Listener(self, worker, service)
        await listener.open()
        return listener.url

    async def begin(self, outage: Outage) -> None:
        """Begin an outage."""
        self.outages[outage.service] = outage
        self.faults[f"outage: {outage.service} {outage.mode}"] += 1
        for listener in self.listeners.values():
            if listener.service == outage.service and outage.mode in ("refused", "reset"):
                listener.cut()
                if outage.mode == "refused":
                    listener.close()

    async def end(self, service: str) -> None:
        """End an outage."""
        self.outages.pop(service, None)
        for listener in self.listeners.values():
            if listener.service == service:
                await listener.open()

    async def close(self) -> None:
        for listener in self.listeners.values():
            listener.cut()
            listener.close()
            listener.place.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def keep(self, task: "asyncio.Task[object]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut_worker(self, worker: int) -> None:
        """Drop the connections of a worker that is no more."""
        for (owner, _), listener in self.listeners.items():
            if owner == worker:
                listener.cut()

    async def meet(self, request: Request, connection: "Connection") -> bool:
        """Let a request meet its fate; tell whether the connection goes on."""
        self.requests[request.service] += 1
        if request.service != "catalog" and self.token in str(request.headers) + request.path:
            self.secrets.append(f"{request.service} {request.method} {request.path}")
        outage = self.outages.get(request.service)
        if outage:
            request.outage = True
            self.faults[f"{request.service}: in an outage"] += 1
            request.fate = {
                "silence": Fate(Fault.SILENCE),
                "refused": Fate(Fault.RESET),
                "reset": Fate(Fault.RESET),
            }.get(outage.mode) or Fate(Fault.ERROR, int(outage.mode))
        elif connection.stale and not self.plan.quiet:
            request.fate = Fate(Fault.STALE)
        else:
            fate = self.plan.next(request)
            if fate and fate.fault is Fault.STALE:
                connection.stale, fate = True, None
            request.fate = fate
        if request.fate and not outage and request.fate.fault is not Fault.OVERWRITE:
            self.faults[f"{request.service}: {request.fate.name}"] += 1
        if request.fate:
            self.met.append(request)
        try:
            return await self._carry_out(request, connection)
        finally:
            request.ended = self.clock()

    async def _carry_out(self, request: Request, connection: "Connection") -> bool:
        fate, backend = request.fate, self._backends[request.service]
        match fate.fault if fate else None:
            case None:
                return await self._answer(request, connection, await backend(request))
            case Fault.OVERWRITE:
                answer = await backend(request)
                if self._overwrite(request):
                    self.faults["API: PENDING written right after a request of a worker"] += 1
                return await self._answer(request, connection, answer)
            case Fault.ERROR | Fault.ERROR_DONE:
                assert fate
                if fate.fault is Fault.ERROR_DONE:
                    await backend(request)
                await connection.send(self._error(request, fate))
                return connection.open
            case fault:
                await self._go_silent(fault, request, connection)
                return connection.reset()

    async def _go_silent(self, fault: Fault, request: Request, connection: "Connection") -> None:
        """Carry out what ends without an answer."""
        backend = self._backends[request.service]
        match fault:
            case Fault.KILL:
                await self._kill(request.worker, f"{request.service} {fault}")
            case Fault.KILL_DONE:
                await backend(request)
                await self._kill(request.worker, f"{request.service} {fault}")
            case Fault.SILENCE:
                await connection.wait_for_hang_up(_GIVEN_UP)
            case Fault.LATE:
                await connection.wait_for_hang_up(_GIVEN_UP)
                connection.reset()
                await backend(request)
            case Fault.LOST:
                await backend(request)
            case Fault.SLOW:
                await backend(request)
                await connection.wait_for_hang_up(_GIVEN_UP)
            case Fault.CUT | Fault.STALL:
                await connection.send(await backend(request), cut=True)
                await connection.wait_for_hang_up(0.02 if fault is Fault.CUT else _GIVEN_UP)

    async def _answer(self, request: Request, connection: "Connection", answer: Response) -> bool:
        true = request.fate is None or request.fate.fault is Fault.OVERWRITE
        request.answered = await connection.send(answer) and true
        return connection.open


class Listener:
    """One worker's way to one service."""

    def __init__(self, proxy: Proxy, worker: int, service: str) -> None:
        self._proxy = proxy
        self.worker = worker
        self.service = service
        # Holds the port, so that nobody else gets it while connections to it are refused.
        self.place = self._bound(0)
        self.port = self.place.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()

    @staticmethod
    def _bound(port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((HOST, port))
        return bound

    async def open(self) -> None:
        if self._server is None:
            listening = self._bound(self.port)
            listening.listen(128)
            self._server = await asyncio.start_server(self._serve, sock=listening, limit=1 << 20)

    def close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        for connection in list(self._connections):
            connection.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            self._proxy.keep(task)
        connection = Connection(reader, writer)
        self._connections.add(connection)
        try:
            while connection.open:
                request = await self._read(connection)
                if request is None or not await self._proxy.meet(request, connection):
                    break
        except (
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ConnectionError,
            asyncio.CancelledError,
        ):
            pass
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _read(self, connection: "Connection") -> Request | None:
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, url, _ = head[0].split(" ", 2)
        headers = {}
        for line in head[1:]:
            name, colon, value = line.partition(":")
            if colon:
                headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await connection.reader.readexactly(int(headers.get("content-length", 0)))
        parts = urlsplit(url)
        service = "sqs" if headers.get("x-amz-target", "").startswith("AmazonSQS.") else self.service
        return Request(
            self.worker, service, method, unquote(parts.path), parts.query, headers, body, self._proxy.clock()
        )


class Connection:
    """One connection to a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.stale = False

    @property
    def open(self) -> bool:
        return not self.writer.is_closing()

    async def send(self, answer: Response, *, cut: bool = False) -> bool:
        """Send an answer, or half of it; tell whether the client was there to take it."""
        head = [f"HTTP/1.1 {answer.status} -", f"Content-Length: {len(answer.body)}"]
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        content = "\r\n".join(head).encode() + b"\r\n\r\n" + answer.body
        if not self.open or self.reader.at_eof():
            return False
        self.writer.write(content[: len(content) - max(1, len(answer.body) // 2)] if cut else content)
        try:
            await self.writer.drain()
        except ConnectionError:
            return False
        return self.open and not self.reader.at_eof()

    def reset(self) -> bool:
        """Reset the connection, which is no orderly end; always False."""
        if self.open:
            with contextlib.suppress(OSError):
                self.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            self.writer.transport.abort()
        return False

    async def wait_for_hang_up(self, seconds: float) -> None:
        """Wait until the client has given up."""
        end = time.monotonic() + seconds
        while self.open and not self.reader.at_eof() and time.monotonic() < end:
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
                await asyncio.wait_for(self.reader.read(1), max(0.01, end - time.monotonic()))

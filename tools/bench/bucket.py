"""A bucket of status objects, slow at each GET: `python -m tools.bench.bucket OBJECTS MILLISECONDS`.

Prints its URL, and serves until its input ends. Of ten jobs one has failed and one is refused by the catalog.
"""

import asyncio
import sys
from dataclasses import replace
from functools import partial
from urllib.parse import parse_qs, urlsplit

from handler.job_status import JobStatus, fold
from handler.status_object import to_json
from tests.factories import step_event
from tools.bench.server import Answer, Connection

_PAGE = 1_000  # keys, as S3 lists them
_STEPS = ("chunk STARTED", "chunk FINISHED", "mosaic STARTED")


class Bucket:
    """The objects: their content is made once for each kind of job.

    Args:
        objects: how many.
    """

    def __init__(self, objects: int) -> None:
        self._keys = [f"status/job-{number:06d}-status.json" for number in range(objects)]
        self._bodies = [_body(kind) for kind in range(10)]

    def answer(self, method: str, target: str, headers: dict[bytes, bytes], body: bytes) -> Answer:
        """Answer a listing or a GET."""
        parts = urlsplit(target)
        if "list-type=2" in parts.query:
            return 200, b"Content-Type: application/xml\r\n", self._listing(parse_qs(parts.query))
        number = int(parts.path.rpartition("/job-")[2].partition("-")[0])
        stamp = b"Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: application/json\r\n"
        return 200, b'ETag: "bench"\r\n' + stamp, self._bodies[number % 10]

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        start = int(query.get("continuation-token", ["0"])[0])
        keys = self._keys[start : start + _PAGE]
        more = start + _PAGE < len(self._keys)
        contents = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified>"
            f"<ETag>&quot;{'0' * 32}&quot;</ETag><Size>1</Size></Contents>"
            for key in keys
        )
        token = f"<NextContinuationToken>{start + _PAGE}</NextContinuationToken>" if more else ""
        text = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}"
        return f"<ListBucketResult><Name>bench</Name>{text}</ListBucketResult>".encode()


def _body(kind: int) -> bytes:
    last = "mosaic FAILED" if kind == 0 else "mosaic FINISHED"
    status = fold(JobStatus(), [step_event(step, at) for at, step in enumerate((*_STEPS, last))])
    section = {
        "state": "FAILED" if kind == 1 else "NOTIFIED",
        "attempts": 1,
        "error": "HTTP 400: no such image",
    }
    return to_json("job", replace(status, catalog=section if kind else {}))


async def serve(objects: int, milliseconds: float) -> None:
    """Serve until the input ends."""
    bucket, loop = Bucket(objects), asyncio.get_running_loop()
    make = partial(Connection, bucket.answer, lambda _: milliseconds / 1000)
    server = await loop.create_server(make, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))

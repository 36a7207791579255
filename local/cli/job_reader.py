"""Reads many status objects at once, and keeps little of each."""

from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.pool import AsyncResult, ThreadPool
from typing import TYPE_CHECKING

from local.cli.jobs import Listed, read_object
from local.cli.rows import Row
from local.stack.embedded import CONNECTIONS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READS = CONNECTIONS  # at once
AHEAD = 4 * READS  # objects, at the most, that are read or being read before what comes first is taken

_LONGEST_WAIT = 1.0  # seconds, for a read


class JobReader:
    """Reads status objects into rows.

    Args:
        s3: the bucket's client, of at least READS connections.
        bucket: the bucket's name.
        remembers: whether an object that has not changed since the last time is not read again.
    """

    def __init__(self, s3: "S3Client", bucket: str, *, remembers: bool = False) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._remembers = remembers
        self._known: dict[str, Row] = {}

    def rows(self, objects: Iterable[Listed]) -> Iterator[Row]:
        """Yield the rows of objects in their order, while others are read.

        No more than AHEAD rows wait to be taken.

        Raises:
            BotoCoreError: when the bucket does not answer.
        """
        before, self._known = self._known, {}
        waiting: deque[Row | AsyncResult[Row]] = deque()
        # Its threads do not keep the process: Ctrl-C ends it, whatever S3 does.
        with ThreadPool(READS) as pool:
            for listed in objects:
                known = before.get(listed.key)
                unchanged = known is not None and known.listed == listed
                waiting.append(known if known and unchanged else pool.apply_async(self._read, (listed,)))
                if len(waiting) >= AHEAD:
                    yield self._taken(waiting.popleft())
            while waiting:
                yield self._taken(waiting.popleft())

    def _read(self, listed: Listed) -> Row:
        return Row.of(listed, read_object(self._s3, self._bucket, listed.key, listed.job_id))

    def _taken(self, waiting: "Row | AsyncResult[Row]") -> Row:
        if isinstance(waiting, Row):
            row = waiting
        else:
            # A Ctrl-C that comes just before a wait begins is noticed when that ends: so none is long.
            while not waiting.ready():
                waiting.wait(_LONGEST_WAIT)
            row = waiting.get()
        if self._remembers:
            self._known[row.listed.key] = row
        return row

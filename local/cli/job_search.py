"""One look at the bucket: lists it, reads what has to be read, and picks the jobs that are asked for."""

from collections.abc import Iterator

from local.cli.job_reader import JobReader
from local.cli.jobs import list_jobs
from local.cli.progress import Bar
from local.cli.rows import Listing, Row, Totals, Wanted
from local.cli.target import Target


class JobSearch:
    """A look at the bucket.

    Args:
        target: the stack.
        wanted: the jobs that are asked for.
        limit: how many of them are shown, and how many objects that are none; None for all.

    Attributes:
        wanted: as given.
        listing: what the listing said, once it is read.
        totals: of what has been read so far.
    """

    def __init__(self, target: Target, wanted: Wanted, limit: int | None) -> None:
        self._target = target
        self._limit = limit
        self.wanted = wanted
        self.listing = Listing()
        self.totals = Totals()

    @property
    def shown(self) -> int:
        """Return how many of the objects that match were shown."""
        number = self.totals.jobs
        if self.wanted.kind is None:
            number += self.totals.strangers
        return number if self._limit is None else min(number, self._limit)

    def rows(self, reader: JobReader, bar: Bar) -> Iterator[Row]:
        """Yield the rows to show, the newest first, while others are read.

        Args:
            reader: reads them.
            bar: shows how many are read; while the bucket is listed it moves to and fro.

        Raises:
            ClientError, BotoCoreError: when the bucket can't be listed, or does not answer.
        """
        target = self._target
        objects = list_jobs(target.s3, target.bucket, target.prefix)
        self.listing = Listing.of(objects, self.wanted, self._limit)
        for done, row in enumerate(reader.rows(self.listing.to_read), 1):
            bar.show(done, len(self.listing.to_read))
            if self.wanted.holds(row):
                number = self.totals.count(row)
                if self._limit is None or number <= self._limit:
                    yield row

"""`oam-status jobs --watch`: a list that changes in place; without a terminal, a line for each change."""

import time
from collections.abc import Callable

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from local.cli.console import console, print_json
from local.cli.job_lines import header, lines, totals
from local.cli.job_reader import JobReader
from local.cli.job_search import JobSearch
from local.cli.jobs import Listed
from local.cli.progress import progress_bar
from local.cli.rows import Row, Wanted
from local.cli.target import AwsFailed, Target

_PAUSE = 5  # seconds between two looks


class JobWatch:
    """Looks at the bucket until Ctrl-C.

    Args:
        target: the stack.
        wanted: returns the jobs that are asked for, at a time in seconds since the epoch.
        limit: how many are shown; None for all that the screen has room for.
        as_json: whether to print JSON, and no screen.
        sleep: waits a number of seconds.
    """

    def __init__(
        self,
        target: Target,
        wanted: Callable[[float], Wanted],
        limit: int | None,
        *,
        as_json: bool,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target = target
        self._wanted = wanted
        self._limit = limit
        self._as_json = as_json
        self._sleep = sleep
        self._out: Console = console()
        self._reader = JobReader(target.s3, target.bucket, remembers=True)
        self._printed: dict[str, Listed] = {}

    def run(self) -> None:
        """Look, and look again after a pause; Ctrl-C is the way to end it.

        Raises:
            ClientError, BotoCoreError: when the bucket can't be read the first time. Later, that is said.
        """
        try:
            if self._out.is_terminal and not self._as_json:
                self._on_a_screen()
            else:
                self._line_by_line()
        except KeyboardInterrupt:
            return

    def _on_a_screen(self) -> None:
        found = self._screen()
        with Live(found, console=self._out, screen=True, auto_refresh=False) as live:
            while True:
                self._sleep(_PAUSE)
                try:
                    with self._target.explaining("Reading the bucket failed"):
                        found = self._screen()
                    live.update(found, refresh=True)
                except AwsFailed as error:
                    news = Text(f"{_sentence(error)}\nLooking again every {_PAUSE} seconds.", "red")
                    live.update(Group(news, found), refresh=True)

    def _screen(self) -> Group:
        search, rows = self._look()
        width, height = self._out.size
        below = Text("\n".join(totals(search.listing, search.totals, search.wanted, search.shown)))
        room = height - 1 - len(below.wrap(self._out, width))
        shown = [line for row in rows for line in lines(row, search.wanted.now, width)][: room - 1]
        return Group(header(), *shown, below)

    def _line_by_line(self) -> None:
        if not self._as_json:
            self._out.print(header())
        self._print_changes()
        while True:
            self._sleep(_PAUSE)
            try:
                with self._target.explaining("Reading the bucket failed"):
                    self._print_changes()
            except AwsFailed as error:
                click.echo(f"{_sentence(error)} Looking again in {_PAUSE} seconds.", err=True)

    def _print_changes(self) -> None:
        search, rows = self._look()
        for row in rows:
            if self._printed.get(row.listed.key) == row.listed:
                continue
            if self._as_json:
                print_json(row.as_json())
                continue
            for line in lines(row, search.wanted.now, self._out.width):
                self._out.print(line, soft_wrap=True)
        self._printed = {row.listed.key: row.listed for row in rows}

    def _look(self) -> tuple[JobSearch, list[Row]]:
        search = JobSearch(self._target, self._wanted(time.time()), self._limit)
        with progress_bar("Reading", quiet=True) as bar:
            return search, list(search.rows(self._reader, bar))


def _sentence(error: AwsFailed) -> str:
    """Return what failed with its full stop, which AWS's own messages may lack."""
    return f"{error.message.rstrip('.')}."

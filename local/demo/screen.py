"""What the demo shows while it runs: a live table on a terminal, plain lines anywhere else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_COLUMNS = ("job", "stage", "status", "attempt", "catalog")
_STYLES = {"SUCCESS": "green", "NOTIFIED": "green", "FAILED": "red", "STARTED": "yellow", "PENDING": "yellow"}


class Screen:
    """Writes for people.

    Args:
        stream: where to.

    Attributes:
        is_live: whether there is a table that changes in place.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, force_terminal=stream.isatty(), highlight=False)
        self.is_live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live: Live | None = None
        self._rows: dict[str, tuple[str, ...]] = {}
        self._news = ""

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line that stays, on a terminal cut at its width; `style` is rich's, for terminals."""
        if self._console.is_terminal:
            self._console.print(Text(text, style), no_wrap=True, overflow="ellipsis")
        else:
            self._console.print(Text(text, style), soft_wrap=True)

    def say_all(self, text: str, style: str = "") -> None:
        """Write a line that stays, of which nothing is cut: on a terminal the rest has its indentation."""
        indentation = len(text) - len(text.lstrip(" "))
        if self._console.is_terminal and self._console.width > indentation:
            self._console.print(Padding(Text(text.lstrip(" "), style), (0, 0, 0, indentation), expand=False))
        else:
            self._console.print(Text(text, style), soft_wrap=True)

    @contextmanager
    def table(self) -> Iterator[None]:
        """Keep the table on the screen until the context ends; without a terminal, do nothing."""
        if not self.is_live:
            yield
            return
        # The streams are the caller's affair; the table stays when it is done.
        with Live(
            console=self._console, auto_refresh=True, redirect_stdout=False, redirect_stderr=False
        ) as self._live:
            self._draw()
            yield
        self._live = None

    def report(self, news: str, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        """Show what has just happened, and what became of the jobs.

        Args:
            news: what has happened; one line.
            jobs: the status objects by jobId.
        """
        rows = {job_id: _row(job_id, status) for job_id, status in jobs.items()}
        changed = [row for job_id, row in rows.items() if row != self._rows.get(job_id)]
        is_news = news != self._news
        self._rows, self._news = rows, news
        if self._live:
            self._draw()
            return
        if is_news:
            self.say(news)
        for job_id, stage, status, attempt, catalog in changed:
            told = f", catalog {catalog}" if catalog else ""
            self.say(f"    {job_id:<18} {stage} {status}, attempt {attempt}{told}")

    def _draw(self) -> None:
        table = Table(*_COLUMNS)
        for row in self._rows.values():
            table.add_row(*(Text(cell, _STYLES.get(cell.split(" ")[0], "")) for cell in row))
        if self._live:
            self._live.update(Group(table, Text(self._news, "dim")), refresh=True)


def _row(job_id: str, status: Mapping[str, Any]) -> tuple[str, ...]:
    catalog = status.get("catalog") or {}
    state = str(catalog.get("state") or "")
    if state and catalog.get("attempts", 1) > 1:
        state += f" (POST {catalog['attempts']})"
    return (
        job_id,
        str(status.get("stage")),
        str(status.get("status")),
        str(status.get("attempt", "")),
        state,
    )

"""The function's log, as it is written: for people a line for each thing that happened, or as it stands."""

import io
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from local.cli.text import printable

_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


@dataclass(frozen=True, slots=True)
class News:
    """What a line of the log says, for people.

    Attributes:
        time: when, to the second, in the log's own time zone.
        job: whose it is: a jobId, a number of jobs, or "-".
        text: what happened.
        style: rich's, for terminals.
    """

    time: str
    job: str
    text: str
    style: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.time}  {self.job:<18}  {self.text}".rstrip()


def news_in(line: str) -> News | None:
    """Return what a line of the function's log says (pure); None for metrics, and what is no line of it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or "message" not in entry:
        return None
    job = entry.get("job_id") or (f"{entry['jobs']} jobs" if "jobs" in entry else "-")
    return News(
        time=str(entry.get("timestamp", ""))[11:19],
        job=printable(str(job), 256),
        text=printable(_text(entry), 2_000),
        style=_STYLES.get(str(entry.get("level")), ""),
    )


def _text(entry: Mapping[str, Any]) -> str:
    message, reason = str(entry["message"]), entry.get("reason", "")
    ids = entry.get("message_id", [])
    known = {
        "Job status published": f"published: {entry.get('stage')} {entry.get('status')}{_of_several(ids)}",
        "Job status unchanged": f"unchanged: {entry.get('stage')} {entry.get('status')}{_of_several(ids)}",
        "Catalog notified": f"catalog notified: {entry.get('uri')}",
        "Message refused": f"refused: {reason}{_of_several(ids)}; it becomes a dead letter",
        "Message failed": f"failed: {reason}{_of_several(ids)}; {_return(entry)}",
        "Message failed unexpectedly": (
            f"failed unexpectedly, see --json: {entry.get('error')}: {reason}{_of_several(ids)};"
            f" {_return(entry)}"
        ),
    }
    return known.get(message) or (f"{message}: {reason}" if reason else message)


def _of_several(message_ids: object) -> str:
    return f" ({len(message_ids)} messages)" if isinstance(message_ids, list) and len(message_ids) > 1 else ""


def _return(entry: Mapping[str, Any]) -> str:
    """Say when what failed comes back; without `retry_in`, the queue's own visibility timeout decides."""
    when = f"in {entry['retry_in']} s" if "retry_in" in entry else "after the queue's visibility timeout"
    count = entry.get("receive_count", 1)
    return f"back {when}" + (f", received {count} times so far" if count > 1 else "")


def show_raw(stdout: TextIO, line: str) -> None:
    """Write a line as it is."""
    print(line, file=stdout, flush=True)


def show_news(stdout: TextIO, lines: Console, line: str) -> None:
    """Write what a line says, if it says something; on a terminal a long text goes on below its beginning.

    Args:
        stdout: where it is written.
        lines: lays it out, and knows whether that is a terminal.
        line: of the function's log.
    """
    news = news_in(line)
    if news is None:
        return
    with lines.capture() as capture:  # rich ends the process when there is no reader
        if lines.is_terminal:
            lines.print(_row(news))
        else:
            lines.print(Text(str(news)), soft_wrap=True)
    stdout.write(capture.get())
    stdout.flush()


def _row(news: News) -> Table:
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(no_wrap=True)
    row.add_column(min_width=18, max_width=40, overflow="fold")
    row.add_column(overflow="fold")
    row.add_row(news.time, Text(news.job), Text(news.text, news.style))
    return row


class FunctionLog(io.TextIOBase):
    """Stands in the place of stdout while the function runs, and hands its lines on; threads may share it.

    A reader that went away is no failure of the function: nothing is raised then, and nothing more is shown.

    Args:
        show: takes a line.

    Attributes:
        is_unread: whether the reader went away.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self.is_unread = False
        self._show = show
        self._rest = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Take a piece of the log."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._hand_on(line)
        return len(text)

    def _hand_on(self, line: str) -> None:
        if self.is_unread:
            return
        try:
            self._show(line)
        except BrokenPipeError:
            self.is_unread = True

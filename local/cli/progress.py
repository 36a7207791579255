"""How far a command is: a bar on stderr, on a terminal only, once it takes long."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from local.cli.console import console

_SECONDS = 2.0  # until it is shown


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar, or nothing where there is no terminal.

    Attributes:
        progress: draws it.
        task: what of it is drawn.
        out: prints what belongs on stdout; on the bar's own terminal above the bar.
    """

    progress: Progress
    task: TaskID
    out: Console

    def show(self, done: int, total: int) -> None:
        """Show how many are done, of how many."""
        self.progress.update(self.task, completed=done, total=total)


@contextmanager
def progress_bar(
    what: str, total: int | None = None, *, quiet: bool = False, seconds: float = _SECONDS
) -> Iterator[Bar]:
    """Show a bar after some time, until the context ends; lines that are printed meanwhile stand above it.

    Args:
        what: what is being done, in a word or two.
        total: how many there are; None where that is known later: it moves to and fro until then.
        quiet: whether nothing is shown on a terminal, too.
        seconds: until it is shown.

    Yields:
        The bar.
    """
    stderr = console(sys.stderr)
    is_shown = stderr.is_terminal and not quiet
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=not is_shown,
        redirect_stdout=sys.stdout.isatty(),  # a pipe gets its lines as they are
    )
    # A console of stdout would write past the bar: rich's takes the stream behind the one that is redirected.
    bar = Bar(
        progress,
        progress.add_task(what, total=total),
        stderr if is_shown and sys.stdout.isatty() else console(),
    )
    timer = Timer(seconds, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield bar
    finally:
        timer.cancel()
        timer.join()
        if progress.live.is_started:
            progress.stop()

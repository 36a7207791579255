"""How far a command is: a bar on stderr, on a terminal only."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from local.cli.console import console


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar, or nothing where there is no terminal.

    Attributes:
        progress: draws it.
        task: what of it is drawn.
    """

    progress: Progress
    task: TaskID

    def show(self, done: int, total: int) -> None:
        """Show how many are done, of how many."""
        self.progress.update(self.task, completed=done, total=total)


@contextmanager
def progress_bar(what: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Bar]:
    """Show a bar until the context ends; lines that are printed meanwhile stand above it.

    Args:
        what: what is being done, in a word or two.
        total: how many there are; None where that is known later: it moves to and fro until then.
        quiet: whether nothing is shown on a terminal, too.

    Yields:
        The bar.
    """
    stderr = console(sys.stderr)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=quiet or not stderr.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # a pipe gets its lines as they are
    )
    with progress:
        yield Bar(progress, progress.add_task(what, total=total))

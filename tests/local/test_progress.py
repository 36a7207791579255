"""The progress bar on a terminal: late, and below what is printed."""

import os
import pty
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local.cli.progress import progress_bar


@contextmanager
def terminal(patch: pytest.MonkeyPatch) -> Iterator[int]:
    """Have stdout and stderr be a terminal; what it shows is read at its other end."""
    main, there = pty.openpty()
    with patch.context() as patched:
        patched.setenv("TERM", "xterm")
        with os.fdopen(os.dup(there), "w") as stdout, os.fdopen(there, "w") as stderr:
            patched.setattr(sys, "stdout", stdout)
            patched.setattr(sys, "stderr", stderr)
            yield main
    os.close(main)


def read_until(main: int, text: str) -> str:
    """Read what a terminal shows, to a text and what came with it."""
    shown = ""
    while text not in shown:
        shown += os.read(main, 65_536).decode()
    return shown


def test_a_line_stands_above_the_bar_and_never_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a bar that is shown
    with terminal(monkeypatch) as main:
        with progress_bar("Reading", seconds=0) as bar:
            shown = read_until(main, "Reading")
            # WHEN lines are printed, as a list's and as news are
            bar.out.print("the header")
            sys.stdout.write("news\n")  # as print() does; click.echo() would write past the bar
        sys.stdout.write("the end\n")
        sys.stdout.flush()
        shown += read_until(main, "the end")
    # THEN each begins where the bar has been removed
    for line in ("the header", "news", "the end"):
        assert re.search(r"\r(\x1b\[1A)?\x1b\[2K$", shown.partition(line)[0])


def test_what_does_not_take_long_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as main:
        with progress_bar("Reading") as bar:
            bar.out.print("the header")
        assert os.read(main, 65_536) == b"the header\r\n"

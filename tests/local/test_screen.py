"""What the demo writes, on a terminal and anywhere else."""

import io

import click
import pytest

from local.cli.main import cli
from local.demo.run import NEXT
from local.demo.screen import Screen
from tests.processes import ROOT

LONG = "    0035352b-a47f-4110-9d35-cde8887d1ef1  " + "a body that goes on and on " * 4


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal that draws nothing; rich gives such a one 80 columns."""
    monkeypatch.setenv("TERM", "dumb")
    return Terminal()


def test_a_line_is_cut_at_the_terminals_width_and_keeps_its_indentation(terminal: Terminal) -> None:
    Screen(terminal).say(LONG)
    assert terminal.getvalue() == f"{LONG[:79]}…\n"


def test_of_a_line_that_has_to_be_read_nothing_is_cut_and_its_rest_is_indented(terminal: Terminal) -> None:
    Screen(terminal).say_all(LONG)
    lines = terminal.getvalue().splitlines()
    assert len(lines) > 1
    assert all(len(line.rstrip()) <= 80 and line.startswith("    ") for line in lines)
    assert "".join(lines).split() == LONG.split()


@pytest.mark.parametrize("method", ["say", "say_all"])
def test_a_pipe_gets_whole_lines(method: str) -> None:
    pipe = io.StringIO()
    getattr(Screen(pipe), method)(LONG)
    assert pipe.getvalue() == f"{LONG}\n"


@pytest.mark.parametrize("command", NEXT)
def test_what_to_try_next_is_there_to_be_tried(command: str) -> None:
    program, name, *rest = command.split()
    if program == "make":
        assert f"\n{name}: " in (ROOT / "Makefile").read_text()
    else:
        assert program == ".venv/bin/oam-status"
        assert isinstance(cli.get_command(click.Context(cli), name), click.Command)
    for word in rest:
        if word.startswith("EVENT="):
            assert (ROOT / word.removeprefix("EVENT=")).is_file()

"""An operator's shell: the page's commands, as they stand, at a terminal where a person answers."""

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests import processes
from tests.docs.page import SECTIONS, commands
from tests.docs.pages import ROOT

_CODE = re.compile(r"\n--- (\d+)\n")


class Shell:
    """Runs commands of the page.

    Args:
        folder: where; an empty one.
        environment: what leads AWS's SDK to the stack.
        variables: the shell's variables that "Before you begin" sets.
        aws_program: the source of the program `aws`.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], variables: Mapping[str, str], aws_program: str
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._variables = variables
        self._aws_program = aws_program

    def follow(
        self,
        anchor: str,
        step: str | None = None,
        answers: str = "",
        *,
        then: Sequence[str] = (),
        begun: bool = True,
        between: Callable[[], object] | None = None,
    ) -> "Shown":
        """Run the commands of a section's step, or of a whole section, one after the other in one shell.

        Args:
            anchor: of the section.
            step: the words that the step begins with.
            answers: what the operator types.
            then: more commands.
            begun: whether the shell has the variables that "Before you begin" sets.
            between: called after each command; then each has a shell of its own.
        """
        section = SECTIONS[anchor]
        lines = [*(commands(section.steps[step]) if step else section.commands), *then]
        assert lines
        variables = self._variables if begun else {}
        if not between:
            return self._run(lines, answers, variables)
        output = []
        for line in lines:
            output.append(self._run([line], answers, variables))
            between()
        return Shown("\n".join(output), [code for shown in output for code in shown.codes])

    def _run(self, lines: Sequence[str], answers: str, variables: Mapping[str, str]) -> "Shown":
        """Run commands in a shell at a terminal, where a person answers."""
        marked = [f"{line}\nprintf '\\n--- %s\\n' $?" for line in lines]
        main, terminal = pty.openpty()
        os.write(main, answers.encode())
        environment = processes.environment(**self._environment, **variables, NO_COLOR="1", TERM="dumb")
        environment["PATH"] = f"{self._tools()}{os.pathsep}{environment['PATH']}"
        with processes.start(
            ["bash", "-c", "\n".join(marked)],
            cwd=self._folder,
            env=environment,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            os.close(terminal)
            output, _ = process.communicate(timeout=100)
        os.close(main)
        codes = [int(code) for code in _CODE.findall(output)]
        assert len(codes) == len(lines), output
        assert set(codes) <= {0, 1}, output  # 1: something is wrong with what was looked at
        return Shown(_CODE.sub("", output), codes)

    def _tools(self) -> Path:
        """Make the folder of the commands: `make` shows what it would do, as nothing can be deployed here."""
        folder = self._folder / "bin"
        if not folder.exists():
            folder.mkdir()
            oam_status = [sys.executable, "-m", "local.cli"]
            make = ["/usr/bin/env", f"PATH={os.environ['PATH']}", "make", "-n", "-C", str(ROOT)]
            for name, program in {
                "aws": self._aws_program,
                "make": f'#!/bin/sh\nexec {shlex.join(make)} "$@"\n',
                "oam-status": f'#!/bin/sh\nexec {shlex.join(oam_status)} "$@"\n',
            }.items():
                (folder / name).write_text(program)
                (folder / name).chmod(0o755)
        return folder


class Shown(str):
    """What commands showed.

    Attributes:
        codes: their exit codes.
    """

    codes: list[int]

    def __new__(cls, output: str, codes: list[int]) -> "Shown":
        """Keep the exit codes beside the text."""
        shown = super().__new__(cls, output)
        shown.codes = codes
        return shown

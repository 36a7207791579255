"""An operator's shell: the page's commands, as they stand, at a terminal where a person answers."""

import os
import pty
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests import processes
from tests.docs.page import SECTIONS, commands
from tests.docs.pages import ROOT

_CODE = re.compile(r"\n--- (\d+)\n")

# The program `oam-status`: a CommandServer runs its command, with its own streams, folder and environment.
PROGRAM = """#!{python} -IS
import json, os, socket, sys
with socket.create_connection(("127.0.0.1", {port})) as connection, connection.makefile("rw") as stream:
    print(json.dumps([os.getpid(), os.getcwd(), dict(os.environ), sys.argv[1:]]), file=stream, flush=True)
    sys.exit(json.load(stream))
"""


def run_oam_status(asked: tuple[int, str, Mapping[str, str], Sequence[str]]) -> int | None:
    """Run a command for the program; give its exit code."""
    pid, folder, environment, arguments = asked
    process = processes.start_loaded(
        "local.cli",
        arguments,
        cwd=Path(folder),
        env=environment,
        streams=(f"/proc/{pid}/fd/0", f"/proc/{pid}/fd/1", f"/proc/{pid}/fd/2"),
    )
    process.join()
    return process.exitcode


class Shell:
    """Runs commands of the page.

    Args:
        folder: where; an empty one.
        environment: what leads AWS's SDK to the stack.
        variables: the shell's variables that "Before you begin" sets.
        programs: the sources of `aws` and `oam-status`, by their names.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        variables: Mapping[str, str],
        programs: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._variables = variables
        self._programs = programs

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
            make = ["/usr/bin/env", f"PATH={os.environ['PATH']}", "make", "-n", "-C", str(ROOT)]
            programs = {**self._programs, "make": f'#!/bin/sh\nexec {shlex.join(make)} "$@"\n'}
            for name, program in programs.items():
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

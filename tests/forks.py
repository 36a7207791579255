"""Runs a command of `oam-status` in a process that is forked from one which has loaded it.

A new interpreter takes half a second of CPU to load boto3 and the commands, and the tests run some hundred of
them. All else is as in a new one: environment, folder, arguments, streams, exit code.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

_MODULE = "local.cli"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([f"{_MODULE}.main"])


def run_command(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    one_stream: bool = False,
    timeout: float = 100,
) -> "CompletedProcess[str]":
    """Run a command to its end, with no terminal.

    Args:
        arguments: after the program's name.
        cwd: the folder.
        env: the whole environment.
        one_stream: whether stderr goes where stdout goes.
        timeout: in seconds.

    Raises:
        TimeoutExpired: when it does not end in time.
    """
    with tempfile.TemporaryDirectory(prefix="oam-tests-") as folder:
        out, err = Path(folder, "out"), Path(folder, "out" if one_stream else "err")
        process = _context.Process(
            target=_run, args=(list(arguments), str(cwd), dict(env), str(out), str(err))
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutExpired(arguments, timeout, out.read_text(), err.read_text())
        printed = "" if one_stream else err.read_text()
        return CompletedProcess(arguments, process.exitcode, out.read_text(), printed)


def _run(arguments: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    """Become the command: multiprocessing ends the process with the exit code of its SystemExit."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115 (it lives as long as the process)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
    sys.argv = [_MODULE, *arguments]
    runpy.run_module(_MODULE, run_name="__main__", alter_sys=True)

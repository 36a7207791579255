"""Runs a program of this project in a process that is forked from one which has loaded it.

A new interpreter takes a second of CPU to load boto3 and the commands, and the tests run some hundred of
them. Environment, folder, arguments, streams and exit code are as in a new one; what is loaded is not, nor are
functions of atexit called. What depends on those runs in a new one, by `processes.run`.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.preloaded"])

Streams = tuple[str | Path, str | Path, str | Path]


def start_module(
    module: str, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], streams: Streams
) -> BaseProcess:
    """Start what `python -m` would.

    Args:
        module: the program's.
        arguments: after the program's name.
        cwd: the folder.
        env: the whole environment.
        streams: the paths of stdin, stdout and stderr: of files, a terminal, or another process's in /proc.
    """
    what = (module, list(arguments), str(cwd), dict(env), tuple(map(str, streams)))
    process = _context.Process(target=_run, args=what)
    process.start()
    return process


def run_module(
    module: str,
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    one_stream: bool = False,
    timeout: float = 100,
) -> "CompletedProcess[str]":
    """Run a program to its end, with no terminal.

    Args:
        module: the program's.
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
        for path in (out, err):
            path.touch()
        process = start_module(module, arguments, cwd=cwd, env=env, streams=(os.devnull, out, err))
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutExpired(arguments, timeout, out.read_text(), err.read_text())
        printed = "" if one_stream else err.read_text()
        return CompletedProcess(arguments, process.exitcode, out.read_text(), printed)


def _run(module: str, arguments: list[str], cwd: str, env: dict[str, str], streams: Streams) -> None:
    """Become the program: multiprocessing ends the process with the exit code of its SystemExit."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate(streams):
        flags = os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY
        os.dup2(os.open(path, flags | os.O_NOCTTY), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (it lives as long as the process)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115 (as above)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115 (as above)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)

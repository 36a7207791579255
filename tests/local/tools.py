"""The tools, as people run them: as processes."""

import os
import pty
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import CompletedProcess

from tests import processes

# Those that are commands of `oam-status`; the others are modules of their own.
COMMANDS = frozenset({"dead-letters", "doctor", "job", "jobs", "redrive", "renotify", "send"})

# What names a stack and is not the embedded one, but for where it is.
NAMED = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "us-east-1",
    "OAM_STATUS_PREFIX": "status",
    "MOCK_OAM_API": "true",
}


def program(name: str, *arguments: str) -> list[str]:
    """Give a tool's command line."""
    module, words = module_of(name, *arguments)
    return [sys.executable, "-m", module, *words]


def module_of(name: str, *arguments: str) -> tuple[str, list[str]]:
    """Give a tool's module, and the arguments that this takes."""
    return ("local.cli", [name, *arguments]) if name in COMMANDS else (f"local.cli.{name}", [*arguments])


def tool(
    name: str, *arguments: str, cwd: Path | str | None = None, **variables: str
) -> "CompletedProcess[str]":
    """Run a tool to its end, with no terminal."""
    module, words = module_of(name, *arguments)
    folder, environment = Path(cwd) if cwd else None, processes.environment(**variables)
    return processes.run_loaded(module, words, cwd=folder, env=environment)


def at_a_terminal(answer: str, name: str, *arguments: str, **variables: str) -> tuple[int | None, str]:
    """Run a tool at a terminal, and answer what it asks; give its exit code and what was to be seen."""
    main, terminal = pty.openpty()
    module, words = module_of(name, *arguments)
    process = processes.start_loaded(
        module,
        words,
        env=processes.environment(**({"TERM": "dumb"} | variables)),
        streams=(os.ttyname(terminal),) * 3,
    )
    shown, answered = b"", False
    end = time.monotonic() + 60
    while time.monotonic() < end and main in wait([main, process.sentinel], 60):
        shown += os.read(main, 65_536)
        if b"[y/N]" in shown and not answered:
            answered = True
            os.write(main, f"{answer}\n".encode())
    process.join(1)
    process.kill()
    os.close(main)
    os.close(terminal)
    return process.exitcode, shown.decode().replace("\r\n", "\n")

"""The tools, as people run them: as processes."""

import os
import pty
import sys
import time
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
    module = ["local.cli", name] if name in COMMANDS else [f"local.cli.{name}"]
    return [sys.executable, "-m", *module, *arguments]


def tool(
    name: str, *arguments: str, cwd: Path | str | None = None, **variables: str
) -> "CompletedProcess[str]":
    """Run a tool to its end, with no terminal."""
    folder, environment = Path(cwd) if cwd else None, processes.environment(**variables)
    if name in COMMANDS:
        return processes.run_oam_status([name, *arguments], cwd=folder, env=environment)
    return processes.run(program(name, *arguments), cwd=folder, env=environment)


def at_a_terminal(answer: str, name: str, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run a tool at a terminal, and answer what it asks; give its exit code and what was to be seen."""
    main, terminal = pty.openpty()
    command = program(name, *arguments)
    variables = {"TERM": "dumb"} | variables
    with processes.start(
        command,
        env=processes.environment(**variables),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown, answered = b"", False
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                chunk = os.read(main, 65_536)
            except OSError:  # Linux's way to say that nobody has the terminal open any more
                break
            if not chunk:
                break
            shown += chunk
            if b"[y/N]" in shown and not answered:
                answered = True
                os.write(main, f"{answer}\n".encode())
    os.close(main)
    return process.returncode, shown.decode().replace("\r\n", "\n")

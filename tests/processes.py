"""How the tests start processes: nothing of the user's environment, or of the user's `.env`, gets into one."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.forks import Streams, run_module, start_module

ROOT = Path(__file__).parents[1]

# All that is taken from the user. PIP_*, and the two below, lead pip to its index, and nothing else anywhere.
KEPT = frozenset({"CI", "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL"}) | frozenset(
    {"SSL_CERT_DIR", "SSL_CERT_FILE", "TERM", "TMPDIR", "TZ", "USER"}
)
KEPT_PREFIXES = ("LC_", "PIP_", "PYTEST_", "COV_", "COVERAGE_", "HYPOTHESIS_", "MUTANT_", "OAM_CHAOS_")
# But for the options that this run was given: those that the tests run have their own.
OF_THIS_RUN = frozenset({"PYTEST_ADDOPTS"})
PIPS = {
    "PIP_PROXY": ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
    "PIP_CERT": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}

# The user's other ways to lead AWS's SDK and requests somewhere.
CLOSED = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "BOTO_CONFIG": os.devnull,
    "NETRC": os.devnull,
    "SAM_CLI_TELEMETRY": "0",
}

_elsewhere: list[tempfile.TemporaryDirectory[str]] = []


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Give an environment without what the user has configured."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in KEPT or (name.startswith(KEPT_PREFIXES) and name not in OF_THIS_RUN)
    }
    for name, others in PIPS.items():
        found = [environ[other] for other in others if environ.get(other)]
        if found:
            kept.setdefault(name, found[0])
    return kept | CLOSED


def enter_clean_environment() -> None:
    """Take what the user has configured out of this process's environment."""
    kept = clean(os.environ)
    os.environ.clear()
    os.environ.update(kept)


def environment(**more: str) -> dict[str, str]:
    """Give a clean environment, with the project to be imported in it."""
    return clean(os.environ) | {"PYTHONPATH": str(ROOT)} | more


def empty_folder() -> Path:
    """Give a folder without `.env`, to work in."""
    if not _elsewhere:
        _elsewhere.append(tempfile.TemporaryDirectory(prefix="oam-tests-"))
    folder = Path(_elsewhere[0].name)
    assert not (folder / ".env").exists()
    return folder


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    closed: bool = True,
    **options: Any,
) -> "subprocess.CompletedProcess[str]":
    """Run a process to its end, in a clean environment and a folder without `.env`.

    Args:
        command: the process.
        cwd: another folder.
        env: the whole environment in place of the clean one.
        closed: whether the user's AWS configuration is shut out of that, too.
        **options: others of subprocess.run.
    """
    options = {"capture_output": True, "timeout": 100, "check": False} | options
    return subprocess.run(  # noqa: PLW1510 (it is among the options)
        command,
        cwd=_folder(command, cwd),
        env=_variables(env) if closed else env,
        text=True,
        **_without_terminal(options),
    )


def run_oam_status(
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    one_stream: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Run a command of `oam-status` as `run` would, without a new interpreter's time to load it.

    Args:
        arguments: after the program's name.
        cwd: another folder.
        env: the whole environment in place of the clean one.
        one_stream: whether stderr goes where stdout goes.
    """
    return run_loaded("local.cli", arguments, cwd=cwd, env=env, one_stream=one_stream)


def run_loaded(
    module: str,
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    one_stream: bool = False,
    timeout: float = 100,
) -> "subprocess.CompletedProcess[str]":
    """Run a program of local/ likewise; `module` is what `python -m` would be told, `timeout` is in seconds."""
    folder = _folder([module, *arguments], cwd)
    return run_module(
        module, arguments, cwd=folder, env=_variables(env), one_stream=one_stream, timeout=timeout
    )


def start_loaded(
    module: str,
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    streams: Streams,
) -> BaseProcess:
    """Start it likewise; `streams` are the paths of its stdin, stdout and stderr."""
    folder = _folder([module, *arguments], cwd)
    return start_module(module, arguments, cwd=folder, env=_variables(env), streams=streams)


def start(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> "subprocess.Popen[str]":
    """Start a process, in a clean environment and a folder without `.env`."""
    return subprocess.Popen(
        command, cwd=_folder(command, cwd), env=_variables(env), text=True, **_without_terminal(options)
    )


async def start_for_asyncio(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], **options: Any
) -> asyncio.subprocess.Process:
    """Start a process for asyncio."""
    return await asyncio.create_subprocess_exec(
        *command, cwd=_folder(command, cwd), env=_variables(env), **options
    )


def _variables(env: Mapping[str, str] | None) -> dict[str, str]:
    return environment() if env is None else CLOSED | dict(env)


def _without_terminal(options: dict[str, Any]) -> dict[str, Any]:
    """Have a tool find no terminal to ask at, wherever the tests run."""
    return options if "input" in options else {"stdin": subprocess.DEVNULL} | options


def _folder(command: Sequence[str | Path], cwd: Path | None) -> Path:
    """Give the folder to work in; the repository's own may hold the user's `.env`, which the tools read."""
    words = [str(word) for word in command]
    if cwd is None:
        return empty_folder()
    reads_it = (
        any(word.startswith("local.") for word in words)
        or Path(words[0]).name == "oam-status"
        or (words[0] == "make" and len(words) > 1)
    )
    assert cwd.resolve() != ROOT.resolve() or not reads_it, f"{words} would read the user's .env"
    return cwd

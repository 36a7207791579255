"""Makes an environment with the packages that a file pins, each checked against its hash: `make setup`.

Run by the Python that the environment is to have, with nothing but its standard library.
"""

import argparse
import contextlib
import fcntl
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PIP_OPTIONS = ("--no-deps", "--require-hashes", "--requirement")

# What is shown of what they print: what is under way, and errors; not each package that was installed.
UV_NEWS = r"(?! [+~-] )"
PIP_NEWS = r"(Collecting|Processing|Installing|ERROR|Error|    )"


class SetupError(Exception):
    """Raised when the environment can't be made; its text says what to do."""


def main() -> int:
    """Make the environment.

    Returns:
        The exit code: 0 done, 1 not done, 130 interrupted.
    """
    parser = argparse.ArgumentParser(prog="make_venv.py", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the environment; what is in it is removed")
    parser.add_argument("requirements", type=Path, help="the file that pins its packages")
    parser.add_argument("--uv", type=Path, help="a uv that is there; without it, that of the requirements")
    parser.add_argument(
        "--megabytes", type=int, required=True, help="what it takes, about: to be told before"
    )
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, signal.default_int_handler)
    try:
        with no_other(arguments.requirements):
            make(arguments.folder, arguments.requirements, arguments.uv, arguments.megabytes)
    except (SetupError, OSError) as error:
        print(f"{arguments.folder} was not set up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{arguments.folder} is not complete. The next run starts anew.", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def no_other(requirements: Path) -> Iterator[None]:
    """Hold a lock on the requirements: a second run would clear what the first is filling.

    Raises:
        SetupError: when another run holds it.
    """
    with requirements.open() as locked:
        try:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError("another run is doing that. When it has ended, run this again.") from None
        yield


def make(folder: Path, requirements: Path, uv: Path | None, megabytes: int) -> None:
    """Make an environment; a file `ready` in it says that it is complete.

    Args:
        folder: of the environment. What is in it is removed first, unless it is a symbolic link.
        requirements: the file that pins its packages.
        uv: the uv that installs them; without one, that of the requirements, or pip where they have none.
        megabytes: what it takes on the disk, about.

    Raises:
        SetupError: when it can't be made.
    """
    if folder.is_symlink():  # venv would empty what is behind it
        raise SetupError(
            f"it is a symbolic link to {folder.resolve()}, which stays as it is. Remove the link: rm {folder}"
        )
    if folder.is_file():
        raise SetupError(f"it is a file. Remove it: rm {folder}")
    began = time.monotonic()
    pinned = requirements.read_text(encoding="utf-8")
    count = len(re.findall(r"^[\w.-]+==", pinned, re.MULTILINE))
    version = ".".join(map(str, sys.version_info[:3]))
    say(f"Setting up {folder} with Python {version} ({sys.executable}), once:")
    say(f"at most {count} packages, about {megabytes} MB; half a minute if cached, minutes at worst.")
    (folder / "ready").unlink(missing_ok=True)
    if run([sys.executable, "-m", "venv", "--clear", str(folder)]):
        hint = "" if importlib.util.find_spec("ensurepip") else ": Debian has it in a package, python3-venv"
        raise SetupError(f"Python's venv failed{hint}. The next run starts anew.")
    if not install(folder, requirements, uv or bootstrap_uv(folder, pinned)):
        raise SetupError("a package can't be had, as said above. The next run starts anew.")
    size = sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6
    installed = len(list(folder.glob("lib/*/site-packages/*.dist-info")))
    say(f"Done in {time.monotonic() - began:.0f} s: {installed} packages, {size:.0f} MB.")
    (folder / "ready").touch()


def bootstrap_uv(folder: Path, pinned: str) -> Path | None:
    """Install the uv that is pinned among the packages, by pip; None where none is, or pip fails."""
    found = re.search(r"^uv==(?:.*\\\n)*.*", pinned, re.MULTILINE)
    if not found:
        return None
    own = folder / "uv.txt"
    own.write_text(found[0] + "\n", encoding="utf-8")
    say("  uv, which installs the others in a fraction of pip's time")
    failed = run([*pip(folder), *PIP_OPTIONS, str(own)], PIP_NEWS)
    own.unlink()
    return None if failed else folder / "bin" / "uv"


def install(folder: Path, requirements: Path, uv: Path | None) -> bool:
    """Install packages with uv; with pip where uv fails, as behind an index that only pip is configured for.

    Returns:
        Whether it was done.
    """
    if uv:
        # The system's certificates, as a newer pip takes them: a proxy's own is there, not among uv's. And
        # bytecode, as pip makes it: else each process of the first run of the tests makes it for itself.
        options = ["--system-certs", "--compile-bytecode", "--python", str(folder / "bin" / "python")]
        if not run([str(uv), "pip", "install", *options, *PIP_OPTIONS, str(requirements)]):
            return True
        say("uv failed. The same with pip and its configuration, which takes a minute or more:")
    return not run([*pip(folder), *PIP_OPTIONS, str(requirements)], PIP_NEWS)


def pip(folder: Path) -> list[str]:
    """Return the command that installs with an environment's own pip."""
    python = str(folder / "bin" / "python")
    return [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off"]


def run(command: list[str], shown: str = UV_NEWS) -> int:
    """Run a command, and print those of its lines that match a pattern as they come.

    If this is interrupted, the command is ended with all that it has started, which the next run would meet.

    Returns:
        Its exit code.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                if re.match(shown, line):
                    say(f"  {line.strip()}")
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

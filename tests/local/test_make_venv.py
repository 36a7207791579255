"""`make setup`: what it refuses untouched, and that a run after a failed one works. No network is needed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from local.packaging import make_venv
from tests import processes

PROGRAM = processes.ROOT / "local" / "packaging" / "make_venv.py"


def command(*options: str) -> list[str]:
    return [sys.executable, str(PROGRAM), "--megabytes=1", *options, ".venv", "requirements.txt"]


def offline(folder: Path) -> dict[str, str]:
    """Give an environment in which pip finds what lies in a folder, and nothing else."""
    return processes.environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=folder.as_uri(), PIP_CONFIG_FILE=os.devnull)


def pin_a_wheel(folder: Path) -> None:
    """Make a package of one line, and a requirements.txt that pins it."""
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "here = True\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements.txt").write_text(f"tiny==1.0 \\\n    --hash=sha256:{digest}\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make setup` needs of a checkout."""
    checkout = tmp_path / "checkout"
    (checkout / "local" / "packaging").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements-dev.txt", "local/packaging/make_venv.py"):
        (checkout / name).write_bytes((processes.ROOT / name).read_bytes())
    return checkout


@pytest.mark.parametrize("found", [[], ["ready"]], ids=["incomplete", "complete"])
def test_what_is_behind_a_symbolic_link_is_not_touched(
    tmp_path: Path, checkout: Path, found: list[str]
) -> None:
    # GIVEN a .venv that is a link to another checkout's
    other = tmp_path / "other"
    other.mkdir()
    for name in ("precious", *found):
        (other / name).touch()
    (checkout / ".venv").symlink_to(other)

    # WHEN it is to be set up
    done = processes.run(["make", "setup", f"PYTHON={sys.executable}"], cwd=checkout)

    # THEN that is refused, with what to do, and all is as it was
    assert done.returncode != 0
    assert f"is a symbolic link to {other}" in done.stderr
    assert "rm .venv" in done.stderr
    assert sorted(path.name for path in other.iterdir()) == ["precious", *found]


def test_a_file_in_the_place_of_the_environment_is_told_and_stays(checkout: Path) -> None:
    (checkout / ".venv").write_text("precious")
    done = processes.run(["make", "setup", f"PYTHON={sys.executable}"], cwd=checkout)
    assert done.returncode != 0
    assert ".venv was not set up: it is a file. Remove it: rm .venv" in done.stderr
    assert (checkout / ".venv").read_text() == "precious"


def test_a_python_that_is_too_old_is_refused_with_the_way_out(tmp_path: Path) -> None:
    # GIVEN a Python that finds itself too old
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] || exit 1\necho Python 3.9.2\n')
    old.chmod(0o755)

    # WHEN it is to be taken
    makefile = str(processes.ROOT / "Makefile")
    (tmp_path / "requirements-dev.txt").touch()
    done = processes.run(["make", "-f", makefile, ".venv/ready", f"PYTHON={old}"], cwd=tmp_path)

    # THEN it is refused, with what to do
    assert done.returncode != 0
    assert (
        f"Python 3.11 to 3.14 is needed, and {old} is Python 3.9.2. Say which: make setup PYTHON="
        in done.stderr
    )
    assert not (tmp_path / ".venv").exists()


def test_another_python_than_the_environments_is_not_ignored(checkout: Path, tmp_path: Path) -> None:
    # GIVEN an environment that is complete
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for name in ("ready", "bin/oam-status"):
        (checkout / ".venv" / name).touch()
    other = tmp_path / "python3.13"
    other.write_text("#!/bin/sh\necho Python 3.13.1\n")
    other.chmod(0o755)

    # WHEN it is asked for with the same Python, with another, or with one that is not there
    same, another, none = (
        processes.run(["make", "setup", f"PYTHON={python}"], cwd=checkout)
        for python in (sys.executable, other, tmp_path / "none")
    )

    # THEN another is refused, with what to do, and one that is not there is not called another
    assert same.returncode == 0
    assert another.returncode != 0
    assert none.returncode != 0
    assert f"{tmp_path}/none does not run: " in none.stderr
    assert "make clean" not in same.stderr + none.stderr
    assert f"not Python 3.13.1. To make it anew: make clean && make setup PYTHON={other}" in another.stderr


def test_the_pythons_that_are_taken_are_those_of_pyproject() -> None:
    project = tomllib.loads((processes.ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.15"
    makefile = (processes.ROOT / "Makefile").read_text()
    assert "(3, 11) <= sys.version_info[:2] < (3, 15)" in makefile
    assert "Python 3.11 to 3.14 is needed" in makefile


def test_the_pinned_uv_is_taken_with_all_its_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN the real requirements, and a pip that keeps what it is asked for
    asked: list[str] = []

    def keep(command: list[str], shown: str) -> int:
        asked.append(Path(command[-1]).read_text())
        return 0

    monkeypatch.setattr(make_venv, "run", keep)
    pinned = (processes.ROOT / "requirements-dev.txt").read_text()

    # WHEN uv is to be had
    assert make_venv.bootstrap_uv(tmp_path, pinned) == tmp_path / "bin" / "uv"

    # THEN its lines, and no others, are asked for
    (text,) = asked
    assert text in pinned
    assert text.startswith("uv==")
    assert text.count("==") == 1
    assert text.count("--hash=sha256:") >= 10


def test_uv_trusts_what_the_system_trusts_and_compiles_so_that_neither_pip_nor_the_first_run_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(make_venv, "run", lambda command, shown="": asked.append(command))
    assert make_venv.install(tmp_path, tmp_path / "requirements.txt", tmp_path / "uv")
    (command,) = asked
    assert command[:3] == [str(tmp_path / "uv"), "pip", "install"]
    assert {"--system-certs", "--compile-bytecode", "--require-hashes"} <= set(command)


def test_an_environment_that_lacks_a_package_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN an environment that was ready once, and a pip that does not get a package now
    pin_a_wheel(tmp_path)
    (tmp_path / "ready").touch()
    monkeypatch.setattr(make_venv, "run", lambda command, shown="": int("pip" in command))

    # WHEN it is made again
    # THEN that is an error, and it is ready no longer
    with pytest.raises(make_venv.SetupError, match="a package can't be had"):
        make_venv.make(tmp_path, tmp_path / "requirements.txt", None, 1)
    assert not (tmp_path / "ready").exists()


def test_a_second_run_leaves_what_the_first_is_filling(tmp_path: Path) -> None:
    # GIVEN a run that is under way
    pin_a_wheel(tmp_path)
    filled = tmp_path / ".venv" / "filled"
    filled.parent.mkdir()
    filled.touch()
    with make_venv.no_other(tmp_path / "requirements.txt"):
        # WHEN another begins
        done = processes.run(command(), cwd=tmp_path, env=offline(tmp_path))
    # THEN it says so, and touches nothing
    assert done.returncode == 1
    assert (
        ".venv was not set up: another run is doing that. When it has ended, run this again." in done.stderr
    )
    assert filled.exists()


def is_dead(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for a process as Linux shows it")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_set_up_alone_ends_all_that_it_has_started(
    tmp_path: Path, number: signal.Signals
) -> None:
    # GIVEN a command that has started another
    program = (
        "import signal, sys; sys.path.insert(0, 'local/packaging'); import make_venv\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # also where the suite was started by nohup
        "make_venv.make = lambda *_: make_venv.run(['sh', '-c', 'sleep 60 & echo $!; wait'], '')\n"
        "sys.exit(make_venv.main())"
    )
    with processes.start(
        [sys.executable, "-c", program, "--megabytes=1", str(tmp_path), "requirements.txt"],
        cwd=processes.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        started = int(process.stdout.readline())
        # WHEN set-up alone is told to end
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == 130
    # THEN the other is gone, too, or a zombie that nobody has waited for
    end = time.monotonic() + 20
    while not is_dead(started):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_run_after_an_interrupted_one_works_and_pip_does_what_uv_can_not(tmp_path: Path) -> None:
    ready = tmp_path / ".venv" / "ready"
    pin_a_wheel(tmp_path)
    # GIVEN a run that was interrupted
    with processes.start(
        command(), cwd=tmp_path, env=offline(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert f"({sys.executable}), once:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "is not complete. The next run starts anew." in errors
    assert not ready.exists()

    # AND what it left behind
    leftover = tmp_path / ".venv" / "leftover"
    leftover.parent.mkdir(exist_ok=True)
    leftover.touch()

    # WHEN it is run again, with a uv that fails
    done = processes.run(command("--uv=/bin/false"), cwd=tmp_path, env=offline(tmp_path))

    # THEN pip does it, and it says what it does and has done
    assert (done.returncode, done.stderr) == (0, "")
    assert "at most 1 packages, about 1 MB; " in done.stdout
    assert "Installing collected packages: tiny" in done.stdout
    assert "uv failed. The same with pip" in done.stdout
    assert "Done in " in done.stdout
    assert ready.exists()
    # AND it began anew
    assert not leftover.exists()
    processes.run([tmp_path / ".venv/bin/python", "-c", "import tiny"], cwd=tmp_path, check=True)

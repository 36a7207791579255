"""`oam-status` as `make setup` installs it: an editable that never stands before the checkout in hand."""

import os
import sys
import tomllib
from pathlib import Path

import pytest

from tests import processes

BIN = Path(sys.executable).parent
WHERE = "import handler, local; print(handler.__file__); print(local.__file__)"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder with packages of the same names, as another checkout has them."""
    for name in ("handler", "local"):
        (tmp_path / "other" / name).mkdir(parents=True)
        (tmp_path / "other" / name / "__init__.py").touch()
    return tmp_path / "other"


def where(folder: Path, **variables: str) -> list[Path]:
    """Give the folder of each package, as a process that is started there imports it."""
    command = [sys.executable, "-c", WHERE]
    done = processes.run(command, cwd=folder, env=processes.clean(os.environ) | variables, check=True)
    return [Path(line).parent for line in done.stdout.split()]


def test_the_command_is_installed_and_runs_from_any_folder(tmp_path: Path) -> None:
    # GIVEN the version in pyproject.toml
    project = tomllib.loads((processes.ROOT / "pyproject.toml").read_text())["project"]

    # WHEN the command is run somewhere else, with nothing on PYTHONPATH
    done = processes.run([BIN / "oam-status", "--version"], cwd=tmp_path, env=processes.clean(os.environ))

    # THEN it is there, and of that version
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[-1] == project["version"]


def test_another_checkouts_packages_come_before_the_installed_ones(other: Path, tmp_path: Path) -> None:
    packages = [other / "handler", other / "local"]
    # GIVEN no other checkout: the installed ones are found
    assert where(tmp_path) != packages

    # WHEN a process starts in another checkout, or has it on PYTHONPATH
    # THEN it imports that one's
    assert where(other) == packages
    assert where(tmp_path, PYTHONPATH=str(other)) == packages


def test_nothing_but_the_two_packages_is_installed(tmp_path: Path) -> None:
    code = "import tests, tools"
    done = processes.run([sys.executable, "-c", code], cwd=tmp_path, env=processes.clean(os.environ))
    assert "No module named 'tests'" in done.stderr


def test_ctrl_c_while_the_commands_are_loaded_is_quiet() -> None:
    # GIVEN Ctrl-C in the middle of an import
    code = """
import sys
class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == "click":
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
from local.cli.__main__ import main
main()
"""
    # WHEN
    done = processes.run([sys.executable, "-c", code], env=processes.environment())
    # THEN
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")

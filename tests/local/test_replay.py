"""A failure of the suite says how to run it again, with its seed."""

import re
import shlex
import sys
from pathlib import Path

from tests import processes

FAILING = """
import pytest
from hypothesis import Phase, given, settings, strategies as st

@pytest.mark.parametrize("reason", ["can't stand", "$HOME `x`"])
def test_odd(reason):
    assert reason == ""

@settings(phases=[Phase.generate])  # neither found again in a database, nor made simple: as the seed has it
@given(st.integers())
def test_drawn(number):
    assert number % 7 != 3
"""


def run(folder: Path, *arguments: str, **environment: str) -> str:
    """Run the suite's way to run tests, on tests elsewhere; give what it prints."""
    variables = processes.environment(**environment)
    if not environment:
        variables.pop("CI", None)
    options = ["-m", "pytest", "-p", "tests.conftest", "--rootdir", str(folder), "-p", "no:cacheprovider"]
    done = processes.run([sys.executable, *options, *arguments], cwd=folder, env=variables)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_the_command_that_a_failure_names_runs_that_test_alone_with_the_same_seed(tmp_path: Path) -> None:
    # GIVEN tests that fail, with names that a shell would take for its own
    (tmp_path / "test_failing.py").write_text(FAILING)
    # WHEN they are run, as CI does
    first = run(tmp_path, CI="true")
    commands = re.findall(r"^\.venv/bin/python -m pytest .*", first, re.MULTILINE)
    (drawn,) = set(re.findall(r"^E +number=.*$", first, re.MULTILINE))
    # THEN each names the command that runs it again
    assert len(commands) == 3
    for command in commands:
        python, *_, name = words = shlex.split(command)
        assert python == ".venv/bin/python"
        printed = run(tmp_path, *words[3:])
        assert "1 failed" in printed
        # AND again: the very same, with the seed if it has one
        assert command in printed
        assert ("--hypothesis-seed=" in command) == ("test_drawn" in name)
        assert (drawn in printed) == ("test_drawn" in name)

"""What CI runs: linting all combinations takes minutes, and is left out only where template.yaml is sure to be as it was."""

import os
import shutil
from pathlib import Path

import pytest

from tests import processes
from tests.deploy.translated import ROOT

ALL = ["check", "scan", "validate-all", "test"]
ALL_BUT_LINT = ["check", "scan", "test"]


class Checkout:
    """A repository with this one's .ci/run, and a make that says only what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        done = processes.run(command, cwd=self.folder, check=True, env=self.environment, closed=False)
        return done.stdout.strip()

    @property
    def environment(self) -> dict[str, str]:
        # No configuration but the repository's own, and nothing of the repository that these tests are in.
        return {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def commit(self, **files: str) -> str:
        """Commit files, named without their suffix; give the commit's name."""
        for name, text in files.items():
            (self.folder / f"{name}.yaml").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "c")
        return self.git("rev-parse", "HEAD")

    def ci(self, **more: str) -> list[str]:
        """Run CI; give the targets that it made."""
        command = [str(self.folder / ".ci" / "run")]
        done = processes.run(command, cwd=self.folder, check=True, env=self.environment | more, closed=False)
        return done.stdout.split()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / "repository" / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / "repository" / ".ci" / "run")
    (tmp_path / "repository" / "Makefile").write_text("%:\n\t@echo $@\n")
    made = Checkout(tmp_path / "repository")
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit(template="first")
    return made


def test_a_first_commit_lints_all(checkout: Checkout) -> None:
    assert checkout.ci() == ALL


def test_a_commit_that_changes_the_template_lints_all(checkout: Checkout) -> None:
    checkout.commit(template="second")
    assert checkout.ci() == ALL


def test_a_commit_that_changes_something_else_does_not(checkout: Checkout) -> None:
    checkout.commit(other="x")
    assert checkout.ci() == ALL_BUT_LINT


def test_a_template_that_is_changed_and_not_committed_lints_all(checkout: Checkout) -> None:
    checkout.commit(other="x")
    (checkout.folder / "template.yaml").write_text("second")
    assert checkout.ci() == ALL


def test_a_merge_that_brings_a_change_of_the_template_lints_all(checkout: Checkout) -> None:
    checkout.git("switch", "--quiet", "--create", "branch")
    checkout.commit(template="second")
    checkout.commit(other="on the branch")
    checkout.git("switch", "--quiet", "main")
    checkout.commit(third="on main")
    checkout.git("merge", "--quiet", "--no-edit", "branch")
    assert checkout.ci() == ALL


def test_of_several_commits_since_the_last_that_passed_all_count(checkout: Checkout) -> None:
    base = checkout.git("rev-parse", "HEAD")
    checkout.commit(template="second")
    checkout.commit(other="x")
    assert checkout.ci() == ALL_BUT_LINT
    assert checkout.ci(CI_BASE=base) == ALL


def test_a_shallow_clone_lints_all(checkout: Checkout, tmp_path: Path) -> None:
    checkout.commit(other="x")
    checkout.git("clone", "--quiet", "--depth=1", f"file://{checkout.folder}", str(tmp_path / "shallow"))
    assert Checkout(tmp_path / "shallow").ci() == ALL


def test_a_base_that_is_not_there_lints_all(checkout: Checkout) -> None:
    checkout.commit(other="x")
    assert checkout.ci(CI_BASE="0" * 40) == ALL


def test_files_without_a_repository_lint_all(checkout: Checkout) -> None:
    shutil.rmtree(checkout.folder / ".git")
    assert checkout.ci(GIT_CEILING_DIRECTORIES=str(checkout.folder.parent)) == ALL

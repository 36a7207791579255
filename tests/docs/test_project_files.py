"""The files around the code say what is so: changelog, licence, workflow, hooks, editor's settings."""

import configparser
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import processes
from tests.docs.pages import ROOT, code

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read_yaml(name: str) -> dict[str, Any]:
    """Read a file of YAML; all scalars stay strings."""
    loaded: dict[str, Any] = YAML(typ="base").load((ROOT / name).read_text())
    return loaded


def tracked() -> list[str]:
    return processes.run(["git", "ls-files"], cwd=ROOT, check=True).stdout.splitlines()


def test_the_changelogs_newest_version_is_pyprojects_and_each_has_its_date() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:]]
    assert all(released)
    versions = [match[1] for match in released if match]
    assert versions[0] == PROJECT["version"]
    assert versions == sorted(versions, key=lambda version: [*map(int, version.split("."))], reverse=True)


def test_the_changelogs_sections_are_those_of_its_format() -> None:
    sections = re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_version_stands_in_no_other_file() -> None:
    stated = re.compile(rf"(?i)version\W{{1,5}}{re.escape(PROJECT['version'])}\b")
    for name in tracked():
        if name not in {"pyproject.toml", "CHANGELOG.md"} and not name.startswith("requirements"):
            assert not stated.search((ROOT / name).read_bytes().decode(errors="replace")), name


def test_the_licence_is_apaches_standard_text() -> None:
    assert (PROJECT["license"], PROJECT["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (ROOT / "LICENSE").read_text()
    assert text.split()[:6] == ["Apache", "License", "Version", "2.0,", "January", "2004"]
    assert all(f"\n   {number}. " in text for number in range(1, 10))
    assert "APPENDIX: How to apply the Apache License" in text


def test_githubs_workflow_runs_ci_with_no_rights_and_fixed_actions() -> None:
    workflow = read_yaml(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == [".ci/run"]
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert [action.partition("@")[0] for action in used] == ["actions/checkout", "actions/setup-python"]
    assert all(re.fullmatch(r"[0-9a-f]{40}", action.partition("@")[2]) for action in used)
    # AND the parent is there, which .ci/run compares with
    assert job["steps"][0]["with"]["fetch-depth"] == "2"


def test_githubs_workflow_takes_the_oldest_python_and_the_functions_own() -> None:
    (job,) = read_yaml(".github/workflows/ci.yml")["jobs"].values()
    oldest = re.match(r">=([\d.]+)", PROJECT["requires-python"])
    deployed = re.search(r"Runtime: python([\d.]+)", (ROOT / "template.yaml").read_text())
    assert oldest
    assert deployed
    assert job["strategy"]["matrix"]["python"] == [oldest[1], deployed[1]]


def commands_of(target: str, folder: Path) -> list[str]:
    """Return what make would run for a target, after set-up."""
    options = ["--no-print-directory", "--dry-run", "--assume-old=setup", "-f", str(ROOT / "Makefile")]
    return processes.run(["make", *options, target], cwd=folder, check=True).stdout.splitlines()


def test_make_test_runs_all_and_fails_below_the_coverage_that_the_pages_say(tmp_path: Path) -> None:
    (command,) = commands_of("test", tmp_path)
    assert " -m pytest " in command
    assert " --cov " in command
    assert "tests/" not in command
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tool["pytest"]["ini_options"]["testpaths"] == ["tests"]
    assert tool["coverage"]["run"] == {"branch": True, "source": ["handler"]}
    for name in ("Makefile", "CONTRIBUTING.md"):
        assert f"{tool['coverage']['report']['fail_under']} %" in (ROOT / name).read_text()


def test_make_test_fast_runs_all_that_is_pure(tmp_path: Path) -> None:
    (command,) = commands_of("test-fast", tmp_path)
    assert {"tests/unit", "tests/properties"} <= set(command.split())


def test_pre_commit_runs_what_make_check_runs(tmp_path: Path) -> None:
    commands = [line.partition(" || ")[0] for line in commands_of("check", tmp_path)]
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == commands
    for hook in repository["hooks"]:
        assert (hook["language"], hook["pass_filenames"], hook["always_run"]) == ("system", "false", "true")


@pytest.fixture(scope="session")
def editorconfig() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string("[top]\n" + (ROOT / ".editorconfig").read_text())
    return parser


def test_every_file_is_as_the_editors_are_told(editorconfig: configparser.ConfigParser) -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert editorconfig.getint("*.py", "max_line_length") == ruff["line-length"]
    for name in tracked():
        if not (ROOT / name).is_file() or name.endswith(".png"):
            continue
        text = (ROOT / name).read_bytes().decode()
        assert text.endswith("\n") or not text, name
        assert "\r" not in text, name
        assert not re.search(r"[ \t]+$", text, re.MULTILINE), name


def test_every_folder_and_test_that_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = set(re.findall(r"^\| `(tests/\w+)` \|", text, re.MULTILINE))
    assert rows == {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/__init__.py")}
    for path in re.findall(r"\btests/[\w/.]+\w", text):
        assert (ROOT / path).exists(), path


def test_the_one_test_that_contributing_runs_is_one() -> None:
    (arguments,) = {
        found
        for piece in code(ROOT / "CONTRIBUTING.md")
        for found in re.findall(r'ARGS="(\S+ -k \w+)"', piece)
    }
    command = [sys.executable, "-m", "pytest", "--collect-only", *arguments.split()]
    shown = processes.run(command, cwd=ROOT, check=True).stdout
    assert re.search(r"^1/\d+ tests collected", shown, re.MULTILINE), shown


def test_contributing_names_all_that_ci_runs() -> None:
    made = set(re.findall(r"^\s*make ([\w-]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## What CI runs")[1].split("\n## ")[0]
    assert set(re.findall(r"`make ([\w-]+)`", section)) == made

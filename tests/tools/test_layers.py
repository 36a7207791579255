"""Who may import whom."""

import ast

import pytest

from tests.processes import ROOT


def imported(folder: str) -> set[str]:
    """Return the top-level packages that the modules of a folder import."""
    paths = list((ROOT / folder).rglob("*.py"))
    assert len(paths) > 10
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("folder", "others"), [("handler", {"local", "tests", "tools"}), ("local", {"tests", "tools"})]
)
def test_what_is_deployed_or_installed_imports_nothing_that_is_there_for_the_tests(
    folder: str, others: set[str]
) -> None:
    assert imported(folder).isdisjoint(others)


def test_the_chaos_runs_model_and_judge_share_no_code_with_what_they_judge() -> None:
    assert "handler" not in imported("tools/chaos")

"""Who may import whom."""

import ast

import pytest

from tests.processes import ROOT


@pytest.mark.parametrize(
    ("folder", "others"), [("handler", {"local", "tests", "tools"}), ("local", {"tests", "tools"})]
)
def test_what_is_deployed_or_installed_imports_nothing_that_is_there_for_the_tests(
    folder: str, others: set[str]
) -> None:
    paths = list((ROOT / folder).rglob("*.py"))
    assert len(paths) > 15
    for path in paths:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        assert {name.partition(".")[0] for name in names}.isdisjoint(others), path

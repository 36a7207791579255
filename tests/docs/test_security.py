"""SECURITY.md promises nothing that no test shows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_line_of_the_threat_model_names_a_test_that_exists() -> None:
    table = (ROOT / "SECURITY.md").read_text().split("| can't |")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("|---")]
    rows = [row for row in rows if "because" not in row]
    assert len(rows) >= 19
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= there, row

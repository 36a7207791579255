"""The proof, in its short form; and that it can fail."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import processes
from tools.chaos.schedule import PROFILES, SABOTAGE, draw


def run(directory: Path, *arguments: str, sabotage: str = "") -> tuple[int, dict[str, Any], str]:
    """Run the command, sabotaged only as said here; give its exit code, its report and what it printed."""
    report = directory / "report.json"
    done = processes.run(
        [
            sys.executable,
            "-m",
            "tools.chaos",
            *arguments,
            "--json",
            str(report),
            "--logs",
            "logs",
        ],
        cwd=directory,
        env=processes.environment(**{SABOTAGE: sabotage}),
        timeout=300,
    )
    printed = done.stdout + done.stderr
    return done.returncode, json.loads(report.read_text()) if report.exists() else {}, printed


@pytest.mark.timeout(320)
def test_nothing_is_lost_and_nothing_goes_backwards(tmp_path: Path) -> None:
    code, report, printed = run(tmp_path, "--short", "--seed", "1")
    assert code == 0, printed
    # AND there was something to survive
    assert report["kills"] >= 10, printed
    assert report["faults_total"] >= 200, printed
    assert report["conflicts"] >= 5, printed
    assert report["deliveries"] > report["messages"], printed
    assert report["dead_letters_redriven"] > report["messages_by_kind"]["poison"], printed
    # AND what was left among the dead letters is what belongs there
    assert report["dead_letters"] == report["messages_by_kind"]["poison"], printed


@pytest.mark.parametrize(
    ("sabotage", "jobs", "kind"),
    [
        ("if-match", 30, "regressed"),  # and lost, unless SQS happens to deliver the message once more
        ("acknowledge", 12, "lost"),
        ("arrival-order", 12, "status"),
    ],
)
@pytest.mark.timeout(200)
def test_a_broken_function_is_noticed(tmp_path: Path, sabotage: str, jobs: int, kind: str) -> None:
    code, report, printed = run(tmp_path, "--small", "--seed", "2", f"--jobs={jobs}", sabotage=sabotage)
    assert code == 1, printed
    assert kind in report["findings"], printed


def test_a_seed_names_one_schedule() -> None:
    for profile in PROFILES.values():
        assert draw(7, profile, 20).digest == draw(7, profile, 20).digest != draw(8, profile, 20).digest

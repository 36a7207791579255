"""The README says only what is true: its commands, formats and settings, against the code."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from handler.catalog_entry import CatalogEntry, CatalogState, find_notification
from handler.job_status import JobStatus, fold
from handler.messages import parse
from handler.settings import DEFAULT_CATALOG_URL
from handler.status_object import to_json
from tests import processes
from tests.deploy.translated import TEMPLATE
from tests.factories import NOON, event
from tools.bench.run import as_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Give the README's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def status_example() -> bytes:
    """Make the object that the README shows."""
    messages = [
        event("chunk", "STARTED", 0, "a5d2"),
        event("chunk", "FAILED", 61_000, "b0c9", error="lost a worker"),
        event("chunk", "STARTED", 95_250, "c317"),
        event("mosaic", "FINISHED", 600_008, "d88e"),
    ]
    status = fold(JobStatus(), messages)
    notification = find_notification("test-job", status)
    assert notification
    claim = CatalogEntry().claim(notification, "an invocation", NOON + 600_900, NOON + 660_000)
    entry = claim.complete(CatalogState.NOTIFIED, NOON + 601_100)
    return to_json("test-job", replace(status, catalog=entry.section()))


def test_the_messages_shown_are_understood() -> None:
    lines = blocks("json")[0].splitlines()
    assert len(lines) == 6
    for line in lines:
        assert parse("m", "0", line).job_id == "test-job"


def test_the_status_object_shown_is_what_the_function_writes() -> None:
    assert json.loads(blocks("json")[1]) == json.loads(status_example())


def test_every_make_target_shown_exists_and_make_alone_lists_it() -> None:
    listed = processes.run(["make"], cwd=ROOT, check=True).stdout
    targets = set(re.findall(r"^  (\S+)", listed, re.MULTILINE))
    shown = set(
        re.findall(r"\bmake ([a-z][a-z-]+)", " ".join(re.findall(r"`[^`]+`|```.*?```", README, re.DOTALL)))
    )
    assert shown
    assert shown <= targets


@pytest.mark.parametrize("other", ["sample.env", "handler/settings.py", "local/cli/configuration.py"])
def test_every_setting_shown_is_known_to(other: str) -> None:
    table = README.split("## Settings")[1].split("\n## ")[0]
    shown = set(re.findall(r"`([A-Z][A-Z_]+)`", "\n".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    text = (ROOT / other).read_text()
    known = set(re.findall(r"\b((?:OAM|AWS|MOCK)_[A-Z_]+|DEBUG)\b", text))
    assert {name for name in known if name.startswith(("OAM", "MOCK"))} - {
        "OAM_STATUS_SQS_QUEUE_URL"
    } <= shown
    if other == "sample.env":
        assert shown - {"AWS_REGION"} == known - {"AWS_REGION"}


def test_the_default_catalog_shown_is_the_codes() -> None:
    assert DEFAULT_CATALOG_URL in README


def test_the_upgrade_note_says_what_to_rotate_and_where_the_old_token_stands() -> None:
    note = README.split("### Upgrade")[1].split("\n### ")[0]
    group = TEMPLATE["Resources"]["StatusPublisherLogs"]["Properties"]["LogGroupName"]["Fn::Sub"]
    assert "rotate the catalog's token" in note
    assert group.replace("${AWS::StackName}", "STACK") in note
    assert "`LogRetentionDays`" in note
    assert "LogRetentionDays" in TEMPLATE["Parameters"]


def test_every_file_shown_exists() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r"EVENT=(\S+?)[`\s]", README):
        assert (ROOT / name).exists(), name


def test_the_benchmark_shown_is_the_one_that_was_measured() -> None:
    measured = json.loads((ROOT / "docs" / "benchmark.json").read_text())
    assert as_table(measured["table"]) in README


def test_no_file_names_a_package_index() -> None:
    tracked = processes.run(["git", "ls-files"], cwd=ROOT, check=True).stdout
    hosts = ("pypi" + ".org", "python" + "hosted", "npm" + "js.org", "deb.debian" + ".org")
    for name in tracked.splitlines():
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        assert not [host for host in hosts if host.encode() in content], name

"""The pages of docs/ say what the code does: formats, settings, figures."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from handler.app import WORKERS
from handler.catalog_entry import CatalogEntry, CatalogState, notification_for
from handler.circuit_breaker import RECOVERY_TIMEOUT
from handler.deadline import Timeout
from handler.job_status import MAX_HISTORY, JobStatus, fold
from handler.messages import parse
from handler.queue import CAP
from handler.shortening import MAX_OBJECT_BYTES
from handler.status_object import RESERVED_FIELDS, to_json
from handler.strict_json import MAX_DEPTH
from handler.tiles import MAX_TARGET_BYTES
from tests.deploy.translated import TEMPLATE
from tests.docs.pages import DOCS, ROOT, blocks, section
from tests.factories import NOON, event
from tools.bench.run import as_table

ARCHITECTURE = DOCS / "architecture.md"
DEPLOYING = DOCS / "deploying.md"
MESSAGES = DOCS / "messages.md"
STATUS_OBJECT = DOCS / "status-object.md"
SETTINGS = DOCS / "settings.md"


def status_example() -> bytes:
    """Return the object that the page shows."""
    messages = [
        event("chunk", "STARTED", 0, "a5d2"),
        event("chunk", "FAILED", 61_000, "b0c9", error="lost a worker"),
        event("chunk", "STARTED", 95_250, "c317"),
        event("mosaic", "FINISHED", 600_008, "d88e"),
    ]
    status = fold(JobStatus(), messages)
    notification = notification_for(status)
    assert notification
    claim = CatalogEntry().claim(notification, "an invocation", NOON + 600_900, NOON + 660_000)
    entry = claim.complete(CatalogState.NOTIFIED, NOON + 601_100)
    return to_json("test-job", replace(status, catalog=entry.section()))


def test_the_messages_shown_are_understood() -> None:
    (shown,) = blocks(MESSAGES, "json")
    lines = shown.splitlines()
    assert len({parse("m", "0", line).event.step for line in lines}) == len(lines) == 6


def test_the_reserved_fields_shown_are_those_that_are_dropped() -> None:
    (sentence,) = re.findall(r"status object's own \((.*?)\) is dropped", MESSAGES.read_text(), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == RESERVED_FIELDS - {"jobId"}


def test_the_status_object_shown_is_what_the_function_writes() -> None:
    (shown,) = blocks(STATUS_OBJECT, "json")
    assert json.loads(shown) == json.loads(status_example())


def test_every_state_of_the_catalogs_section_is_described() -> None:
    table = section(STATUS_OBJECT, "## The catalog's section")
    assert re.findall(r"^\| `([A-Z]+)` \|", table, re.MULTILINE) == [
        "PENDING",
        "NOTIFIED",
        "FAILED",
        "MOCKED",
    ]
    assert {"PENDING", "NOTIFIED", "FAILED", "MOCKED"} == set(CatalogState)


@pytest.mark.parametrize("other", ["sample.env", "handler/settings.py", "local/cli/configuration.py"])
def test_every_setting_shown_is_known_to(other: str) -> None:
    column = "\n".join(re.findall(r"^\| (.*?) \|", SETTINGS.read_text(), re.MULTILINE))
    shown = set(re.findall(r"`([A-Z][A-Z_]+)`", column))
    text = (ROOT / other).read_text()
    known = set(re.findall(r"\b((?:OAM|AWS|MOCK)_[A-Z_]+|DEBUG)\b", text))
    assert {name for name in known if name.startswith(("OAM", "MOCK"))} <= shown
    if other == "sample.env":
        assert shown - {"AWS_REGION"} == known - {"AWS_REGION"}


def test_the_parameter_shown_beside_a_setting_is_the_one_that_sets_it() -> None:
    variables = TEMPLATE["Resources"]["StatusPublisher"]["Properties"]["Environment"]["Variables"]
    rows = re.findall(r"^\| `([A-Z_]+)` \| .* \| `(\w+)` \|$", SETTINGS.read_text(), re.MULTILINE)
    assert rows
    for variable, parameter in rows:
        assert parameter in TEMPLATE["Parameters"]
        assert parameter in json.dumps(variables[variable])
    # AND no variable that a parameter sets is left out
    set_by_one = {
        name
        for name, value in variables.items()
        if any(p in json.dumps(value) for p in TEMPLATE["Parameters"])
    }
    assert set_by_one == {variable for variable, _ in rows}


def test_the_upgrade_note_says_what_to_rotate_and_where_the_old_token_stands() -> None:
    note = section(DOCS / "operations.md", "## Upgrade")
    group = TEMPLATE["Resources"]["StatusPublisherLogs"]["Properties"]["LogGroupName"]["Fn::Sub"]
    assert "rotate the catalog's token" in note
    assert group.replace("${AWS::StackName}", "STACK") in note
    assert "`LogRetentionDays`" in note
    assert "LogRetentionDays" in TEMPLATE["Parameters"]


def test_the_benchmark_shown_is_the_one_that_was_measured() -> None:
    measured = json.loads((DOCS / "benchmark.json").read_text())
    assert as_table(measured["table"]) in (DOCS / "benchmark.md").read_text()


def test_every_module_of_the_function_is_in_the_architecture() -> None:
    text = ARCHITECTURE.read_text()
    modules = {path.name for path in (ROOT / "handler").glob("*.py")} - {"__init__.py"}
    assert modules - set(re.findall(r"\(\.\./handler/(\w+\.py)\)", text)) <= {
        "aws_errors.py",  # which exceptions of botocore's pass, and
        "transport_errors.py",  # requests' in words: details of the two clients
    }


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (ARCHITECTURE, f"runs up to {WORKERS} jobs at once"),
        (ARCHITECTURE, f"up to {Timeout.POST:.0f} seconds, as long as time is left"),
        (ARCHITECTURE, f"is not asked for {RECOVERY_TIMEOUT:.0f} seconds"),
        (ARCHITECTURE, f"with full jitter, up to {CAP // 60} minutes"),
        (ARCHITECTURE, f"{TEMPLATE['Parameters']['MaxReceiveCount']['Default']} receives"),
        (MESSAGES, f"at most {MAX_TARGET_BYTES:,} bytes"),
        (MESSAGES, f"deeper than {MAX_DEPTH} levels"),
        (STATUS_OBJECT, f"It has {MAX_HISTORY} messages at most"),
        (STATUS_OBJECT, f"under {MAX_OBJECT_BYTES // 2**20} MiB"),
        (DEPLOYING, f"{TEMPLATE['Parameters']['MemorySize']['Default']:,} MB, the default"),
        (DEPLOYING, f"`MemorySize={TEMPLATE['Parameters']['MemorySize']['MinValue']}` is"),
    ],
)
def test_a_figure_shown_is_the_codes(page: Path, said: str) -> None:
    assert said in " ".join(page.read_text().split())

"""Every page shows only commands, files and links that are there."""

import re
from pathlib import Path

import click
import pytest

from local.cli.main import cli
from tests import processes
from tests.docs.pages import DOCS, PAGES, README, ROOT, anchors, code, name, prose

pytestmark = pytest.mark.parametrize("page", PAGES, ids=name)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Not part of a longer word or path, such as `.venv/bin/oam-status-old`; what follows is its command line.
_COMMAND_LINE = re.compile(r"(?<![\w./-])(?:\.venv/bin/)?oam-status(?![\w./-])([^|>&;#]*)")


@pytest.fixture(scope="module")
def targets() -> set[str]:
    """Return what `make` alone lists."""
    listed = processes.run(["make"], cwd=ROOT, check=True).stdout
    return set(re.findall(r"^  (\S+)", listed, re.MULTILINE))


def test_every_make_target_shown_exists_and_make_alone_lists_it(page: Path, targets: set[str]) -> None:
    shown = {target for piece in code(page) for target in re.findall(r"\bmake ([a-z][a-z-]+)", piece)}
    assert shown <= targets


def test_every_command_shown_is_one_that_oam_status_has_with_these_options(page: Path) -> None:
    for arguments in (line for piece in code(page) for line in _COMMAND_LINE.findall(piece)):
        words = arguments.split()
        command: click.Command = cli
        if words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
            assert words[0] in cli.commands, arguments
            command = cli.commands[words[0]]
        context = click.Context(command, help_option_names=["-h", "--help"])
        known = {option for parameter in command.get_params(context) for option in parameter.opts}
        shown = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert shown <= known, arguments


def test_every_link_leads_to_a_file_and_heading_that_is_there(page: Path) -> None:
    for link in _LINK.findall(prose(page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_event_file_shown_exists(page: Path) -> None:
    for piece in code(page):
        for event in re.findall(r"\bevents/[\w./-]+\.json", piece):
            assert (ROOT / event).is_file(), event


def test_the_readme_leads_to_it(page: Path) -> None:
    if page.parent == DOCS:
        assert f"({name(page)})" in README.read_text()


def test_no_sentence_uses_a_word_that_the_project_avoids(page: Path) -> None:
    avoided = r"\b(somebody|nobody|likewise|mend(s|ed|ing)?|whoever)\b"
    assert not re.search(avoided, prose(page.read_text()), re.IGNORECASE)

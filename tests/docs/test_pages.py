"""Every page shows only commands, files and links that are there."""

import re
from pathlib import Path

import click
import pytest

from local.cli.main import cli
from tests import processes
from tests.docs.pages import (
    DOCS,
    PAGES,
    README,
    ROOT,
    anchors,
    code,
    command_lines,
    links,
    name,
    prose,
    targets,
)

each_page = pytest.mark.parametrize("page", PAGES, ids=name)


PAGE = """
# A page's *first* heading, with `code`

See [it](other.md#there). `make
nothing` and `.venv/bin/oam-status lost --all`, not `my-oam-status x`.

```console
# No heading, [no link](no.md)
$ make what ARGS=1
$ oam-status found | head
```
"""


def test_the_checks_find_what_they_look_for(tmp_path: Path) -> None:
    """Each of them passes on a page without any."""
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert targets(page) == {"nothing", "what"}
    assert sorted(command_lines(page)) == [["found"], ["lost", "--all"]]
    assert links(page) == ["other.md#there"]
    assert anchors(page) == {"a-pages-first-heading-with-code"}


@pytest.fixture(scope="session")
def listed() -> set[str]:
    """Return what `make` alone lists."""
    shown = processes.run(["make"], cwd=ROOT, check=True).stdout
    return set(re.findall(r"^  (\S+)", shown, re.MULTILINE))


@each_page
def test_every_make_target_shown_exists_and_make_alone_lists_it(page: Path, listed: set[str]) -> None:
    assert targets(page) <= listed


@each_page
def test_every_command_shown_is_one_that_oam_status_has_with_these_options(page: Path) -> None:
    for words in command_lines(page):
        command: click.Command = cli
        if words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
            assert words[0] in cli.commands, words
            command = cli.commands[words[0]]
        context = click.Context(command, help_option_names=["-h", "--help"])
        known = {option for parameter in command.get_params(context) for option in parameter.opts}
        shown = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert shown <= known, words


@each_page
def test_every_link_leads_to_a_file_and_heading_that_is_there(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


@each_page
def test_every_event_file_shown_exists(page: Path) -> None:
    for piece in code(page):
        for event in re.findall(r"\bevents/[\w./-]+\.json", piece):
            assert (ROOT / event).is_file(), event


@each_page
def test_no_sentence_uses_a_word_that_the_project_avoids(page: Path) -> None:
    avoided = r"\b(somebody|nobody|likewise|mend(s|ed|ing)?|whoever)\b"
    assert not re.search(avoided, prose(page.read_text()), re.IGNORECASE)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=name)
def test_the_readme_leads_to_each_page(page: Path) -> None:
    assert name(page) in links(README)

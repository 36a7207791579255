"""docs/operations.md, read for its commands."""

import re
from dataclasses import dataclass

from tests.docs.pages import DOCS

PAGE = (DOCS / "operations.md").read_text()

_HEADING = re.compile(r"^(#{2,3}) (.+)$", re.MULTILINE)
_STEP = re.compile(r"^\*\*(What it means|Which jobs|Fix it|It is over when)\b", re.MULTILINE)
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        level: of its heading: 2, or 3 for a section of "Alarms".
        text: all of it, without its heading and the sections below it.
    """

    level: int
    text: str

    @property
    def steps(self) -> dict[str, str]:
        """Give the text of each step, by the bold words that it begins with."""
        parts = _STEP.split(self.text)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    @property
    def commands(self) -> list[str]:
        """Give the commands of all its blocks."""
        return commands(self.text)


def commands(text: str) -> list[str]:
    """Give the commands of a text's blocks, in their order."""
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines), "a block has commands only"
    return [line[2:] for line in lines]


def sections() -> dict[str, Section]:
    """Give the page's sections by their anchors, as GitHub makes them of headings."""
    parts = _HEADING.split(PAGE)
    return {
        re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-"): Section(len(level), text)
        for level, heading, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    }


SECTIONS = sections()

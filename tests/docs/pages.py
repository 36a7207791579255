"""The project's pages, and how to find what they show."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("tools/*/*.md")})

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Not part of a longer word or path; what follows is its command line.
_COMMAND_LINE = re.compile(r"(?<![\w./-])(?:\.venv/bin/)?oam-status(?![\w./-])([^|>&;#]*)")
_INLINE = re.compile(r"`([^`]+)`")


def name(page: Path) -> str:
    """Return a page's path in the project."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks in a language."""
    return [code for found, code in _FENCED.findall(page.read_text()) if found == language]


def prose(text: str) -> str:
    """Return a text without its code blocks."""
    return _FENCED.sub("", text)


def code(page: Path) -> list[str]:
    """Return all that a page shows as code: the lines of its blocks, and each piece in its prose."""
    text = page.read_text()
    inline = [" ".join(piece.split()) for piece in _INLINE.findall(prose(text))]
    return [line for _, block in _FENCED.findall(text) for line in block.splitlines()] + inline


def section(page: Path, heading: str) -> str:
    """Return what stands below a heading, to the next one of its rank or above."""
    marks = heading.split(maxsplit=1)[0]
    return re.split(
        rf"^#{{1,{len(marks)}}} ", page.read_text().split(f"\n{heading}\n")[1], flags=re.MULTILINE
    )[0]


def links(page: Path) -> list[str]:
    """Return where a page's links lead."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text()))


def targets(page: Path) -> set[str]:
    """Return the targets of make that a page shows."""
    return {target for piece in code(page) for target in re.findall(r"\bmake ([a-z][a-z-]+)", piece)}


def command_lines(page: Path) -> list[list[str]]:
    """Return the words behind each `oam-status` that a page shows."""
    return [found.split() for piece in code(page) for found in _COMMAND_LINE.findall(piece)]


def anchors(page: Path) -> set[str]:
    """Return the names by which GitHub lets one link to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

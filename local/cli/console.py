"""How the tools write: tables for people on stdout, JSON for machines, news on stderr."""

import json
import sys
from typing import Any, TextIO

from rich.console import Console


def console(stream: TextIO | None = None) -> Console:
    """Return a console: colours on a terminal alone, 80 columns in a pipe; NO_COLOR and COLUMNS are honoured.

    Args:
        stream: where it writes; None for stdout.
    """
    return Console(file=stream or sys.stdout, highlight=False, markup=False, emoji=False)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, for machines; what a terminal might obey stands as its escape."""
    text = json.dumps(value, ensure_ascii=False)
    print(
        "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text), flush=True
    )

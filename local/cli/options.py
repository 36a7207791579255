"""The options that several commands have."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from local.stack.embedded import PORT

PORTS = click.IntRange(1, 65_534)  # the next one is the catalog's

_Command = TypeVar("_Command", bound=Callable[..., Any])


def stack_options(command: _Command) -> _Command:
    """Add --stack and --port, which say the stack that is meant."""
    port = click.option(
        "--port", type=PORTS, default=PORT, show_default=True, help="Of `make start`'s embedded stack."
    )
    stack = click.option(
        "--stack", metavar="NAME", callback=_check_stack, help="The deployed stack that is meant."
    )
    return stack(port(command))


def _check_stack(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """Refuse an empty name: of a variable that is not set, say. Another stack would be taken in its place."""
    if name is not None and not name.strip():
        raise click.BadParameter("it is empty, and names no stack.", context, parameter)
    return name


def json_option(command: _Command) -> _Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="JSON for machines.")(command)


def yes_option(command: _Command) -> _Command:
    """Add --yes."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)

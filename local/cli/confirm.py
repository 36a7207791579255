"""Asks before a stack that is not the embedded one is changed."""

import sys

import click

from local.cli.target import MISCONFIGURED


class NoTerminal(click.ClickException):
    """Raised when there is no terminal to ask at and no answer was given beforehand."""

    exit_code = MISCONFIGURED


def check_can_ask(*, yes: bool) -> None:
    """Make sure that there is an answer, or a person to give it.

    Args:
        yes: whether the answer was given beforehand.

    Raises:
        NoTerminal: when there is neither.
    """
    if not yes and not sys.stdin.isatty():
        raise NoTerminal("Nothing was done: there is no terminal to ask at. --yes answers beforehand.")


def ask(plan: str, *, yes: bool) -> bool:
    """Show what will be done, and ask whether to do it.

    Args:
        plan: what will be done.
        yes: whether the answer was given beforehand.

    Returns:
        Whether to do it.

    Raises:
        NoTerminal: when there is no terminal to ask at.
    """
    print(plan, file=sys.stderr)
    check_can_ask(yes=yes)
    if yes:
        return True
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    agreed = sys.stdin.readline().strip().lower() in {"y", "yes"}
    if not agreed:
        print("Nothing was done.", file=sys.stderr)
    return agreed

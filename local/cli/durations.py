"""Durations, as they are given on the command line and shown in tables: 90s, 15m, 2h, 1d."""

import re

import click

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([1-9]\d{0,5})([smhd])")


class Duration(click.ParamType):
    """A number of seconds, written as a whole number and a unit."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return a duration in seconds.

        Raises:
            click.BadParameter: when it is not written as one.
        """
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(str(value))
        if not found:
            self.fail(
                f"{value!r} is no duration: a whole number and s, m, h or d, such as 90s or 2h.", param, ctx
            )
        return int(found[1]) * _SECONDS[found[2]]


def in_words(seconds: float) -> str:
    """Return a duration in its largest unit of which there are two or more, rounded down."""
    whole = max(0, int(seconds))
    unit = next((unit for unit in "dhm" if whole >= 2 * _SECONDS[unit]), "s")
    return f"{whole // _SECONDS[unit]}{unit}"

"""`oam-status job ID`: one job's history, what became of its notification, and where its tiles are."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from handler.messages import InvalidMessage, parse
from handler.status_object import to_iso
from local.cli.catalog_words import catalog_in_words
from local.cli.configuration import find_stack
from local.cli.console import console, print_json
from local.cli.durations import in_words
from local.cli.jobs import describe, find_job
from local.cli.options import json_option, stack_options
from local.cli.target import Part
from local.cli.text import printable, printable_lines
from local.cli.timeline import Entry, sent_between, timeline

_STYLES = {"FINISHED": "green", "FAILED": "red", "STARTED": "yellow"}


def _check_job_id(context: click.Context, parameter: click.Parameter, job_id: str) -> str:
    """Refuse an id that no job has, by the rule of the function: no message of such a one is taken."""
    try:
        parse("", "0", json.dumps({"jobId": job_id, "stage": "chunk", "status": "STARTED"}))
    except InvalidMessage as error:
        raise click.BadParameter(f"it is no possible job id: {error}.", context, parameter) from error
    return job_id


@click.command(
    "job",
    epilog="""\b
Examples:
  oam-status job test-job
  oam-status job test-job --json | jq .catalog
""",
)
@click.argument("job_id", metavar="ID", callback=_check_job_id)
@stack_options
@json_option
def job(job_id: str, stack: str | None, port: int, *, as_json: bool) -> None:
    """Show one job: its history, the catalog's answer, its tiles.

    The history has the attempts, and the gap before each entry. One request
    reads it all. --json prints the status object, on one line. The exit code
    is 1 if it is not there, or is no status object.
    """
    target = find_stack(Part.BUCKET, port, stack)
    with target.explaining("Reading the bucket failed"):
        found = find_job(target.s3, target.bucket, target.prefix, job_id)
    where = f"s3://{target.bucket}/{printable(found.key, 1_100)}"
    if found.problem:
        click.echo(f"{where}: {printable(found.problem, 1_000)}", err=True)
    if found.status is None:
        sys.exit(1)
    if as_json:
        print_json(found.status)
        return
    out = console()
    _say(out, f"{printable(job_id, 300)}: {describe(found.status)}", "bold")
    _say(out, where)
    _print_timeline(out, timeline(found.status))
    now = round(time.time() * 1000)
    if sent := sent_between(found.status):
        first, last = (f"{to_iso(at)} ({in_words((now - at) / 1000)} ago)" for at in sent)
        _fact(out, "Sent", f"first message {first}, last {last}")
    if error := found.status.get("error"):
        text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
        _fact(out, "Error", printable_lines(text, 2_000), "red")
    _fact(out, "Catalog", catalog_in_words(found.status, now))
    _say(out, f"Tiles    {_tiles(found.status)}")


def _say(out: Console, text: str, style: str = "") -> None:
    out.print(Text(text, style), soft_wrap=True)


def _fact(out: Console, name: str, text: str, style: str = "") -> None:
    """Print a text beside its name: wrapped on a terminal, its own lines alone in a pipe."""
    if not out.is_terminal:
        _say(out, f"{name:<9}{text}".replace("\n", f"\n{'':<9}"))
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=7)
    grid.add_column(overflow="fold")
    grid.add_row(name, Text(text, style))
    out.print(grid)


def _tiles(status: Mapping[str, Any]) -> str:
    """Return the job's tile URL."""
    try:
        return printable(str(status["tileJson"]["tiles"][0]), 1_500)
    except (KeyError, IndexError, TypeError):
        return (
            "none yet"
            if status.get("status") != "SUCCESS"
            else "none: its target is none to fetch tiles from"
        )


def _print_timeline(out: Console, entries: list[Entry]) -> None:
    if not entries:
        _say(out, "It has no history that this project's function wrote.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("time (UTC)", "gap", "attempt", "step", "says"):
        table.add_column(name, overflow="fold")
    before: Entry | None = None
    for entry in entries:
        if before is None or before.date != entry.date:
            table.add_row(entry.date)
        gap = "" if before is None else f"+{in_words((entry.sent_at - before.sent_at) / 1000)}"
        attempt = "-" if entry.attempt is None else str(entry.attempt)
        step = Text(f"{entry.stage} ").append(entry.status, _STYLES.get(entry.status, ""))
        table.add_row(entry.time, gap, attempt, step, Text(printable(entry.detail)))
        before = entry
    out.print(table)

"""`oam-status jobs`: which jobs there are, and how they stand."""

import sys
import time
from dataclasses import dataclass
from typing import Any

import click

from local.cli.configuration import find_stack
from local.cli.console import print_json
from local.cli.durations import Duration
from local.cli.job_lines import header, lines, totals
from local.cli.job_reader import JobReader
from local.cli.job_search import JobSearch
from local.cli.options import json_option, stack_options
from local.cli.progress import progress_bar
from local.cli.rows import Kind, Wanted
from local.cli.target import Part, Target
from local.cli.watch_jobs import JobWatch

_LIMIT = 50  # for people, who have no use for more at once


@dataclass(frozen=True, slots=True)
class _Options:
    stack: str | None
    port: int
    as_json: bool
    failed: bool
    stuck: int | None
    not_notified: bool
    since: int | None
    limit: int | None
    everything: bool
    watch: bool

    def wanted(self, now: float) -> Wanted:
        """Return the jobs that are asked for.

        Raises:
            click.UsageError: when no job can be of what is asked for.
        """
        asked = (
            (self.failed, Kind.FAILED),
            (self.stuck is not None, Kind.STUCK),
            (self.not_notified, Kind.NOT_NOTIFIED),
        )
        kinds = [kind for is_asked, kind in asked if is_asked]
        if len(kinds) > 1:
            raise click.UsageError(
                "No job is of two kinds: give one of --failed, --stuck and --not-notified."
            )
        return Wanted(now, kinds[0] if kinds else None, self.since, self.stuck)

    @property
    def most(self) -> int | None:
        if self.everything or (self.as_json and self.limit is None):
            return None
        return self.limit or _LIMIT


@click.command(
    "jobs",
    epilog="""\b
Examples:
  oam-status jobs --failed --since 1d
  oam-status jobs --stack oam-status-publisher --stuck 2h
  oam-status jobs --not-notified --all --json | jq -r .jobId
""",
)
@stack_options
@json_option
@click.option("--failed", is_flag=True, help="Those that failed.")
@click.option("--stuck", type=Duration(), metavar="TIME", help="Not ended, and silent for so long.")
@click.option(
    "--not-notified", is_flag=True, help="Those at SUCCESS that the catalog was not told of (MOCKED, too)."
)
@click.option("--since", type=Duration(), metavar="TIME", help="Last written in so much time.")
@click.option(
    "--limit", type=click.IntRange(1), show_default=f"{_LIMIT}; with --json all", help="Show so many."
)
@click.option("--all", "everything", is_flag=True, help="Show all of them.")
@click.option("--watch", is_flag=True, help="Look again every 5 seconds, until Ctrl-C.")
def jobs(**given: Any) -> None:
    """List jobs, the newest first, and count them.

    TIME is a whole number and a unit: 90s, 15m, 2h or 1d. Age, order and
    TIME go by when the job's status object was last written.

    An object that is no status object is a line with its key and what is
    wrong, whatever is asked for: it may be any job's. The exit code is 1 if
    there is one, or if there is no object at all.

    --json prints one object a line, of all jobs that are asked for: it has
    no limit but --limit.
    """
    options = _Options(**given)
    wanted = options.wanted(time.time())
    target = find_stack(Part.BUCKET, options.port, options.stack)
    with target.explaining("Reading the bucket failed"):
        if options.watch:
            JobWatch(target, options.wanted, options.most, as_json=options.as_json).run()
        else:
            sys.exit(_list(target, wanted, options))


def _list(target: Target, wanted: Wanted, options: _Options) -> int:
    search = JobSearch(target, wanted, options.most)
    # JSON on a terminal is not to be broken into the terminal's lines, which a bar below it would do.
    with progress_bar("Reading", quiet=options.as_json and sys.stdout.isatty()) as bar:
        for number, row in enumerate(search.rows(JobReader(target.s3, target.bucket), bar)):
            if options.as_json:
                print_json(row.as_json())
                continue
            for line in ([] if number else [header()]) + lines(row, wanted.now, bar.out.width):
                bar.out.print(line, soft_wrap=True)
    if not search.listing.objects:
        click.echo(f"No status object in s3://{target.bucket}/{target.prefix}", err=True)
        return 1
    if not options.as_json:
        click.echo("\n".join(totals(search.listing, search.totals, wanted, search.shown)))
    return 1 if search.totals.strangers else 0

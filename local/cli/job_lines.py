"""The lines of a list of jobs: 80 columns are enough, unless an id is longer than its column."""

from collections.abc import Mapping

from rich.cells import cell_len
from rich.text import Text

from local.cli.durations import in_words
from local.cli.rows import Kind, Listing, Row, Totals, Wanted
from local.cli.text import printable

_JOB = 37  # columns: a UUID's 36 characters fit
_STYLES = {"SUCCESS": "green", "NOTIFIED": "green", "FAILED": "red", "STARTED": "yellow", "PENDING": "yellow"}


def header() -> Text:
    """Return the line above the jobs."""
    return Text(f"{'job':<{_JOB}}  {'stage and status':<16}  {'attempt':<7}  {'age':<4}  catalog", "bold")


def lines(row: Row, now: float, width: int) -> list[Text]:
    """Lay out a row.

    Args:
        row: the row.
        now: in seconds since the epoch.
        width: of the screen, in columns.

    Returns:
        One line, and one for the error; before it one for an id that is longer than its column. Of what is
        no status object, its key and what is wrong.
    """
    if not row.is_job:
        key = printable(row.listed.key, 1_100)
        return [Text(f"{key}: {printable(row.problem, max(40, width - len(key) - 2))}", "red")]
    job, found = printable(row.listed.job_id, 300), list[Text]()
    if cell_len(job) > _JOB:
        found.append(Text(job))
        job = ""
    line = Text(job)
    line.pad_right(_JOB + 2 - cell_len(job))
    line.append(f"{row.stage} ").append(row.status, _STYLES.get(row.status, ""))
    line.pad_right(_JOB + 20 - line.cell_len)
    attempt = "-" if row.attempt is None else printable(str(row.attempt), 7)
    line.append(f"{attempt:<7}  {in_words(now - row.listed.modified):<4}  ")
    line.append(row.catalog or "-", _STYLES.get(row.catalog, ""))
    found.append(line)
    notes = [text for text in (row.error, row.problem) if text]
    return found + [Text(f"  {printable(note, width - 2)}", "dim") for note in notes]


def totals(listing: Listing, found: Totals, wanted: Wanted, shown: int) -> list[str]:
    """Lay out what stands below the jobs.

    Args:
        listing: what the bucket's listing said.
        found: what was read.
        wanted: the jobs that were asked for.
        shown: how many of them are shown.
    """
    objects = f"{listing.objects:,} object{'' if listing.objects == 1 else 's'}"
    if wanted.kind is not None:
        matching, first = found.jobs, f"{found.jobs:,} {_WORDS[wanted.kind]}, of {objects}"
    else:
        matching, first = listing.candidates, objects
        if matching < listing.objects:
            first = f"{matching:,} of {objects}"
    parts = [_counts(found.statuses)] if found.statuses else []
    if found.catalog:
        parts.append(f"catalog: {_counts(found.catalog)}")
    if found.strangers:
        parts.append(f"no status object: {found.strangers:,}")
    counted = "; ".join(parts)
    if shown < matching:
        first += f", the newest {shown:,} shown (--all shows all)"
        counted = f"Shown: {counted}" if wanted.kind is None else counted
    return [f"{first}."] + [f"{counted}."] * bool(counted)


_WORDS = {
    Kind.FAILED: "failed",
    Kind.STUCK: "stuck",
    Kind.NOT_NOTIFIED: "done and not in the catalog",
}


def _counts(counter: Mapping[str, int]) -> str:
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {name}" for name, number in ordered)

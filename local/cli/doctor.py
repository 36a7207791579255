"""`oam-status doctor`: whether all that the function needs is there, and works as it must."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from typing import Any

import click
from botocore.exceptions import EndpointConnectionError
from rich.table import Table
from rich.text import Text

from handler.settings import DEFAULT_CATALOG_URL
from local.cli import checks
from local.cli.catalog_check import CatalogCheck
from local.cli.clients import quick_client
from local.cli.conditional_writes import check_conditional_writes
from local.cli.configuration import find_stack
from local.cli.console import console, print_json
from local.cli.findings import Finding, Result, not_asked, wrong
from local.cli.options import json_option, stack_options
from local.cli.progress import progress_bar
from local.cli.queues import count
from local.cli.target import Part, Target

LONGEST = 60.0  # seconds for all checks, which run at the same time; no call of AWS takes over five

_STYLES = {Result.OK: "green", Result.WRONG: "bold red", Result.NOT_ASKED: "dim"}

_EXAMPLE = """\b
Examples:
  oam-status doctor
  oam-status doctor --stack oam-status-production
"""

Check = Callable[[], Finding]


@click.command(epilog=_EXAMPLE)
@stack_options
@json_option
@click.pass_context
def doctor(context: click.Context, port: int, stack: str | None, *, as_json: bool) -> None:
    """Check settings, AWS, the S3 store and the catalog.

    Before the first deployment, and at 3 a.m. Nothing that anyone else reads
    is changed: an object of its own is written to the bucket and removed, and
    the catalog gets a POST without a notification, first with a wrong token,
    then with the function's.

    Exit code 1 when anything is wrong. --json prints one document.
    """
    target = find_stack(Part(0), port, stack)
    if target.is_embedded:
        _check_that_it_runs(target)
    findings = _run_with_progress(checks_of(target))
    is_well = all(finding.result is not Result.WRONG for finding in findings.values())
    if as_json:
        print_json(_document(target, findings, is_well=is_well))
    else:
        console().print(_table(findings))
    context.exit(0 if is_well else 1)


def _check_that_it_runs(target: Target) -> None:
    """Raise ClickException where there is no embedded stack: each check would say no more."""
    try:
        count(target.sqs, target.queue_url)
    except EndpointConnectionError as error:
        raise click.ClickException(target.explain(error)) from error


def checks_of(target: Target) -> dict[str, Check]:
    """Return all checks of a stack by their names; each makes the clients that it needs itself."""
    variables = dict(target.variables)
    if target.function_name:  # Lambda sets it
        variables.setdefault("AWS_REGION", target.sqs.meta.region_name)
    client = partial(quick_client, target)
    bucket, prefix, queue_url = target.bucket, target.prefix, target.queue_url
    url = variables.get("OAM_CATALOG_URL", "").strip() or DEFAULT_CATALOG_URL
    catalog = CatalogCheck(url.rstrip("/"))

    def window_of(queue_arn: str) -> int | None:
        return checks.batching_window(client("lambda"), queue_arn) if target.function_name else None

    def ask_catalog() -> Finding:
        if checks.is_mocked(variables):
            return not_asked("MOCK_OAM_API is true: the function sends it nothing")
        return catalog.catalog()

    return {
        "settings": lambda: checks.check_settings(variables),
        "credentials": lambda: checks.check_credentials(client("sts")),
        "queue": lambda: checks.check_queue(client("sqs"), queue_url, target.function_timeout, window_of),
        "dead-letter queue": lambda: checks.check_dead_letter_queue(client("sqs"), queue_url),
        "bucket": lambda: checks.check_bucket(client("s3"), bucket, prefix),
        "conditional writes": lambda: check_conditional_writes(client("s3"), bucket, prefix),
        "token": lambda: checks.check_token(client("secretsmanager"), variables, catalog.token),
        "catalog": ask_catalog,
    }


def run_checks(
    to_run: Mapping[str, Check], seconds: float, after_each: Callable[[int], object]
) -> dict[str, Finding]:
    """Run checks at the same time, each in a thread that is not waited for beyond the time.

    Args:
        to_run: the checks by their names.
        seconds: how long all of them may take.
        after_each: told how many are over, whenever that is one more.

    Returns:
        What each found.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after what the checks have in hand: it may have to be removed again.
    """
    end = time.monotonic() + seconds
    running: dict[str, Future[Finding]] = {name: Future() for name in to_run}
    for name, future in running.items():
        threading.Thread(target=_run, args=(to_run[name], future), name=name, daemon=True).start()
    findings = {}
    try:
        for name, future in running.items():
            try:
                findings[name] = future.result(max(0.0, end - time.monotonic()))
            except TimeoutError:
                findings[name] = wrong(f"not done after {seconds:g} s", "Find out why it takes so long.")
            after_each(len(findings))
    except KeyboardInterrupt:
        wait(running.values(), max(0.0, end - time.monotonic()))
        raise
    return findings


def _run(check: Check, future: "Future[Finding]") -> None:
    try:
        found = check()
    except Exception as error:  # noqa: BLE001 (the other checks go on, and this one says it)
        found = wrong(f"{type(error).__name__}: {error}", "Correct what it names.")
    future.set_result(found)


def _run_with_progress(to_run: Mapping[str, Check]) -> dict[str, Finding]:
    with progress_bar("Checking", len(to_run)) as bar:
        return run_checks(to_run, LONGEST, lambda done: bar.show(done, len(to_run)))


def _document(target: Target, findings: Mapping[str, Finding], *, is_well: bool) -> dict[str, Any]:
    return {
        "stack": target.description,
        "ok": is_well,
        "checks": [
            {"check": name, "result": finding.result, "found": finding.found, "todo": finding.todo}
            for name, finding in findings.items()
        ],
    }


def _table(findings: Mapping[str, Finding]) -> Table:
    table = Table("check", "result", "found, and what to do", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, finding in findings.items():
        text = Text(finding.found, overflow="fold")
        if finding.todo:
            text.append(f"\nTo do: {finding.todo}", "bold")
        table.add_row(name, Text(finding.result, _STYLES[finding.result]), text)
    return table

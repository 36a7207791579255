"""`oam-status`: the operator's tools for the status publisher's jobs, queue and bucket."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click
from botocore.exceptions import BotoCoreError, ClientError

from local.cli.dead_letters import dead_letters
from local.cli.doctor import doctor
from local.cli.list_jobs import jobs
from local.cli.redrive import redrive
from local.cli.renotify import renotify
from local.cli.send import send
from local.cli.show_job import job

_COMMANDS: tuple[click.Command, ...] = (
    dead_letters,
    doctor,
    job,
    jobs,
    redrive,
    renotify,
    send,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="oam-status-publisher")
def cli() -> None:
    """Look at jobs, dead letters and settings, and put right what went wrong.

    Which stack is meant: `--stack NAME`, a deployed one; else what the
    environment or .env names; with none of the project's variables set,
    the embedded stack of `make start`. The first line on stderr says it.

    Exit codes: 0 done; 1 something is wrong with what was looked at;
    2 usage or configuration.
    """


for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run the command that the command line names."""
    if sys.stderr is None:  # closed, as by 2>&-; print() would take stdout for it
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 (for all that follows)
    if sys.stdout is None:
        _fail("stdout is closed: there is nowhere to print to.")
    try:
        try:
            cli(prog_name="oam-status")
        finally:
            sys.stdout.flush()  # or what is left fails in Python's own end, with a traceback
    except (BotoCoreError, ClientError) as error:
        _fail(f"AWS does not do it: {error}")
    except BrokenPipeError:
        _leave_stdout()
        sys.exit(1)
    except OSError as error:
        _leave_stdout()
        _fail(f"A file or stream can't be used: {error}")


def _fail(why: str) -> NoReturn:
    click.echo(why, err=True)
    sys.exit(1)


def _leave_stdout() -> None:
    """Keep Python from failing once more, at its end, to write what stdout did not take."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

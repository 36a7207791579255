"""`make invoke`: run the built function once in Lambda's container, by `sam local invoke`.

Two things are added to sam's own. Docker on Linux does not know the host by the name that `events/env.json`
has for it, so the container is told (https://docs.docker.com/reference/cli/docker/container/run/#add-host).
And sam's exit code is 0 whatever the function answers (https://github.com/aws/aws-sam-cli/issues/1081); here
it is 1 for a failure.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Sequence

import click

_HOST = "host.docker.internal"
_ENVIRONMENT = "events/env.json"
_X86 = {"x86_64", "amd64"}


@click.command(context_settings={"ignore_unknown_options": True, "max_content_width": 80})
@click.argument("event", type=click.Path())
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option("--sam", default=".venv/bin/sam", show_default=True, help="The program.")
@click.option("--config-env", default="default", show_default=True, help="The part of samconfig.toml.")
@click.option("--architecture", help="x86_64 or arm64; without it, the host's own.")
def invoke(event: str, options: tuple[str, ...], sam: str, config_env: str, architecture: str | None) -> None:
    """Run the built function in Lambda's container (Docker) on an event file.

    OPTIONS go to `sam local invoke` as they are. Exit codes: 0 all messages are
    done; 1 some failed, or the function did; else sam's own.

    Example: make invoke EVENT=events/full-job.json
    """
    command = sam_command(sam, config_env, event, architecture or host_architecture(), options)
    # sam writes the answer, and nothing else, to stdout; the function's log goes to stderr as it comes.
    done = subprocess.run(
        command, stdout=subprocess.PIPE, encoding="utf-8", errors="backslashreplace", check=False
    )
    click.echo(done.stdout)
    if done.returncode:
        sys.exit(done.returncode)
    if failure := find_failure(done.stdout):
        click.echo(failure, err=True)
        sys.exit(1)


def host_architecture() -> str:
    """Return the host's processor as the template's parameter `Architecture` has it."""
    return "x86_64" if platform.machine().lower() in _X86 else "arm64"


def sam_command(
    sam: str, config_env: str, event: str, architecture: str, options: Sequence[str]
) -> list[str]:
    """Return the command line for sam.

    Args:
        sam: the program.
        config_env: the part of samconfig.toml.
        event: the event file.
        architecture: x86_64 or arm64.
        options: more of sam's own; one that says where the host is stands.
    """
    command = [
        *(sam, "local", "invoke", "--config-env", config_env, "StatusPublisher"),
        *("--event", event, "--env-vars", _ENVIRONMENT),
        *("--parameter-overrides", f"Architecture={architecture}"),
    ]
    if sys.platform == "linux" and not any(_HOST in option for option in options):
        command += ["--add-host", f"{_HOST}:host-gateway"]
    return [*command, *options]


def find_failure(output: str) -> str | None:
    """Say what failed, by what sam wrote to stdout; None where all messages are done.

    Args:
        output: the function's answer; none of one that ran out of time, or whose container did not start.
    """
    lines = output.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return "The function gave no answer: its log, above, says why."
    if "errorMessage" in answer:
        return f"The function failed: {answer.get('errorType', 'error')}: {answer['errorMessage']}"
    failed = [failure["itemIdentifier"] for failure in answer.get("batchItemFailures", [])]
    if failed:
        return f"{len(failed)} messages failed, and a queue would deliver them again: {', '.join(failed)}"
    return None


if __name__ == "__main__":
    invoke(prog_name="python -m local.cli.invoke")

"""What all commands of `oam-status` have in common."""

import json
import uuid

import click
import pytest
from click.testing import CliRunner

from local.cli.main import cli
from local.cli.start import start
from tests.conftest import Aws
from tests.deploy.translated import TEMPLATE
from tests.local.deployed import OUTPUTS, deploy
from tests.local.tools import NAMED, tool

STATUS = b'{"stage": "chunk", "status": "STARTED", "history": [], "attempt": 1}'


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_each_command_has_help_with_an_example_in_80_columns(name: str) -> None:
    shown = CliRunner().invoke(cli, [name, "--help"], prog_name="oam-status", terminal_width=80)
    assert shown.exit_code == 0
    assert f"  oam-status {name}" in shown.output.partition("Example")[2]
    assert all(len(line) <= 80 for line in shown.output.splitlines())


def test_the_help_of_make_start_has_each_example_on_a_line_of_its_own() -> None:
    shown = CliRunner().invoke(start, ["--help"], prog_name="make start", terminal_width=80)
    assert "\n    make start\n    make start ARGS=--json\n" in shown.output


@pytest.mark.parametrize(
    "arguments", [["no-such"], *([name, "--no-such"] for name in sorted(cli.commands))], ids=str
)
def test_a_usage_error_is_exit_code_2(arguments: list[str]) -> None:
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 2
    assert "No such" in shown.output


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_an_empty_stack_name_is_not_taken_for_another_stack(name: str) -> None:
    arguments = {"job": ["x"], "renotify": ["x"], "send": [__file__]}.get(name, [])
    shown = CliRunner().invoke(cli, [name, *arguments, "--stack", ""])
    assert shown.exit_code == 2
    assert "Invalid value for '--stack': it is empty" in shown.output


def test_a_port_where_another_stack_is_meant_is_a_usage_error_that_says_which() -> None:
    # WHEN the embedded stack's port is given, and another stack is named, too
    deployed = tool("jobs", "--stack", "night", "--port", "4577")
    named = tool("jobs", "--port", "4577", OAM_STATUS_BUCKET="bucket", MOCK_OAM_API="true")
    # THEN neither is taken
    assert (deployed.returncode, named.returncode) == (2, 2)
    assert "--stack means night, --port the embedded stack" in deployed.stderr
    assert "but OAM_STATUS_BUCKET, MOCK_OAM_API are set" in named.stderr
    assert "Stack: " not in deployed.stderr + named.stderr


def test_each_command_says_what_its_options_are_for() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name


@pytest.fixture
def region(aws: Aws) -> dict[str, str]:
    """AWS's variables, and none of the project's."""
    kept = {name: value for name, value in NAMED.items() if name.startswith("AWS_")}
    return kept | {"AWS_ENDPOINT_URL": aws.url}


def test_a_deployed_stack_is_found_by_its_name_and_nothing_else(aws: Aws, region: dict[str, str]) -> None:
    # GIVEN a deployed stack, with a job
    name = deploy(aws)
    aws.s3.put_object(Bucket=f"{name}-status", Key="status/there-status.json", Body=STATUS)
    # WHEN its jobs are listed, where the environment names another bucket
    done = tool("jobs", "--stack", name, "--json", **region, OAM_STATUS_BUCKET="another")
    # THEN they are its own, and that is said first
    assert [json.loads(line)["jobId"] for line in done.stdout.splitlines()] == ["there"], done.stderr
    said = done.stderr.splitlines()
    assert said[0] == f"Stack: {name}, as CloudFormation and its function describe it"
    assert said[1].split()[0] == "queue"
    assert said[1].endswith(f"/{name}-status")
    assert said[2].split() == ["bucket", f"s3://{name}-status/status"]


def test_a_stack_that_is_not_this_projects_or_not_there_is_exit_code_2(
    aws: Aws, region: dict[str, str]
) -> None:
    # GIVEN a stack of something else
    name = f"other-{uuid.uuid4().hex[:8]}"
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    aws.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))
    # WHEN it, and one that is not there, is meant
    other, absent = tool("jobs", "--stack", name, **region), tool("job", "x", "--stack", "absent", **region)
    # THEN that is said
    assert (other.returncode, other.stdout) == (2, "")
    assert f"The stack {name} is not one of this project" in other.stderr
    assert (absent.returncode, absent.stdout) == (2, "")
    assert "The stack absent can't be read" in absent.stderr
    assert "Traceback" not in other.stderr + absent.stderr


def test_the_outputs_that_are_looked_for_are_the_templates() -> None:
    assert OUTPUTS.keys() <= TEMPLATE["Outputs"].keys()

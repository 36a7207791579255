"""`.env` means what docker's --env-file means by it: a value is what stands there."""

from pathlib import Path

import pytest

from local.cli.env_file import EnvFileError, parse_env_file
from tests.local.tools import tool

LITERAL = {
    "A=a$b${HOME}c": "a$b${HOME}c",
    "A=$HOME": "$HOME",
    "A=$(id) `id`": "$(id) `id`",
    'A="quoted"': '"quoted"',
    "A='quoted'": "'quoted'",
    "A=a b # no comment": "a b # no comment",
    "A=a#b": "a#b",
    "A= led by a space, and ended by one ": " led by a space, and ended by one ",
    r"A=a\nb\\c\"": r"a\nb\\c\"",
    "A=b=c==": "b=c==",
    "A=": "",
    "  \tA=b": "b",
    "A=b\r": "b",
    "\ufeffA=b": "b",
    "#A=x\n\n   # B\nA=b\n#": "b",
    "A=first\nA=last": "last",
    "A=a\x0bb\x0cc\u2028d": "a\x0bb\x0cc\u2028d",
    "A=ü€": "ü€",
    "A=%HOME%": "%HOME%",
    "A={{x}}": "{{x}}",
}


@pytest.mark.parametrize(("line", "value"), LITERAL.items(), ids=map(repr, LITERAL))
def test_a_value_is_what_stands_there(line: str, value: str) -> None:
    assert parse_env_file(line.encode()) == {"A": value}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"A=1\nexport B=s3cret", "line 2: a name has no spaces"),
        (b"A = s3cret", "line 1: a name has no spaces"),
        (b"A\t=s3cret", "line 1: a name has no spaces"),
        (b"=s3cret", "line 1 has no name"),
        (b"A=1\nB=\xffs3cret", "line 2 is not UTF-8"),
        (b"A=s3cret\0", "line 1 has a NUL"),
    ],
)
def test_a_line_that_docker_refuses_is_named_without_its_value(content: bytes, reason: str) -> None:
    with pytest.raises(EnvFileError, match=reason) as caught:
        parse_env_file(content)
    assert "s3cret" not in str(caught.value)


def test_a_name_alone_takes_its_value_from_the_environment() -> None:
    assert parse_env_file(b"HOME\nNOT_THERE\nA=b") == {"A": "b"}


def test_what_is_set_already_stands_and_an_empty_value_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OAM_STATUS_BUCKET=from-the-file\n")
    done = tool("jobs", "--port", "9", cwd=tmp_path, OAM_STATUS_BUCKET="")
    assert "Stack: embedded" in done.stderr


@pytest.mark.parametrize("name", ["start", "send", "jobs", "dead-letters", "redrive", "renotify"])
def test_every_tool_ends_at_a_line_that_it_does_not_understand(tmp_path: Path, name: str) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"Records": []}')
    (tmp_path / ".env").write_text("export OAM_API_TOKEN=s3cret\n")
    arguments = {"send": [str(event)], "renotify": ["test-job"]}.get(name, [])
    done = tool(name, *arguments, "--port", "9", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.removeprefix("Error: ")
        == ".env: line 1: a name has no spaces: NAME=value, without export.\n"
    )


def test_quotes_that_older_versions_took_off_are_pointed_out(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('OAM_API_TOKEN="s3cret"\nOAM_STATUS_PREFIX=a\n')
    done = tool("jobs", "--port", "9", cwd=tmp_path)
    assert ".env: the quotes are part of the value of OAM_API_TOKEN.\n" in done.stderr
    assert "s3cret" not in done.stderr

"""`.env`: read as docker's `--env-file` reads it, every value as it stands.

A line is `NAME=value`. The value is all that follows the first `=`: quotes, `$`, `#` and spaces are part of
it. Spaces before a name, empty lines, lines that begin with `#` and a byte order mark are passed over. A name
alone takes its value from the environment. A space in a name (`export NAME=value`, `NAME = value`) is an
error. The rules are those that docker gives in
https://github.com/docker/cli/blob/master/pkg/kvfile/kvfile.go.
"""


class EnvFileError(Exception):
    """Raised when a line of an env file can't be understood; its text names the line and no value."""


def parse_env_file(content: bytes) -> dict[str, str]:
    """Read an env file.

    Args:
        content: the file's content.

    Returns:
        The variables that it gives a value; the last one counts.

    Raises:
        EnvFileError: when a line can't be understood.
    """
    variables = {}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = line.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError as error:
            raise EnvFileError(f"line {number} is not UTF-8") from error
        name, is_assigned, value = text.partition("=")
        if not text or text.startswith("#"):
            continue
        if not name:
            raise EnvFileError(f"line {number} has no name before its '='")
        if " " in name or "\t" in name:
            raise EnvFileError(f"line {number}: a name has no spaces: NAME=value, without export")
        if "\0" in text:
            raise EnvFileError(f"line {number} has a NUL character")
        if is_assigned:
            variables[name] = value
    return variables


def quoted(variables: dict[str, str]) -> list[str]:
    """Give the names of the variables whose value stands in quotes, which are part of it."""
    return [
        name
        for name, value in variables.items()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    ]

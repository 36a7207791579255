"""AWS's CLI, as far as docs/operations.md uses it, for a server that stands for AWS.

`aws SERVICE OPERATION --parameter value …`, with `--query` and `--output text`. The names of services, operations and
parameters, and the values' types, are those of botocore's models, which the CLI is made from; an unknown one is an
error. Not a dependency: version 1 of the CLI, the one that is a Python package, is at its end.
"""

import json
from collections.abc import Callable
from typing import Any

import jmespath
from botocore import xform_name
from botocore.model import ListShape, Shape, StructureShape
from botocore.validate import validate_parameters

# What moto's server does not do: their parameters are checked, and nothing is asked.
CHECKED_ONLY = frozenset(
    {
        ("cloudformation", "cancel-update-stack"),
        ("lambda", "get-account-settings"),
        ("service-quotas", "request-service-quota-increase"),
    }
)


# The program: it has its arguments run by a CommandServer.
PROGRAM = """#!{python} -IS
import json, socket, sys
with socket.create_connection(("127.0.0.1", {port})) as connection, connection.makefile("rw") as stream:
    print(json.dumps(sys.argv[1:]), file=stream, flush=True)
    code, text = json.load(stream)
print(text, file=sys.stderr if code else sys.stdout)
sys.exit(code)
"""


def run(make_client: Callable[[str], Any], arguments: list[str]) -> tuple[int, str]:
    """Run a command; give its exit code, and what it prints.

    Args:
        make_client: makes a client of a service.
        arguments: after the program's name.
    """
    try:
        return 0, _output(make_client, arguments)
    except Exception as error:  # noqa: BLE001 (the program shows it, and fails)
        return 255, f"{type(error).__name__}: {error}"


def _output(make_client: Callable[[str], Any], arguments: list[str]) -> str:
    service, operation, *words = arguments
    client = make_client({"s3api": "s3"}.get(service, service))
    names = {xform_name(name, "-"): name for name in client.meta.service_model.operation_names}
    model = client.meta.service_model.operation_model(names[operation])
    options = _options(words)
    query, output = options.pop("query", None), options.pop("output", ["json"])
    parameters = _parameters(model.input_shape, options)
    validate_parameters(parameters, model.input_shape)
    if (service, operation) in CHECKED_ONLY:
        return ""
    answer = getattr(client, xform_name(names[operation]))(**parameters)
    answer.pop("ResponseMetadata")
    found = jmespath.search(query[0], answer) if query else answer
    return _text(found) if output == ["text"] else json.dumps(found, default=str)


def _options(words: list[str]) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            options[word[2:]] = []
        else:
            options[list(options)[-1]].append(word)
    return options


def _parameters(shape: StructureShape, options: dict[str, list[str]]) -> dict[str, Any]:
    members = {xform_name(name, "-"): (name, member) for name, member in shape.members.items()}
    return {members[option][0]: _value(members[option][1], words) for option, words in options.items()}


def _value(shape: Shape, words: list[str]) -> Any:
    if isinstance(shape, ListShape):
        return [_value(shape.member, [word]) for word in words]
    if shape.type_name == "boolean" and not words:
        return True
    (word,) = words
    if isinstance(shape, StructureShape):
        if word.startswith("{"):
            return json.loads(word)
        pairs = dict(pair.split("=", 1) for pair in word.split(","))
        return {name: _value(shape.members[name], [value]) for name, value in pairs.items()}
    if shape.type_name == "string":
        return word
    return json.loads(word)  # a number, true or false


def _text(found: Any) -> str:
    """Write as `--output text` does: a list of lists is a line each, a list one line with tabs."""
    if isinstance(found, list) and any(isinstance(one, list) for one in found):
        return "\n".join(map(_text, found))
    if isinstance(found, list):
        return "\t".join(map(str, found))
    return str(found)

"""CloudWatch Logs Insights, as far as the template's saved queries use it: which lines they find, which fields they name.

No interpreter of the language: moto's `start_query` ignores `filter` and `stats`, and there is no other. What a line's
fields are: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html.
What the commands mean: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

MAX_FIELDS = 200  # that Insights finds in a line of JSON
GENERATED = frozenset({"@timestamp", "@message"})  # of every line

_NAME = re.compile(r"@?[a-zA-Z_][\w.]*")


def discovered(line: str) -> dict[str, str]:
    """Give the fields of a line by their names; those of an object or a list with their path."""
    fields = dict(zip(GENERATED, ("", ""), strict=True)) | {"@message": line}
    found = _leaves(json.loads(line), "")
    return fields | {name: value for (name, value), _ in zip(found, range(MAX_FIELDS), strict=False)}


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in inner:
            yield from _leaves(part, f"{name}.{key}" if name else str(key))
    elif value is not None:
        yield name, str(value)


class Query:
    """A saved query.

    Attributes:
        named: the fields of a line that it names, outside its filter too.
    """

    def __init__(self, text: str, **parameters: str) -> None:
        for name, value in parameters.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        assert "{{" not in text, "a parameter without a value"
        self._filters: list[str] = []
        self.named: set[str] = set()
        made: set[str] = set()  # by `stats … as`
        for part in text.split("\n| "):
            command, _, rest = part.partition(" ")
            if command == "filter":
                self._filters.append(rest)
            elif command == "stats":
                made = set(re.findall(r" as (\w+)", rest))
                rest = re.sub(r" as \w+|\b\w+\(\*\)|\b\w+(?=\()", "", rest).replace(" by ", " ")
            elif command == "sort":
                rest = re.sub(r" (asc|desc)\b", "", rest)
            elif command != "fields":
                assert command == "limit", part
                continue
            bare = re.sub(r"\"[^\"]*\"|'[^']*'|\b(ispresent|in|like|or|and)\b", "", rest)
            self.named |= set(_NAME.findall(bare)) - made

    def finds(self, line: str) -> bool:
        """Tell whether a line passes all filters."""
        fields = discovered(line)
        return all(any(_holds(term, fields) for term in one.split(" or ")) for one in self._filters)


def _holds(term: str, fields: dict[str, str]) -> bool:
    if found := re.fullmatch(r"ispresent\((\S+)\)", term):
        return found[1] in fields
    found = re.fullmatch(r"(\S+) (in|like) (.+)", term)
    assert found, f"not understood: {term}"
    name, operator, operand = found.groups()
    if operator == "in":
        return fields.get(name) in json.loads(operand)
    return operand.strip("'") in fields.get(name, "")

"""JSON that every reader understands in the same way: decode an object, encode a value (pure)."""

import json
import re
from math import isinf
from typing import Any, Final

MAX_DEPTH = 100  # of arrays and objects inside each other; C's recursion limit is some 1,000

_SURROGATE = re.compile("[\ud800-\udfff]")


class RepeatedKey(ValueError):
    """Raised when a JSON object has the same key twice."""


def decode_object(text: str, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the JSON object that a text holds (RFC 8259, sections 4, 6 and 8).

    A lone surrogate, which JSON's escapes can make and UTF-8 can't hold, becomes U+FFFD. Keys that become
    equal by that are one key, and its last value counts.

    Raises:
        ValueError: when it is no JSON or no object, is nested too deep, has a key twice, or a number that no
            double can hold (NaN and Infinity among them).
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if isinstance(value, str) and value.lstrip(' \t\r\n"\\').startswith("{"):
        raise ValueError("it is a string that holds JSON, encoded more than once: send the object itself")
    if not isinstance(value, dict):
        raise ValueError(f"it is {describe(value)}")
    # Counting brackets is quick, and enough for nearly every text.
    if text.count("[") + text.count("{") > max_depth and _is_deeper(value, max_depth):
        raise ValueError("nested too deep")
    if "\\ud" in text or "\\uD" in text or (not text.isascii() and _SURROGATE.search(text)):
        return {replace_surrogates(key): replace_surrogates(inner) for key, inner in value.items()}
    return value


def encode(value: object) -> bytes:
    """Return a value as compact UTF-8 JSON."""
    return _ENCODER.encode(value).encode()


def describe(value: object) -> str:
    """Return a value as a reason quotes it: short, ASCII, one line; of an array or object only its type."""
    if isinstance(value, list | dict):
        return f"a JSON {'array' if isinstance(value, list) else 'object'}"
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:79] + "~"


def replace_surrogates(value: Any) -> Any:
    """Return a JSON value with U+FFFD in place of each surrogate."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {replace_surrogates(key): replace_surrogates(item) for key, item in value.items()}
    return value


def _is_deeper(value: dict[str, Any], max_depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(max_depth):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, list | dict)
        ]
    return bool(level)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise RepeatedKey("a key stands twice in one object")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError("a number is too large for a double")
    return value


def _whole(text: str) -> int:
    if len(text) > 308:  # the largest double has 309 digits
        raise ValueError("a number is too large for a double")
    return int(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_whole, parse_constant=_refuse_constant
)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

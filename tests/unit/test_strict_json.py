"""Which JSON is decoded, what is refused and why, and what becomes of lone surrogates."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.strict_json import RepeatedKey, decode_object, describe, encode
from tests.factories import body


def decoded(text: str) -> dict[str, Any]:
    """Return an object that is decoded, and that any other reader reads in the same way."""
    found = decode_object(text)
    assert json.loads(encode(found).decode()) == found
    assert b"\\u" not in encode(found)
    return found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "^it is a JSON array$"),
        ("null", "^it is null$"),
        ('"text"', '^it is "text"$'),
        ('{"a": NaN}', "^NaN is not JSON$"),
        ('{"a": -Infinity}', "^-Infinity is not JSON$"),
        ('{"a": [1e999]}', "^a number is too large for a double$"),
        ('{"a": [-1e999]}', "^a number is too large for a double$"),
        ('{"a": ' + "9" * 400 + "}", "^a number is too large for a double$"),
        ('{"a": ' + "9" * 9_000 + "}", "^a number is too large for a double$"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "^nested too deep$"),
        ("[" * 100_000 + "]" * 100_000, "^nested too deep$"),
        ('{"a":' * 100_000, r"\w"),
        ("", r"\w"),
        ("\ufeff{}", r"\w"),
    ],
)
def test_what_other_readers_refuse_or_read_in_another_way_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_object(text)


@pytest.mark.parametrize("text", ['{"a": 1, "b": 2, "a": 1}', '{"x": [{"a": 1, "a": 2}]}'])
def test_a_key_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(RepeatedKey, match="a key stands twice"):
        decode_object(text)


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("text", [body("mosaic", "FINISHED"), '  {"jobId": "j"}', "{not even JSON}"])
def test_an_object_that_is_encoded_more_than_once_is_told_so(text: str, times: int) -> None:
    for _ in range(times):
        text = json.dumps(text)
    with pytest.raises(ValueError, match=r"encoded more than once: send the object itself"):
        decode_object(text)


def test_the_depth_that_is_allowed_is_the_callers() -> None:
    for depth in (2, 99, 100, 150):
        text = '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
        assert decode_object(text, depth) == json.loads(text)
        with pytest.raises(ValueError, match="nested too deep"):
            decode_object(text, depth - 1)


def test_many_brackets_that_are_not_nested_are_not_too_deep() -> None:
    assert decoded('{"a": [' + "[]," * 500 + '"[[["]}') == {"a": [*[[]] * 500, "[[["]}


@pytest.mark.parametrize(
    "written", ["\\ud800", "\\uDFFF", "a\\udc80b", "\\ude00\\ud83d", "\ud800", "\\ud800\udc00"]
)
def test_a_lone_surrogate_is_the_replacement_character(written: str) -> None:
    found = decoded('{"error":"S","list":["S",{"in S":["S"]}],"key S":1}'.replace("S", written))
    shown = found["error"]
    assert found == {"error": shown, "list": [shown, {f"in {shown}": [shown]}], f"key {shown}": 1}
    assert "\ufffd" in shown


def test_a_surrogate_pair_is_the_character_that_it_stands_for() -> None:
    assert decode_object('{"error":"\\ud83d\\ude00 \\\\ud800"}') == {"error": "\U0001f600 \\ud800"}


def test_keys_that_lone_surrogates_made_differ_are_one_and_the_last_counts() -> None:
    assert decoded('{"\\ud800":1,"\\udfff":2,"\\ufffd":3}') == {"\ufffd": 3}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values))
def test_what_was_encoded_is_decoded_as_it_was(value: dict[str, Any]) -> None:
    assert decode_object(encode(value).decode()) == value


def test_a_quoted_value_is_whole_up_to_80_characters() -> None:
    assert describe("x" * 78) == '"' + "x" * 78 + '"'
    assert describe("x" * 79) == '"' + "x" * 78 + "~"


@given(json_values | st.text(st.characters()))
def test_a_quoted_value_is_short_ascii_on_one_line(value: object) -> None:
    said = describe(value)
    assert said.isascii()
    assert said.isprintable()
    assert 0 < len(said) <= 80


def test_a_whole_number_has_at_most_308_digits() -> None:
    """All of those are doubles, and of 309 only some are."""
    assert decode_object('{"n": ' + "9" * 308 + "}") == {"n": 10**308 - 1}
    with pytest.raises(ValueError, match="too large for a double"):
        decode_object('{"n": ' + "1" * 309 + "}")

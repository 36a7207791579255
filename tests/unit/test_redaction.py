"""A token that an answer repeats is shown in no form that anyone reads, at a bounded cost."""

import base64
import html
import itertools
import json
import time
from collections.abc import Callable
from html.entities import html5
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.redaction import UNREADABLE, WITHHELD, redact

TOKEN = 't0ken/"with"&<odd>+characters=-\\%41'
NAMES = {value: name for name, value in html5.items() if len(value) == 1 and name.endswith(";")}

Encode = Callable[[str], str]


def each(write: Callable[[str], str]) -> Encode:
    """Encode each character alone."""
    return lambda text: "".join(map(write, text))


def cased(text: str) -> str:
    """Change the case of every other digit."""
    return "".join(part.upper() if number % 2 else part.lower() for number, part in enumerate(text))


def in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


ENCODERS: dict[str, Encode] = {
    "plain": str,
    "JSON": in_json,
    "JSON, slashes": lambda text: in_json(text).replace("/", "\\/"),
    "JSON, digits": each(lambda char: f"\\u{ord(char):04x}"),
    "JSON, some digits": each(
        lambda char: char if char.isalnum() else "\\u" + cased(f"{ord(char):04x}") if char in "<>&" else in_json(char)
    ),
    "JavaScript": each(lambda char: f"\\x{ord(char):02x}"),
    "URL": quote,
    "URL, slashes": lambda text: quote(text, safe=""),
    "URL, form": quote_plus,
    "URL, all": each(lambda char: "%" + cased(f"{ord(char):02x}")),
    "HTML": html.escape,
    "HTML, decimal": each(lambda char: f"&#{ord(char)};"),
    "HTML, zeros": each(lambda char: f"&#{ord(char):09d};"),
    "HTML, hex": each(lambda char: f"&#{'xX'[ord(char) % 2]}{cased(f'{ord(char):x}')};"),
    "HTML, no semicolon": lambda text: "".join(f"&#{ord(char)}" + ";" * (after in "0123456789;") for char, after in zip(text, [*text[1:], ";"], strict=True)),
    "HTML, named": each(lambda char: f"&{NAMES[char]}" if char in NAMES else char),
}  # fmt: skip
tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40)
chains = st.lists(st.sampled_from(sorted(ENCODERS)), max_size=3)


def written(token: str, chain: list[str]) -> str:
    for name in chain:
        token = ENCODERS[name](token)
    return token


@pytest.mark.parametrize("outer", ENCODERS)
@pytest.mark.parametrize("inner", ENCODERS)
def test_a_token_is_withheld_however_it_is_written_and_in_whatever(inner: str, outer: str) -> None:
    text = f"no such token: {written(TOKEN, [inner, outer])} (try again)"
    assert redact(text, TOKEN) == WITHHELD


@given(tokens, chains)
def test_no_encoding_of_an_encoding_shows_a_token(token: str, chain: list[str]) -> None:
    text = written(token, chain)
    assert redact(f"so: {text} !", token) in (WITHHELD, UNREADABLE)
    assert redact(text, token) in (WITHHELD, UNREADABLE)


@given(tokens, chains, st.data())
def test_no_encoding_that_breaks_off_shows_half_of_a_token(
    token: str, chain: list[str], data: st.DataObject
) -> None:
    # GIVEN an answer that ends somewhere in the second half of the token
    whole = written(token, chain)
    least = len(written(token[: len(token) // 2 + 2], chain))
    text = "so: " + whole[: data.draw(st.integers(least, len(whole)))]
    assert redact(text, token) in (WITHHELD, UNREADABLE)


@given(st.text() | chains.map(lambda chain: written('{"error": "no & such <image>"}', chain)))
def test_an_answer_without_the_token_is_shown_as_it_is(text: str) -> None:
    assert redact(text, "a-token-that-is-nowhere") in (text, UNREADABLE)
    assert redact(text, "") == text


@pytest.mark.parametrize(
    "text",
    ["", "HTTP 400", '{"error": "images[0].uuid: \\"x\\" is no URL"}', "<p>100&nbsp;% &amp; more</p>", "50% of a\\b", "&", "&#", "%", "\\", "&#x;", "%zz", "\\u12", "caf\ufffd"],
)  # fmt: skip
def test_an_answer_that_only_looks_encoded_is_shown_as_it_came(text: str) -> None:
    assert redact(text, TOKEN) == text


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "Bearer ", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "\n"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_token_in_base64_is_withheld_whatever_stands_around_it(
    encode: Callable[[bytes], bytes], before: str, after: str
) -> None:
    text = encode((before + TOKEN + after).encode()).decode()
    assert redact(f'{{"header": "{text}"}}', TOKEN) == WITHHELD
    assert redact(quote(text, safe=""), TOKEN) == WITHHELD


@pytest.mark.parametrize("before", ["", "a", "ab"])
def test_another_token_in_base64_is_shown_though_all_but_one_letter_is_the_same(before: str) -> None:
    text = base64.b64encode(f"{before}w3cret-token".encode()).decode() + " was not accepted by the catalog"
    assert redact(text, "s3cret-token") == text
    assert redact(text, "w3cret-token") == WITHHELD


@pytest.mark.parametrize("around", ["token", "abctoken", "token~"])
def test_five_letters_are_enough_for_a_token_to_be_seen_in_base64(around: str) -> None:
    text = base64.b64encode(around.encode()).decode()
    assert redact(f"{text}, so it was said by the catalog of the images", "token") == WITHHELD


@pytest.mark.parametrize("write", [str, lambda token: base64.b64encode(token.encode()).decode()])
def test_a_text_may_hold_the_beginning_of_a_token_in_its_middle_but_not_break_off_there(
    write: Callable[[str], str],
) -> None:
    begun = "no such: " + write(TOKEN)[:6]
    assert redact(begun + "-" * 26, TOKEN) == WITHHELD  # 32 characters from where the token begins
    assert redact(begun + "-" * 27, TOKEN) == begun + "-" * 27
    assert redact(begun[:-1], TOKEN) == begun[:-1]


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_token_in_an_answer_of_another_code_is_withheld(code: str) -> None:
    text = f"no such token: {TOKEN}".encode(code).decode(errors="replace")
    assert redact(text, TOKEN) == WITHHELD


def test_what_is_encoded_without_end_is_not_shown() -> None:
    text = TOKEN
    for number in range(40):
        text = text.replace("%", "&#37;") if number % 2 else text.replace("&", "%26")
    assert redact(text, TOKEN) in (WITHHELD, UNREADABLE)
    assert redact("&#" + "9" * 5_000, TOKEN) == UNREADABLE


ANSWER = 65_536  # bytes: what is read of an answer


PIECES = ["\\", "%", "&", "&#", "&#9", "&#x", "&am", "&amp;", "&#65;", "%41", "\\u0041", "\\u", "\\x4", "%25", "&#37;", "&" + "a" * 32, "-", "\\-", "&lt", "a", "\0", "&#x5c;u0026#", "&#0", "ab", "\u20ac"]  # fmt: skip
TOKENS = ["-secret-token", "s3cret-token", "\\" * 40, "&" * 40, "%41" * 15, "-" * 8_000, "a" * 8_000 + "b"]


@pytest.mark.unmeasured  # large, and covered by small ones
@pytest.mark.parametrize(
    ("piece", "token"),
    # Decoding looks at the text alone, the search at the token: each piece with one, each token with those like it.
    [*((piece, TOKENS[0]) for piece in PIECES), *itertools.product(("-", "a", "\\", "&", "%41"), TOKENS[1:])],
)
def test_the_search_takes_no_longer_than_the_answer_is_long(piece: str, token: str) -> None:
    """A pattern that was built of the token took 18 s for 64 kB of backslashes, and all jobs waited."""
    for before in ("", "&amp;amp;amp;lt;&#37;26#37;25;"):
        text = (before + piece * ANSWER)[:ANSWER]
        begun = time.thread_time()
        redact(text, token)
        assert time.thread_time() - begun < 0.3  # a third of it at the most, where nothing else runs

"""Keep the catalog's token out of what is shown of its answers (pure).

An answer that repeats the request (a debug page, an error that quotes the header) holds the token, written as
JSON, a URL or HTML write it, or one in another. It is read as each of these would read it, for as long as
that changes anything; where the token can be read in it, nothing of it is shown.

Out of scope: a token in pieces (with tags, blanks or line breaks in it), and any other code.
"""

import base64
import html
import re
from collections.abc import Iterator

WITHHELD = "(withheld: the token is in it)"
UNREADABLE = "(withheld: it can't be searched for the token)"

_ROUNDS = 5  # of all decodings: what is still encoded then was made to be so
_BEGINNING = 16  # characters of a token that are enough to know it by
_LEAST = 6  # of these, where a text breaks off, and
_REST = 16  # characters of an escape that broke off with it

# A backslash goes with all its repetitions: JSON in JSON doubles them at each level.
_BACKSLASH = re.compile(r"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))?")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")


def without_token(text: str, token: str) -> str:
    """Give a text, or, where a token can be read in it, nothing of it.

    The time it takes is proportional to the text's length, whatever is in it.

    Args:
        text: the text, before it is cut anywhere: a cut may leave half of the token. Where the text itself
            broke off, at its end, some of the token is enough.
        token: the token; none is in any text if it is empty.
    """
    if not token:
        return text
    try:
        readings, (*_, decoded) = list(_readings(text)), _readings(token)
    except ValueError:  # from here, or from html.unescape: a number of thousands of digits
        return UNREADABLE
    beginnings = {token[:_BEGINNING], decoded[:_BEGINNING]}
    wanted = beginnings.union(_in_base64(token))
    if any(form in reading for reading in readings for form in wanted):
        return WITHHELD
    # Of the first reading and the last, for the ends of the others are half decoded.
    if any(_breaks_off_in(reading, form) for reading in (text, readings[-1]) for form in beginnings):
        return WITHHELD
    return text


def _readings(text: str) -> Iterator[str]:
    """Give a text as it is, and after each decoding, until there is nothing left to decode."""
    text = text.replace("\0", "")  # every other byte of UTF-16 that was taken for UTF-8
    yield text
    for _ in range(_ROUNDS):
        before = text
        yield (text := html.unescape(text))
        yield (text := _PERCENT.sub(_character, text))
        yield (text := _BACKSLASH.sub(_character, text))
        if text == before:
            return
    raise ValueError("encoded too often")


def _character(escape: re.Match[str]) -> str:
    """Give the character that an escape's digits name; a backslash without digits is none."""
    return chr(int(escape[escape.lastindex], 16)) if escape.lastindex else ""


def _in_base64(token: str) -> Iterator[str]:
    """Give what of a token's base64 is the same whatever stands around it, for its three alignments."""
    for offset, start in enumerate((0, 2, 3)):
        whole = bytes(offset) + token.encode()
        text = base64.b64encode(whole)[start : len(whole) * 8 // 6].decode()
        if len(text) >= _LEAST:  # less is there by chance
            yield text
            yield text.translate(str.maketrans("+/", "-_"))


def _breaks_off_in(text: str, beginning: str) -> bool:
    """Tell whether a text ends in a token's beginning, and perhaps half of an escape."""
    return any(
        text.endswith(beginning[:length], 0, len(text) - rest)
        for length in range(_LEAST, len(beginning) + 1)
        for rest in range(min(_REST, len(text)) + 1)
    )

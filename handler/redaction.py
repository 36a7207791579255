"""Keep the catalog's token out of its responses as they are logged and stored (pure).

A response that repeats the request (a debug page, an error that quotes the header) holds the token, perhaps
escaped as in JSON, a URL or HTML, or in several of these together. So the response is decoded again and
again, until that changes nothing; if any of these texts holds the token, or the token in base64, nothing of
the response is shown.

Not covered: a token in pieces (with tags, blanks or line breaks in it), and any other encoding.
"""

import base64
import html
import re
from collections.abc import Iterator

WITHHELD = "(withheld: the token is in it)"
UNREADABLE = "(withheld: it can't be searched for the token)"

_MAX_ROUNDS = 5  # of all decodings; a text that is still encoded then was made to be so
_PREFIX_LENGTH = 16  # characters of a token that are enough to recognise it
_MIN_LENGTH = 6  # of these, where a text breaks off
_END_LENGTH = 32  # last characters of a text that breaks off: a prefix and an escape, both perhaps incomplete

# A backslash with all its repetitions: JSON in JSON doubles them at each level.
_BACKSLASH = re.compile(r"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))?")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")


def redact(text: str, token: str) -> str:
    """Return a text as it is, or WITHHELD if a token can be read in it; UNREADABLE if it can't be searched.

    An empty token is in no text.
    The text must not have been truncated before: that may leave half of the token. A text that itself broke
    off is withheld if its last characters hold the beginning of the token. The time is proportional to the
    text's length.
    """
    if not token:
        return text
    try:
        readings = list(_readings(text))
        *_, decoded = _readings(token)
    except ValueError:  # from here, or from html.unescape: a number of thousands of digits
        return UNREADABLE
    prefixes = {form[:_PREFIX_LENGTH] for form in (token, decoded, *_in_base64(token))}
    if any(prefix in reading for reading in readings for prefix in prefixes):
        return WITHHELD
    ends = [reading[-_END_LENGTH:] for reading in readings]
    if any(prefix[:_MIN_LENGTH] in end for end in ends for prefix in prefixes):
        return WITHHELD
    return text


def _readings(text: str) -> Iterator[str]:
    """Yield a text as it is, and after each decoding, until there is nothing left to decode."""
    text = text.replace("\0", "")  # every other byte of UTF-16 that was read as UTF-8
    yield text
    for _ in range(_MAX_ROUNDS):
        before = text
        yield (text := html.unescape(text))
        yield (text := _PERCENT.sub(_character, text))
        yield (text := _BACKSLASH.sub(_character, text))
        if text == before:
            return
    raise ValueError("encoded too often")


def _character(escape: re.Match[str]) -> str:
    """Return the character that an escape's digits name; nothing for a backslash without digits."""
    return chr(int(escape[escape.lastindex], 16)) if escape.lastindex else ""


def _in_base64(token: str) -> Iterator[str]:
    """Yield the part of a token's base64 that does not depend on the text around it, for each alignment."""
    for offset, start in enumerate((0, 2, 3)):
        whole = bytes(offset) + token.encode()
        text = base64.b64encode(whole)[start : len(whole) * 8 // 6].decode()
        if len(text) >= _MIN_LENGTH:  # a shorter one may be there by chance
            yield text
            yield text.translate(str.maketrans("+/", "-_"))

"""What the tools print, on one line and without control characters, whatever it came from."""

import json

from handler.status_object import to_iso


def printable(text: str, length: int = 120) -> str:
    """Give a text as it can be printed on one line, cut to a length."""
    plain = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: length + 1])
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def as_text(sent_at: int, message_id: str, body: str, reason: str) -> str:
    """Lay out a dead letter on three lines."""
    shown = json.dumps(body, ensure_ascii=False)
    return f"{to_iso(sent_at)}  {message_id}\n    {printable(shown)}\n    {printable(reason, 500)}"

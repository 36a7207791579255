"""What the tools print: without control characters, whatever it came from, and counted."""


def printable(text: str, length: int = 120) -> str:
    """Give a text as it can be printed on one line, cut to a length."""
    plain = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[: length + 1])
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def printable_lines(text: str, length: int) -> str:
    """Give a text as it can be printed, cut to a length; its line breaks stand."""
    cut = text if len(text) <= length else f"{text[: length - 1]}…"
    return "\n".join(printable(line, length) for line in cut.replace("\r\n", "\n").split("\n"))


def counted(number: int, noun: str) -> str:
    """Give a number with its noun, which takes an s in the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

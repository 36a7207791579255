"""What is a URL that a tool can use."""

from urllib.parse import urlsplit


def is_http_url(url: str) -> bool:
    """Return whether a text is an http(s):// URL with a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and parts.scheme in {"http", "https"}

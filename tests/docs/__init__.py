"""The documents against the code: every command, format, setting and promise in them."""
